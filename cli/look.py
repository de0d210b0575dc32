"""`status`, `watch` and `list`: looking at jobs."""

import contextlib
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.context import AsJson, JobId, redis_of, settings_of
from cli.errors import UsageError, exit_code_of
from cli.exit_codes import ExitCode
from cli.loop import run_async
from cli.output import ReaderGone, note, out, rendered
from cli.plan_view import plan_view
from cli.progress import display, follow
from cli.summary import standing, time_left, told
from config.settings import Settings
from jobs.view.job import Job, Page, list_jobs, read_job, to_json, with_sample
from jobs.words.outcomes import Outcome
from jobs.words.states import State
from restore.ledger import count_restored

#: How many of the last actions `status` shows; `--json` has more.
_ACTIONS = 5


def status(ctx: typer.Context, job_id: JobId, as_json: AsJson = False) -> ExitCode:
    """Show a job once: its state, why it waits and what to do, its counts, and the last actions on it.

    While a job waits for its plan to be approved, the plan is shown in place of the counts.

    Exit codes: 0 done, 2 bad usage, 4 no such job, 5 Redis cannot be reached.

    Examples:
      crm-sweep status 01JD4M6Y9Q
      crm-sweep status 01JD4M6Y9Q --json | jq .counts
    """
    job, restored = run_async(_read(settings_of(ctx), job_id))
    if as_json:
        out(to_json(job).decode() + "\n")
        return ExitCode.DONE
    is_planned = job.plan and job.state is State.AWAITING_APPROVAL
    out(rendered(plan_view(job)) if is_planned else told(job, restored))
    if not job.ended and not is_planned:
        out(", ".join(filter(None, [f"{job.progress:.1%} decided", time_left(job)])) + "\n")
    _tell_standing(job)
    for action in job.actions[-_ACTIONS:]:
        detail = f" {action.detail}" if action.detail else ""
        out(f"{action.at.replace('T', ' ')[:19]} UTC  {action.by}: {action.action}{detail}\n")
    return ExitCode.DONE


def watch(ctx: typer.Context, job_id: JobId) -> ExitCode:
    """Show a job's progress until it ends.

    A job that waits for a person is still watched: the display shows what it waits for and what to do. Ctrl-C ends the
    watching, not the job.

    Exit codes: 0 done, 1 failed or cancelled, 3 done but some contacts failed, 4 no such job, 5 Redis cannot be
    reached, 130 interrupted.

    Examples:
      crm-sweep watch 01JD4M6Y9Q
    """
    job, restored = run_async(_watch(settings_of(ctx), job_id))
    with contextlib.suppress(ReaderGone):
        out(told(job, restored))
        _tell_standing(job)
    return exit_code_of(job)


def list_(
    ctx: typer.Context,
    *,
    state: Annotated[
        State | None, typer.Option("--state", metavar="STATE", help=f"Only jobs in this state: {', '.join(State)}.")
    ] = None,
    portal: Annotated[str | None, typer.Option("--portal", metavar="NAME", help="Only jobs of this portal.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most this many.")] = 50,
    cursor: Annotated[
        str | None, typer.Option("--cursor", metavar="CURSOR", help="Continue after the previous page.")
    ] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """List jobs, newest first.

    Exit codes: 0 done, 2 bad usage, 4 no such portal, 5 Redis cannot be reached.

    Examples:
      crm-sweep list --state running
      crm-sweep list --portal main --json
    """
    settings = settings_of(ctx)
    try:
        page = run_async(_list(settings, state=state, portal=portal, limit=limit, cursor=cursor))
    except ValueError:
        raise UsageError(f"--cursor {cursor!r} is not the next_cursor of a page") from None
    if portal and not page.jobs:
        settings.portal(portal)  # jobs outlive their portal's configuration; a name with neither is a typo
    if as_json:
        out(to_json({"jobs": page.jobs, "next_cursor": page.next_cursor}).decode() + "\n")
        return ExitCode.DONE
    if page.jobs:
        out(rendered(_table(page.jobs), fitted=False))
    else:
        note("no jobs")
    if page.next_cursor:
        note(f"there are more: --cursor {page.next_cursor}")
    return ExitCode.DONE


def _tell_standing(job: Job) -> None:
    """Print why a job waits, or why it failed, and what to do."""
    waits = standing(job)
    if waits:
        out(waits + "\n")


async def _read(settings: Settings, job_id: str) -> tuple[Job, int]:
    """Read a job, and how many of its contacts have been restored."""
    async with redis_of(settings) as redis:
        return await with_sample(redis, await read_job(redis, job_id)), await count_restored(redis, job_id)


async def _watch(settings: Settings, job_id: str) -> tuple[Job, int]:
    """Follow a job to its end; return it, and how many of its contacts have been restored."""
    async with redis_of(settings) as redis:
        await read_job(redis, job_id)  # reports immediately, and in full, what is wrong with the ID or with Redis
        with display() as show:
            job = await follow(redis, job_id, show, until=lambda job: job.ended)
        return job, await count_restored(redis, job_id)


async def _list(settings: Settings, *, state: State | None, portal: str | None, limit: int, cursor: str | None) -> Page:
    async with redis_of(settings) as redis:
        return await list_jobs(redis, state=state, portal=portal, limit=limit, cursor=cursor)


def _table(jobs: list[Job]) -> Table:
    table = Table(box=None, pad_edge=False)
    columns = ("id", "portal", "state", "decided", "total", "failed", "created", "label")
    for name in columns:
        table.add_column(
            name, justify="right" if name in {"decided", "total", "failed"} else "left", no_wrap=name == "id"
        )
    for job in jobs:
        decided = f"{job.progress:.0%}"
        until = f" until {job.waits_until[11:19]} UTC" if job.waits_until else ""
        state = f"{job.state} ({job.state_reason}{until})" if job.state_reason else str(job.state)
        failed = f"{job.counts[Outcome.FAILED]:,}"
        created = job.created_at.replace("T", " ")[:16]
        table.add_row(job.id, job.portal, state, decided, f"{job.total:,}", failed, created, Text(job.label))
    return table
