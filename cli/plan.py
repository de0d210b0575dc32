"""`crm-sweep plan`: see what would become of contacts before any of them is deleted."""

import asyncio
from typing import Annotated

import typer
from arq.connections import ArqRedis

from cli.context import AsJson, begin_tracing, operator, redis_of, settings_of
from cli.errors import JobStopped
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
    list_or_filter,
    tell,
)
from cli.loop import run_async
from cli.output import note, out_after, rendered
from cli.plan_view import plan_view
from cli.progress import display, follow
from cli.summary import standing
from config.settings import Settings
from jobs.accept.submission import Submission, submission_for
from jobs.accept.submit import submit
from jobs.ledger.retention import forget_job
from jobs.plan.summary import BLAST_RADIUS, Plan
from jobs.steering.control import control
from jobs.view.job import Job, read_job, to_json, with_sample
from jobs.words.errors import IllegalMove
from jobs.words.job_ids import check_job_id
from jobs.words.priority import Priority
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State


def plan(
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
    label: Annotated[str, typer.Option("--label", metavar="TEXT", help="A few words for people.")] = "",
    job_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The job's ID; it makes planning twice safe.")
    ] = None,
    column: Column = None,
    skip_invalid: SkipInvalid = False,
    multiline: Multiline = False,
    priority: WantedPriority = Priority.NORMAL,
    undo: WantsUndo = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Forget the job once its plan is printed; it cannot be approved then.")
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Predict what would become of each contact of a list or a filter. Nothing is deleted until the plan is approved.

    A worker reads every contact from the portal. This command shows its progress, prints the plan and ends; the job
    then waits for `crm-sweep approve`. Ctrl-C ends the watching, not the planning.

    Exit codes: 0 the plan stands, or the filter matches nothing, 1 no plan could be made, or it could not be written to
    standard output, 2 bad usage, list or filter, 4 no such portal, 5 Redis cannot be reached, 130 interrupted.

    Examples:
      crm-sweep plan --portal main --tag trash --without-tag vip
      crm-sweep plan contacts.csv --portal main --label "spring cleanup"
      crm-sweep plan --portal main --created-to 2019-12-31 --without-email --dry-run --json
    """
    settings = settings_of(ctx)
    begin_tracing(settings)
    target = settings.portal(portal)
    if job_id:
        check_job_id(job_id)
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
        plan=True,
        job_id=job_id,
        label=label,
        duplicates=chosen.duplicates,
        priority=priority,
        undo=undo,
    )
    if file and chosen.intake:
        tell(file, chosen.intake)
    job = run_async(_plan(settings, submission, dry_run=dry_run))
    if job.state is State.FAILED:
        raise JobStopped(f"no plan could be made: {job.last_error or standing(job)}", job)
    deed = f"the plan of job {job.id} stands"
    if job.state is State.COMPLETED and not job.total:
        deed = f"job {job.id} is completed: the filter matches no contact"
        note(deed)
    out_after(deed, "it", to_json(job).decode() + "\n" if as_json else rendered(plan_view(job)))
    if job.plan and can_be_approved(job, job.plan) and not dry_run:
        note(f"to approve it: crm-sweep approve {job.id} --digest {job.plan.digest[:12]}")
    return ExitCode.DONE


def can_be_approved(job: Job, plan: Plan) -> bool:
    """Check whether nothing that is known forbids to approve a plan: it waits, is young enough, and not too large."""
    waits = job.state is State.AWAITING_APPROVAL and job.state_reason != StateReason.PLAN_EXPIRED
    return waits and not any(warning.code == BLAST_RADIUS for warning in plan.warnings)


async def _plan(settings: Settings, submission: Submission, *, dry_run: bool) -> Job:
    """Submit a job, and wait until its plan stands or there is none."""
    async with redis_of(settings) as redis:
        accepted = await submit(redis, submission)
        if not accepted.created:
            note(f"job {accepted.job_id} had been submitted before")
        try:
            with display() as show:

                def show_but_the_end(now: Job) -> None:
                    # The plan, or why there is none, is printed right after this.
                    if now.state is State.PLANNING:
                        show(now)

                job = await follow(redis, accepted.job_id, show_but_the_end, until=_is_planned)
        except asyncio.CancelledError:
            if dry_run and accepted.created:
                await _forget(redis, accepted.job_id)
            else:
                note(f"job {accepted.job_id} is being planned; `crm-sweep watch {accepted.job_id}` shows it again")
            raise
        job = await with_sample(redis, job)
        if dry_run and accepted.created:
            await _forget(redis, job.id)
        return job


def _is_planned(job: Job) -> bool:
    return job.state is not State.PLANNING


async def _forget(redis: ArqRedis, job_id: str) -> None:
    """Remove a job that was only planned. One that somebody has approved meanwhile stays, and its ledger with it."""
    try:
        await control(redis, job_id, Event.CANCEL, by=operator(), only_in=(State.PLANNING, State.AWAITING_APPROVAL))
    except IllegalMove:
        job = await read_job(redis, job_id)
        if not job.ended or job.started_at:
            note(f"job {job_id} is not forgotten: somebody has approved it meanwhile; it is {job.state}")
            return
    # A step that is under way is waited for.
    await follow(redis, job_id, lambda _job: None, until=lambda job: job.ended)
    await forget_job(redis, job_id)
