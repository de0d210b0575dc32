"""`pause`, `resume`, `cancel`, `approve`, `retry-failed` and `priority`: steering jobs."""

import sys
from typing import Annotated

import typer

from cli.approval import agree_to
from cli.context import JobId, operator, redis_of, settings_of
from cli.errors import UsageError
from cli.exit_codes import ExitCode
from cli.loop import run_async
from cli.output import out_after, plural
from config.settings import Settings
from jobs.steering.control import Steered
from jobs.steering.steer import change_priority, steer_job
from jobs.view.actions import rest_in_words
from jobs.view.job import Job, read_job, with_sample
from jobs.words.priority import Priority
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State

#: As much of a digest as is needed to name a plan.
_SHORTEST_DIGEST = 12


def pause(ctx: typer.Context, job_id: JobId) -> ExitCode:
    """Pause a job: no new batch is sent, and those in flight are still recorded.

    Exit codes: 0 done, 2 bad usage, or the job's state does not allow it, 4 no such job, 5 Redis cannot be reached.

    Examples:
      crm-sweep pause 01JD4M6Y9Q
    """
    return _control(ctx, job_id, Event.PAUSE)


def resume(ctx: typer.Context, job_id: JobId) -> ExitCode:
    """Resume a job that is paused, or that waits for the portal: after a fault, or during a rest the portal asked for.

    If the portal had asked for a rest, one careful call goes alone before the others follow.

    Exit codes: 0 done, 2 bad usage, or the job's state does not allow it, 4 no such job, 5 Redis cannot be reached.

    Examples:
      crm-sweep resume 01JD4M6Y9Q
    """
    return _control(ctx, job_id, Event.RESUME)


def cancel(ctx: typer.Context, job_id: JobId) -> ExitCode:
    """Stop a job for good. Contacts that were never sent become `skipped`; those that were sent get their outcome.

    Exit codes: 0 done, 2 bad usage, or the job's state does not allow it, 4 no such job, 5 Redis cannot be reached.

    Examples:
      crm-sweep cancel 01JD4M6Y9Q
    """
    return _control(ctx, job_id, Event.CANCEL)


def approve(
    ctx: typer.Context,
    job_id: JobId,
    digest: Annotated[
        str | None,
        typer.Option(
            "--digest",
            metavar="D",
            help="Digest of the plan that you mean, or at least its first 12 digits; needed without a terminal.",
        ),
    ] = None,
) -> ExitCode:
    """Approve a job so that it starts: one that has a plan, or whose list is larger than the portal's approval_above.

    On a terminal, the plan is shown and the number of contacts has to be typed. In a script, --digest says which plan
    is meant. If that is not the job's plan, or it has expired, nothing is approved.

    Exit codes: 0 done, 2 bad usage, or the job's state, its plan or a guard of the portal does not allow it, 4 no such
    job or portal, 5 Redis cannot be reached.

    Examples:
      crm-sweep approve 01JD4M6Y9Q
      crm-sweep approve 01JD4M6Y9Q --digest 5f3c1b2a9d0e
    """
    settings = settings_of(ctx)
    if digest is not None and len(digest) < _SHORTEST_DIGEST:
        raise UsageError(
            f"--digest: expected at least the first {_SHORTEST_DIGEST} digits of the digest, got {digest!r}"
        )
    if digest is None:
        job = run_async(_read_with_sample(settings, job_id))
        if job.plan and job.state is State.AWAITING_APPROVAL and job.state_reason != StateReason.PLAN_EXPIRED:
            if not sys.stdin.isatty():
                raise UsageError(
                    f"job {job_id} has a plan, and there is no terminal to show it on: name its digest with --digest; "
                    "nothing was approved"
                )
            agree_to(job, job.plan)
            digest = job.plan.digest
    return _control(ctx, job_id, Event.APPROVE, digest)


def retry_failed_(ctx: typer.Context, job_id: JobId) -> ExitCode:
    """Retry the contacts of a completed job that `failed`, within the same job and ledger.

    All other outcomes stay as they are. A contact that is gone by now becomes `presumed_deleted`, because a deletion
    that was given up may have taken effect late.

    Exit codes: 0 done, 2 bad usage, or the job's state does not allow it, 4 no such job, 5 Redis cannot be reached.

    Examples:
      crm-sweep retry-failed 01JD4M6Y9Q
    """
    steered = run_async(_steer(settings_of(ctx), job_id, Event.RETRY_FAILED))
    count = steered.retried
    what = (
        f"{plural(count, 'contact')} {'is' if count == 1 else 'are'} retried"
        if count
        else "no contact has failed, so there is nothing to retry"
    )
    _done(f"job {job_id} is {steered.state}: {what}")
    return ExitCode.DONE


def priority(
    ctx: typer.Context,
    job_id: JobId,
    wanted: Annotated[
        Priority, typer.Argument(metavar="PRIORITY", help="urgent, normal or background.", show_default=False)
    ],
) -> ExitCode:
    """Change how often a job gets a turn among the other jobs of its portal, from its next batch on.

    An urgent job gets ten turns for each turn of a normal job, and a normal job ten for each turn of a background job.

    Exit codes: 0 done, 2 bad usage, or the job's state does not allow it, 4 no such job, 5 Redis cannot be reached.

    Examples:
      crm-sweep priority 01JD4M6Y9Q urgent
      crm-sweep priority 01JD4M6Y9Q background
    """
    run_async(_set_priority(settings_of(ctx), job_id, wanted))
    _done(f"job {job_id} is now {wanted}")
    return ExitCode.DONE


async def _set_priority(settings: Settings, job_id: str, wanted: Priority) -> None:
    async with redis_of(settings) as redis:
        await change_priority(redis, settings, job_id, wanted, by=operator())


def _control(ctx: typer.Context, job_id: str, event: Event, digest: str | None = None) -> ExitCode:
    steered = run_async(_steer(settings_of(ctx), job_id, event, digest))
    rest = f": {rest_in_words(steered.rest_until_ms)}; one careful call goes first" if steered.rest_until_ms else ""
    _done(f"job {job_id} is {steered.state}{rest}")
    return ExitCode.DONE


def _done(deed: str) -> None:
    out_after(deed, "this", f"{deed}\n")


async def _steer(settings: Settings, job_id: str, event: Event, digest: str | None = None) -> Steered:
    async with redis_of(settings) as redis:
        return await steer_job(redis, settings, job_id, event, by=operator(), digest=digest)


async def _read_with_sample(settings: Settings, job_id: str) -> Job:
    async with redis_of(settings) as redis:
        return await with_sample(redis, await read_job(redis, job_id))
