"""`crm-sweep submit`: queue a job for the workers."""

import asyncio
from typing import Annotated

import typer
from redis.exceptions import RedisError

from cli.context import AsJson, begin_tracing, operator, redis_of, settings_of
from cli.exit_codes import ExitCode
from cli.intake import (
    Column,
    File,
    Multiline,
    PortalName,
    SkipInvalid,
    WantedPriority,
    WantsUndo,
    Yes,
    confirm,
    read_list,
    tell,
    will_ask,
)
from cli.loop import run_async
from cli.output import OutputLost, note, out_after
from cli.summary import standing
from config.settings import Settings
from jobs.accept.submission import Submission, submission_for
from jobs.accept.submit import Accepted
from jobs.accept.submit import submit as submit_job
from jobs.store.connection import AWAY
from jobs.view.job import Job, read_job, submitted_job, to_json
from jobs.words.job_ids import check_job_id
from jobs.words.priority import Priority
from jobs.words.reasons import StateReason


def submit(
    ctx: typer.Context,
    file: File,
    *,
    portal: PortalName,
    label: Annotated[str, typer.Option("--label", metavar="TEXT", help="A few words for people.")] = "",
    job_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The job's ID; it makes submitting twice safe.")
    ] = None,
    column: Column = None,
    skip_invalid: SkipInvalid = False,
    multiline: Multiline = False,
    priority: WantedPriority = Priority.NORMAL,
    undo: WantsUndo = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Queue a job and print its ID as the only line on standard output.

    With --id, submitting the same list again returns the same job; another list with the same ID is refused. An urgent
    job gets ten turns for each turn of a normal job, and a normal job ten for each turn of a background job.

    Exit codes: 0 queued, 1 queued, but the ID could not be written to standard output (it is on standard error), 2 bad
    usage or input, nothing was queued, 4 no such portal, 5 Redis cannot be reached or refuses.

    Examples:
      crm-sweep submit contacts.csv --portal main --label "spring cleanup"
      crm-sweep submit everything.csv --portal main --priority background --yes
      ID=$(crm-sweep submit ids.txt --portal main --yes) && crm-sweep watch "$ID"
    """
    settings = settings_of(ctx)
    begin_tracing(settings)
    target = settings.portal(portal)
    if job_id:
        check_job_id(job_id)
    intake = read_list(file, column=column, skip_invalid=skip_invalid, multiline=multiline)
    submission = submission_for(
        target,
        intake.ids,
        by=operator(),
        job_id=job_id,
        label=label,
        duplicates=intake.duplicates,
        priority=priority,
        undo=undo,
    )
    asks = will_ask(intake, above=settings.confirm_above, yes=yes)
    if asks:
        tell(file, intake)
    confirm(intake, target.name, above=settings.confirm_above, yes=yes)
    accepted, job = run_async(_submit(settings, submission))
    if not asks:
        tell(file, intake)
    queued = f"job {accepted.job_id} {'is queued' if accepted.created else 'had been submitted before'}"
    if job is None:
        if as_json:
            raise OutputLost(f"{queued}; it could not be read back, because Redis is away")
    elif not accepted.created:
        note(f"{queued}; it is {job.state}")
    elif job.state_reason in {StateReason.APPROVAL, StateReason.NO_WORKER}:
        note(f"{job.state}, {standing(job)}")
    if job is not None and as_json:
        out_after(queued, "its JSON", to_json(submitted_job(job, intake.report)).decode() + "\n")
    else:
        out_after(queued, "its ID", accepted.job_id + "\n")
    return ExitCode.DONE


async def _submit(settings: Settings, submission: Submission) -> tuple[Accepted, Job | None]:
    """Queue the job and return it as it is then, or None if Redis went away right after."""
    async with redis_of(settings) as redis:
        accepted = await submit_job(redis, submission)
        try:
            return accepted, await read_job(redis, accepted.job_id)
        except (*AWAY, RedisError):
            return accepted, None
        except asyncio.CancelledError:
            note(f"job {accepted.job_id} is queued")
            raise
