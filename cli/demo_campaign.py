"""The first part of the demo: a campaign by filter, its plan, and a canary that catches a surprise."""

from arq.connections import ArqRedis
from pyroaring import BitMap

from cli.context import operator
from cli.errors import UsageError
from cli.output import note, plural, rendered
from cli.plan_view import plan_view
from cli.progress import display, follow
from config.settings import Settings
from jobs.accept.submission import submission_for
from jobs.accept.submit import submit
from jobs.steering.steer import steer_job
from jobs.view.job import Job, with_sample
from jobs.words.filters import Filter
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator.client import SimulatorClient

#: Contacts that are tagged `trash`, and how many of them are tagged `vip` as well.
TAGGED, VIPS = 400, 12
#: How many of the others a colleague takes out of the account's reach after the plan was made.
SURPRISE = 100


async def run_campaign(redis: ArqRedis, settings: Settings, portal: SimulatorClient, first_id: int) -> Job:
    """Plan the deletion of some contacts, approve it, and stop where the canary says so.

    Args:
        redis: the connection.
        settings: those of the demo; its portal has a canary.
        portal: the simulated portal.
        first_id: the first of `TAGGED` contacts that this is about.

    Returns:
        The campaign's job, cancelled.

    Raises:
        UsageError: it went otherwise than it should.
    """
    tagged = range(first_id, first_id + TAGGED)
    await portal.change_world(tag={"trash": list(tagged), "vip": list(tagged[:VIPS])})
    selection = Filter(tags=("trash",), without_tags=("vip",))
    submission = submission_for(settings.portal("demo"), BitMap(), by=operator(), selection=selection, label="campaign")
    job_id = (await submit(redis, submission)).job_id
    job = await _until(redis, job_id, State.AWAITING_APPROVAL)
    job = await with_sample(redis, job)
    note(rendered(plan_view(job)).rstrip())
    if job.plan is None:
        raise UsageError(f"the campaign has no plan: {job.last_error}")
    # In the upper half, where a look at the first rows would not have found them.
    changed = tagged[-SURPRISE:]
    await portal.change_world(make_read_only=list(changed))
    note(f"approved; but in the meantime, a colleague has taken away the account's right to {len(changed)} of them")
    await steer_job(redis, settings, job_id, Event.APPROVE, by=operator(), digest=job.plan.digest)
    job = await _until(redis, job_id, State.PAUSED)
    if job.canary is None or not job.canary.departed:
        raise UsageError("the canary has not caught the surprise")
    note(
        f"the canary has caught it: of {plural(job.canary.contacts, 'contact')} that went first, {job.canary.departed} "
        f"did not end as planned; the {job.counts[Outcome.PENDING]:,} others are untouched, and it is cancelled"
    )
    await steer_job(redis, settings, job_id, Event.CANCEL, by=operator())
    return await _until(redis, job_id, State.CANCELLED)


async def _until(redis: ArqRedis, job_id: str, state: State) -> Job:
    with display() as show:
        job = await follow(redis, job_id, show, until=lambda job: job.ended or job.state is state, patience_s=None)
    if job.state is not state:
        raise UsageError(f"the campaign is {job.state}: {job.last_error or job.state_reason}")
    return job
