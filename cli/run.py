"""`crm-sweep run`: a job from its list to its report in one process, with no server but its own."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cli.approval import agree_to
from cli.context import AsJson, begin_tracing, operator, redis_of, settings_of
from cli.embedded import EmbeddedServer
from cli.errors import JobStopped, UsageError, exit_code_of
from cli.exit_codes import ExitCode
from cli.filter_options import (
    CreatedFrom,
    CreatedTo,
    Everything,
    Responsible,
    Stage,
    Tags,
    Text,
    Type,
    WantedView,
    WithoutEmail,
    WithoutTags,
    filter_or_none,
)
from cli.intake import (
    Column,
    Multiline,
    OptionalFile,
    PortalName,
    SkipInvalid,
    WantedPriority,
    WantsUndo,
    Yes,
    confirm,
    list_or_filter,
    tell,
)
from cli.interrupts import terminable
from cli.keeper import on_server
from cli.log_file import LogFile
from cli.loop import run_async
from cli.output import OutputLost, note, out_after, plural, rendered
from cli.plan_view import plan_view
from cli.report import check_target, write_report
from cli.run_job import RESTART_S, until_stopped
from cli.state_dir import USUAL, run_id
from cli.summary import standing, told
from config.logging import configure_logging
from config.settings import Portal, Settings
from jobs.accept.submission import Submission, submission_for
from jobs.accept.submit import digest_of
from jobs.bundles.store import BundleStore
from jobs.intake.protected import read_protected
from jobs.ledger.export import Format
from jobs.plan.summary import Plan
from jobs.view.job import Job, read_job, to_json
from jobs.words.errors import UnknownJob
from jobs.words.priority import Priority
from jobs.words.states import State
from restore.ledger import count_restored

#: The ledger of a finished run is its proof that everything is done; it goes with the state directory.
_KEEP_DAYS = 3650.0


def run(
    ctx: typer.Context,
    file: OptionalFile = None,
    *,
    portal: PortalName,
    tags: Tags = None,
    without_tags: WithoutTags = None,
    view: WantedView = None,
    stage: Stage = None,
    type_: Type = None,
    responsible: Responsible = None,
    created_from: CreatedFrom = None,
    created_to: CreatedTo = None,
    without_email: WithoutEmail = False,
    text: Text = None,
    everything: Everything = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Show what would become of each contact, and ask, before anything is deleted."),
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="OUT.csv", help="Write the ledger there, one line per contact.")
    ] = None,
    column: Column = None,
    skip_invalid: SkipInvalid = False,
    multiline: Multiline = False,
    priority: WantedPriority = Priority.NORMAL,
    undo: WantsUndo = None,
    yes: Yes = False,
    state_dir: Annotated[Path, typer.Option("--state-dir", metavar="DIR", help="Where the ledger is kept.")] = USUAL,
    as_json: AsJson = False,
) -> ExitCode:
    """Delete the contacts of a list, or those that a filter matches, from start to end, without any server.

    The ledger is kept in the state directory by a Redis of its own. Interrupted by Ctrl-C, a crash or a reboot, and
    started again with the same file, portal and state directory, it carries on where it was. Started again after
    the end, it prints the same report and deletes nothing.

    With --plan, and always with a filter, every contact is read from the portal first. The plan is shown, and the
    number of contacts has to be typed; --yes approves whatever the plan says.

    Exit codes: 0 done, 1 too many contacts failed, or the job has ended and its report or summary could not be written,
    2 bad usage or input, 3 done but some contacts failed, 4 no such portal, 5 the portal cannot be reached or lets
    nothing be done, or the ledger's server cannot run (the same command carries on), 130 interrupted.

    Examples:
      crm-sweep run contacts.csv --portal main --plan --report outcome.csv
      crm-sweep run contacts.csv --portal main --yes
      crm-sweep run --portal main --tag trash --without-tag vip --plan --report outcome.csv
      zcat ids.gz | crm-sweep run - --portal main --yes
    """
    settings = settings_of(ctx)
    target = settings.portal(portal)
    if report:
        check_target(report)
    is_new = not state_dir.exists()
    if is_new:
        read_protected(target)  # the worker reads it again, but a fault in it is to be known before there is a job
    selection = filter_or_none(
        tags=tags,
        without_tags=without_tags,
        view=view,
        stage=stage,
        type=type_,
        responsible=responsible,
        created_from=created_from,
        created_to=created_to,
        without_email=without_email,
        text=text,
        everything=everything,
    )
    chosen = list_or_filter(file, selection, column=column, skip_invalid=skip_invalid, multiline=multiline)
    submission = submission_for(
        target,
        chosen.ids,
        by=operator(),
        selection=selection,
        plan=plan,
        duplicates=chosen.duplicates,
        priority=priority,
        undo=undo,
    )
    submission = replace(submission, job_id=_id_of(submission))
    with terminable(), EmbeddedServer(state_dir) as server:
        redis = settings.redis.model_copy(update={"url": server.url})
        # Schedules belong to the workers of the service; this server has one job.
        changes = {"redis": redis, "retention_days": _KEEP_DAYS, "schedules": ()}
        embedded = settings.model_copy(update=changes)
        if file and chosen.intake:
            tell(file, chosen.intake)
        known = run_async(on_server(server, _known(embedded, submission)))
        if not (known and known.ended):  # not needed for a job that has ended, which is only reported
            _try_files(target, submission, protected=not is_new)
        if not known and chosen.intake and not submission.plan:
            confirm(chosen.intake, target.name, above=_ask_above(settings, target), yes=yes)
        with LogFile(state_dir / "worker.log") as log:
            configure_logging(settings.log.model_copy(update={"format": "json"}), log)
            begin_tracing(settings)
            try:
                job = run_async(until_stopped(server, embedded, target, submission))
                if job.plan and job.state is State.AWAITING_APPROVAL:
                    _agree_to(job, job.plan, yes=yes)
                    job = run_async(until_stopped(server, embedded, target, submission, job.plan.digest))
            except JobStopped as stopped:
                if report:
                    _report_what_there_is(server, embedded, stopped.job.id, report)
                raise
        lost_report: OutputLost | None = None
        if report:
            try:
                run_async(on_server(server, _report(embedded, job.id, report)))
            except OutputLost as lost:
                lost_report = lost
        restored = run_async(on_server(server, _restored(embedded, job.id))) if job.bundle else 0
    _tell_the_end(job, restored, state_dir, lost_report, as_json=as_json)
    return exit_code_of(job)


def _try_files(portal: Portal, submission: Submission, *, protected: bool) -> None:
    """Try what the worker is going to use, so that a fault in it is known before there is a job.

    Raises:
        BadProtectedList: the protected list cannot be used.
        StoreTrouble: the undo store is needed, and there is none.
    """
    if protected:
        read_protected(portal)
    if submission.undo:
        BundleStore.of(portal)


def _id_of(submission: Submission) -> str:
    """Return the ID under which the same list or filter is found again, for the same portal at the same address."""
    return run_id(hashlib.sha256(f"{digest_of(submission)} {submission.address}".encode()).hexdigest())


def _tell_the_end(job: Job, restored: int, state_dir: Path, lost_report: OutputLost | None, *, as_json: bool) -> None:
    """Print what became of the job, and whether its report is missing.

    Args:
        job: the job.
        restored: how many of its contacts have been restored.
        state_dir: where it is.
        lost_report: why its report could not be written; None if it was, or was not wanted.
        as_json: whether to print JSON.

    Raises:
        OutputLost: the report or the summary could not be written.
    """
    if job.state is State.COMPLETED and not job.total:
        note("the filter matches no contact")
    if job.state is State.FAILED:
        note(f"nothing was deleted: {standing(job)}")
    out_after(
        f"job {job.id} is {job.state}",
        "its JSON" if as_json else "its summary",
        to_json(job).decode() + "\n" if as_json else told(job, restored, state_dir),
    )
    if lost_report:
        raise OutputLost(f"job {job.id} is {job.state}; {lost_report}; the same command writes it, and deletes nothing")


def _agree_to(job: Job, plan: Plan, *, yes: bool) -> None:
    """Have the user agree to a plan, unless they have already.

    Raises:
        UsageError: they did not, or cannot be asked.
    """
    if not yes and sys.stdin.isatty():
        agree_to(job, plan)
        return
    note(rendered(plan_view(job)).rstrip())
    if not yes:
        raise UsageError("there is no terminal to agree to the plan at: --yes is needed; nothing was deleted")


def _ask_above(settings: Settings, portal: Portal) -> int:
    # Nobody else can reach this ledger, so whoever confirms here also gives the approval that the portal wants.
    return min(settings.confirm_above, portal.approval_above or settings.confirm_above)


async def _known(settings: Settings, submission: Submission) -> Job | None:
    """Read the job that an earlier start of the same command has made; None if there was none."""
    async with redis_of(settings, patience_s=RESTART_S) as redis:
        try:
            return await read_job(redis, submission.job_id or "")
        except UnknownJob:
            return None


async def _restored(settings: Settings, job_id: str) -> int:
    async with redis_of(settings, patience_s=RESTART_S) as redis:
        return await count_restored(redis, job_id)


def _report_what_there_is(server: EmbeddedServer, settings: Settings, job_id: str, target: Path) -> None:
    """Write the report of a job that has stopped; that it has is the larger trouble."""
    try:
        run_async(on_server(server, _report(settings, job_id, target)))
    except OutputLost as lost:
        note(str(lost))


async def _report(settings: Settings, job_id: str, target: Path) -> None:
    async with redis_of(settings, patience_s=RESTART_S) as redis:
        lines = await write_report(redis, job_id, target, Format.CSV, None)
    note(f"{target}: {plural(lines, 'line')}")
