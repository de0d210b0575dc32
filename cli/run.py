"""`crm-sweep run`: a job from its list to its report in one process, with no server but its own."""

import asyncio
import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.context import AsJson, operator, redis_of, settings_of
from cli.embedded import EmbeddedServer
from cli.errors import ExitCode, Interrupted, JobStopped, exit_code_of
from cli.intake import Column, File, Multiline, PortalName, SkipInvalid, WantedPriority, Yes, confirm, read_list, tell
from cli.interrupts import interruptible, terminable
from cli.keeper import on_server
from cli.log_file import LogFile
from cli.loop import run_async
from cli.output import OutputLost, note, out_after, plural, rendered
from cli.progress import display, follow
from cli.report import check_target, write_report
from cli.summary import standing, standstill, summary
from config.logging import configure_logging
from config.settings import Portal, Settings
from jobs.accept.submission import Approval, Submission, submission_for
from jobs.accept.submit import digest_of, submit
from jobs.intake.protected import read_protected
from jobs.lanes.lease import take_over
from jobs.lanes.wake import wake_lanes
from jobs.ledger.export import Format
from jobs.steering.control import control
from jobs.view.actions import rest_in_words
from jobs.view.job import Job, read_job, to_json
from jobs.words.errors import IllegalMove, UnknownJob
from jobs.words.priority import Priority
from jobs.words.reasons import NEEDS_A_PERSON, StateReason
from jobs.words.states import Event, State
from worker.fleet import RESCUE_SETTLE_S
from worker.main import working

#: A portal that has not answered once in this time was given with a wrong address, or is away: seconds.
FIRST_ANSWER_S = 12.0

#: What lets a job go on that has stopped: there is no worker that could be told to `resume`.
_GO_ON = "start the same command again"

#: Our own server is up again after this at the latest, or for good away: seconds.
_RESTART_S = 150.0

#: The ledger of a finished run is its proof that everything is done; it goes with the state directory.
_KEEP_DAYS = 3650.0


def run(
    ctx: typer.Context,
    file: File,
    *,
    portal: PortalName,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="OUT.csv", help="Write the ledger there, one line per contact.")
    ] = None,
    column: Column = None,
    skip_invalid: SkipInvalid = False,
    multiline: Multiline = False,
    priority: WantedPriority = Priority.NORMAL,
    yes: Yes = False,
    state_dir: Annotated[Path, typer.Option("--state-dir", metavar="DIR", help="Where the ledger is kept.")] = Path(
        ".crm-sweep"
    ),
    as_json: AsJson = False,
) -> ExitCode:
    """Delete the contacts of a list, from start to end, without any server.

    The ledger is kept in the state directory by a Redis of its own. Interrupted by Ctrl-C, a crash or a reboot, and
    started again with the same file, portal and state directory, it carries on where it was. Started again after
    the end, it prints the same report and deletes nothing.

    Exit codes: 0 done, 1 too many contacts failed, or the job has ended and its report or summary could not be written,
    2 bad usage or input, 3 done but some contacts failed, 4 no such portal, 5 the portal cannot be reached or lets
    nothing be done, or the ledger's server cannot run (the same command carries on), 130 interrupted.

    Examples:
      crm-sweep run contacts.csv --portal main --report outcome.csv
      zcat ids.gz | crm-sweep run - --portal main --yes
    """
    settings = settings_of(ctx)
    target = settings.portal(portal)
    if report:
        check_target(report)
    is_new = not state_dir.exists()
    if is_new:
        read_protected(target)  # the worker reads it again, but a fault in it is to be known before there is a job
    intake = read_list(file, column=column, skip_invalid=skip_invalid, multiline=multiline)
    submission = submission_for(
        target,
        intake.ids,
        by=operator(),
        approval=Approval.GIVEN,
        duplicates=intake.duplicates,
        priority=priority,
    )
    submission = replace(submission, job_id=f"run-{digest_of(submission)[:16]}")
    with terminable(), EmbeddedServer(state_dir) as server:
        redis = settings.redis.model_copy(update={"url": server.url})
        embedded = settings.model_copy(update={"redis": redis, "retention_days": _KEEP_DAYS})
        tell(file, intake)
        known = run_async(on_server(server, _known(embedded, submission)))
        if not is_new and not (known and known.ended):
            read_protected(target)  # not needed for a job that has ended, which is only reported
        if not known:
            confirm(intake, target.name, above=_ask_above(settings, target), yes=yes)
        with LogFile(state_dir / "worker.log") as log:
            configure_logging(settings.log.model_copy(update={"format": "json"}), log)
            try:
                job = run_async(_until_stopped(server, embedded, target, submission))
            except JobStopped as stopped:
                if report:
                    try:
                        run_async(on_server(server, _report(embedded, stopped.job.id, report)))
                    except OutputLost as lost:
                        note(str(lost))
                raise
        lost_report: OutputLost | None = None
        if report:
            try:
                run_async(on_server(server, _report(embedded, job.id, report)))
            except OutputLost as lost:
                lost_report = lost
    out_after(
        f"job {job.id} is {job.state}",
        "its JSON" if as_json else "its summary",
        to_json(job).decode() + "\n" if as_json else rendered(summary(job)),
    )
    if lost_report:
        raise OutputLost(f"job {job.id} is {job.state}; {lost_report}; the same command writes it, and deletes nothing")
    return exit_code_of(job)


def _ask_above(settings: Settings, portal: Portal) -> int:
    # Nobody else can reach this ledger, so whoever confirms here also gives the approval that the portal wants.
    return min(settings.confirm_above, portal.approval_above or settings.confirm_above)


async def _known(settings: Settings, submission: Submission) -> Job | None:
    """Read the job that an earlier start of the same command has made; None if there was none."""
    async with redis_of(settings, patience_s=_RESTART_S) as redis:
        try:
            return await read_job(redis, submission.job_id or "")
        except UnknownJob:
            return None


async def _report(settings: Settings, job_id: str, target: Path) -> None:
    async with redis_of(settings, patience_s=_RESTART_S) as redis:
        lines = await write_report(redis, job_id, target, Format.CSV, None)
    note(f"{target}: {plural(lines, 'line')}")


async def _until_stopped(server: EmbeddedServer, settings: Settings, portal: Portal, submission: Submission) -> Job:
    async with interruptible() as stop:
        return await on_server(server, _to_its_end(settings, portal, submission, stop), stop)


async def _to_its_end(settings: Settings, portal: Portal, submission: Submission, stop: asyncio.Event) -> Job:
    """Drive a job to its end, from wherever it was left, or until the event is set.

    Raises:
        Interrupted: the person stopped it; the batches in flight have been recorded.
        JobStopped: the portal, or too many failures, stopped it.
    """
    async with redis_of(settings, patience_s=_RESTART_S) as redis:
        accepted = await submit(redis, submission)
        job = await read_job(redis, accepted.job_id)
        if not accepted.created:
            note(standstill(job, f"{job.state}; nothing left to do" if job.ended else "carrying on"))
        if job.ended:
            return job
        # Whoever starts this says that the portal is to be tried, whichever list met its fault or its push-back.
        with contextlib.suppress(IllegalMove):
            resumed = await control(redis, job.id, Event.RESUME, by=operator())
            if resumed.rest_until_ms:
                note(f"{rest_in_words(resumed.rest_until_ms)}; one careful call goes first")
        # The state directory is ours alone, so whoever drove the portal before is dead.
        await take_over(redis, portal.name, RESCUE_SETTLE_S)
        async with working(settings):
            await wake_lanes(redis, portal.name, portal.max_concurrency)
            patience = _Patience(job)
            with display(_GO_ON) as show:

                def show_but_the_end(now: Job) -> None:
                    # Why it stops is said in the end, and once.
                    if now.ended or not (patience(now) or now.state is State.PAUSING):
                        show(now)

                watch = asyncio.create_task(follow(redis, job.id, show_but_the_end, until=patience, patience_s=None))
                interrupt = asyncio.create_task(stop.wait())
                await asyncio.wait({watch, interrupt}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                note("stopping: the batches in flight are waited for (Ctrl-C once more does not wait)")
            interrupt.cancel()
            watch.cancel()
            last = watch.result() if watch.done() else None
        job = await read_job(redis, job.id)
        if job.ended:
            return job
        if stop.is_set():
            raise Interrupted(f"{standstill(job, 'interrupted')}; the same command carries on")
        if last and job.state is not State.PAUSED:
            # Given up, or held by a fault; now that the worker has left, its absence would be the reason.
            reason = last.state_reason if last.state_reason in NEEDS_A_PERSON else StateReason.PORTAL_UNREACHABLE
            job = msgspec.structs.replace(job, state_reason=reason, last_error=last.last_error)
        if job.state_reason == StateReason.PORTAL_UNREACHABLE:
            raise JobStopped(f"{standstill(job, 'stopped')}; {standing(job)}; the same command carries on", job)
        if job.state is not State.PAUSED:
            raise JobStopped(f"{standstill(job, 'stopped')}; {standing(job, _GO_ON)}", job)
        raise JobStopped(f"{standstill(job, job.state)}; {standing(job, _GO_ON)}", job)


class _Patience:
    """Says when waiting is over: the job has ended, a person has to act, or the portal has not answered once.

    What passes by itself, as a rest that the portal asked for, is waited for.
    """

    def __init__(self, before: Job) -> None:
        self._sent_before = before.requests.sent
        self._until_s = time.monotonic() + FIRST_ANSWER_S
        self._unreachable = False

    def __call__(self, job: Job) -> bool:
        if job.ended or job.state is State.PAUSED:
            return True
        if job.state is not State.PAUSING and job.state_reason in NEEDS_A_PERSON:
            return True  # another job of the state directory has met the fault, which holds this one as well
        self._unreachable = job.requests.sent == self._sent_before and (
            self._unreachable or job.state_reason == StateReason.PORTAL_UNREACHABLE
        )
        return self._unreachable and time.monotonic() > self._until_s
