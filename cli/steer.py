"""`pause`, `resume`, `cancel` and `approve`: steering jobs."""

import typer

from cli.context import JobId, redis_of, settings_of
from cli.errors import ExitCode
from cli.loop import run_async
from cli.output import out
from config.settings import Settings
from jobs.control import control
from jobs.states import Event, State
from jobs.view import read_job


def pause(ctx: typer.Context, job_id: JobId) -> ExitCode:
    """Pause a job: no new batch starts, those in flight are recorded.

    Examples:
      crm-sweep pause 01JD4M6Y9Q
    """
    return _steer(ctx, job_id, Event.PAUSE)


def resume(ctx: typer.Context, job_id: JobId) -> ExitCode:
    """Let a paused job go on, also one that a fault of the portal has stopped.

    Examples:
      crm-sweep resume 01JD4M6Y9Q
    """
    return _steer(ctx, job_id, Event.RESUME)


def cancel(ctx: typer.Context, job_id: JobId) -> ExitCode:
    """Stop a job for good. Contacts that were never sent become `skipped`; what was sent is accounted for.

    Examples:
      crm-sweep cancel 01JD4M6Y9Q
    """
    return _steer(ctx, job_id, Event.CANCEL)


def approve(ctx: typer.Context, job_id: JobId) -> ExitCode:
    """Agree to a job that is larger than the portal's approval_above, so that it starts.

    Examples:
      crm-sweep approve 01JD4M6Y9Q
    """
    return _steer(ctx, job_id, Event.APPROVE)


def _steer(ctx: typer.Context, job_id: str, event: Event) -> ExitCode:
    state = run_async(_control(settings_of(ctx), job_id, event))
    out(f"job {job_id} is {state}\n")
    return ExitCode.DONE


async def _control(settings: Settings, job_id: str, event: Event) -> State:
    async with redis_of(settings) as redis:
        job = await read_job(redis, job_id)
        portal = settings.portals.get(job.portal)
        return await control(redis, job_id, event, lanes=portal.max_concurrency if portal else 1)
