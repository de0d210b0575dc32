"""`crm-sweep schedules`: campaigns that start by themselves, and starting one now."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cli.context import AsJson, operator, redis_of, settings_of
from cli.errors import UsageError
from cli.exit_codes import ExitCode
from cli.loop import run_async
from cli.output import note, out, out_after, rendered
from config.settings import Settings
from jobs.schedules.start import schedule_named, start_by_hand
from jobs.schedules.view import ScheduledJob, ScheduleView, read_schedules
from jobs.view.job import Job, read_job, to_json
from jobs.words.outcomes import Outcome


class Action(StrEnum):
    """What to do with a schedule."""

    RUN = "run"


def schedules(
    ctx: typer.Context,
    action: Annotated[
        Action | None,
        typer.Argument(
            metavar="run", help="Start the schedule NAME now; without it, all are shown.", show_default=False
        ),
    ] = None,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False)] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Show the schedules: when each is due next, what its last job came to, and what it waits for. Or start one now.

    `run NAME` prints the ID of the new job as the only line on standard output. The job is planned, and approved by the
    same rules as one that starts by itself; a schedule that is not enabled can be started, and its plan waits for you.

    Exit codes: 0 done, 1 started, but the ID could not be written to standard output (it is on standard error), 2 bad
    usage, or its last job has not ended, 4 no such schedule, 5 Redis cannot be reached.

    Examples:
      crm-sweep schedules
      crm-sweep schedules --json | jq '.schedules[] | {name, next_at, waits_for}'
      crm-sweep schedules run nightly
    """
    settings = settings_of(ctx)
    if action is Action.RUN:
        if name is None:
            raise UsageError("name the schedule to start, as in `crm-sweep schedules run NAME`")
        return _run(settings, name, as_json=as_json)
    views = run_async(_read(settings))
    if as_json:
        out(to_json({"schedules": views}).decode() + "\n")
    elif views:
        out("\n".join(rendered(_about(view), fitted=False) for view in views))
    else:
        note("no schedule is configured; docs/schedules.md shows one")
    return ExitCode.DONE


def next_in_words(view: ScheduleView) -> str:
    """Return when a schedule is due next, in its time zone."""
    return _at(view.next_at, view.timezone) if view.next_at else "never: it is not enabled"


def _run(settings: Settings, name: str, *, as_json: bool) -> ExitCode:
    schedule_named(settings, name)
    job = run_async(_start(settings, name))
    deed = f"schedule {name} has started job {job.id}, which is {job.state}"
    if as_json:
        out_after(deed, "its JSON", to_json(job).decode() + "\n")
    else:
        note(deed)
        out_after(deed, "its ID", f"{job.id}\n")
    return ExitCode.DONE


async def _start(settings: Settings, name: str) -> Job:
    async with redis_of(settings) as redis:
        return await read_job(redis, await start_by_hand(redis, settings, name, by=operator()))


async def _read(settings: Settings) -> list[ScheduleView]:
    async with redis_of(settings) as redis:
        return await read_schedules(redis, settings.schedules)


def _about(view: ScheduleView) -> Group:
    table = Table.grid(padding=(0, 2))
    label = f" ({view.label})" if view.label else ""
    headline = Text(f"{view.name}{label} on portal {view.portal}: {view.selects}", style="bold")
    table.add_row("  due", f"{view.cron}, {view.timezone}")
    table.add_row("  next", next_in_words(view))
    table.add_row("  last", _last(view.jobs[0], view.timezone) if view.jobs else "never started")
    table.add_row("  approved", _automatically(view))
    if view.skipped_at:
        last = _at(view.skipped_at, view.timezone)
        table.add_row("  skipped", f"{view.skipped:,}, the last one {last}, because the job before had not ended")
    if view.waits_for:
        table.add_row("  waits for", Text(f"{view.waits_for}: {view.explanation}", style="yellow"))
    return Group(headline, table)


def _last(job: ScheduledJob, timezone: str) -> str:
    counts = [f"{outcome} {count:,}" for outcome, count in job.counts.items() if count and outcome != Outcome.PENDING]
    state = f"{job.state} ({job.state_reason})" if job.state_reason else job.state
    return f"{_at(job.created_at, timezone)}, job {job.id}: {', '.join([state, f'{job.total:,} contacts', *counts])}"


def _automatically(view: ScheduleView) -> str:
    if not view.max_contacts or not view.max_share:
        return "by a person, every time"
    return f"automatically, up to {view.max_contacts:,} contacts and {100 * view.max_share:g}% of the portal"


def _at(moment: str, timezone: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M %Z}"
