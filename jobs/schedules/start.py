"""Starting a schedule: a start is claimed for one job, and that job comes in through the door that all jobs use.

The job's ID is made of the schedule's name and the due time. So whoever finds a claim whose owner died can submit the
job again, and there is still only one.
"""

from collections.abc import Awaitable, Callable

from arq.connections import ArqRedis
from pyroaring import BitMap

from config.errors import UnknownSchedule
from config.logging import get_logger
from config.settings import Schedule, Settings
from jobs.accept.submission import submission_for
from jobs.accept.submit import submit
from jobs.schedules.definition import filter_of, job_id_by_hand
from jobs.schedules.memory import Claim, claim_by_hand, forget_claim, starter
from jobs.steering.control import control
from jobs.store import keys
from jobs.store.times import server_ms
from jobs.words.errors import IllegalMove, JobExists, ScheduleBusy, UnknownJob
from jobs.words.priority import Priority
from jobs.words.states import Event, State


def schedule_named(settings: Settings, name: str) -> Schedule:
    """Return a configured schedule.

    Raises:
        UnknownSchedule: there is none of this name.
    """
    for schedule in settings.schedules:
        if schedule.name == name:
            return schedule
    raise UnknownSchedule(name[:80], [schedule.name for schedule in settings.schedules])


async def start_by_hand(redis: ArqRedis, settings: Settings, name: str, *, by: str) -> str:
    """Start a schedule now, enabled or not; everything else goes as when it is due.

    Args:
        redis: the connection.
        settings: the configuration.
        name: the schedule's name.
        by: who asks; kept with the job as its submitter.

    Returns:
        The job's ID.

    Raises:
        UnknownSchedule: no schedule of this name is configured.
        ScheduleBusy: its last job has not ended.
        JobExists: the ID of the new job is taken by a job that somebody else submitted.
    """
    schedule = schedule_named(settings, name)
    now_ms = server_ms(await redis.time())
    job_id = job_id_by_hand(name, now_ms)
    claimed = await replacing_expired(
        redis, schedule, lambda: claim_by_hand(redis, schedule, job_id=job_id, by=by, now_ms=now_ms)
    )
    if claimed.outcome != "claimed":
        raise ScheduleBusy(name, claimed.job_id, claimed.state)
    await submit_claimed(redis, settings, schedule, job_id, by)
    return job_id


async def replacing_expired(redis: ArqRedis, schedule: Schedule, claim: Callable[[], Awaitable[Claim]]) -> Claim:
    """Claim a start; a job whose plan was left unattended until it expired is cancelled first, to make room.

    Args:
        redis: the connection.
        schedule: the schedule.
        claim: claims the start.
    """
    claimed = await claim()
    if claimed.outcome != "expired":
        return claimed
    try:
        await control(
            redis,
            claimed.job_id,
            Event.CANCEL,
            by=starter(schedule.name),
            only_in=(State.AWAITING_APPROVAL,),
        )
    except (IllegalMove, UnknownJob):
        pass  # somebody was faster
    else:
        get_logger(portal=schedule.portal).warning(
            "schedule_plan_expired", schedule=schedule.name, job_id=claimed.job_id
        )
    return await claim()


async def submit_claimed(redis: ArqRedis, settings: Settings, schedule: Schedule, job_id: str, by: str) -> None:
    """Submit the job of a claim. To do so twice has the effect of once.

    Args:
        redis: the connection.
        settings: the configuration.
        schedule: the schedule.
        job_id: the job's ID.
        by: who starts it.

    Raises:
        JobExists: the ID is taken by a job that somebody else submitted; the claim is given up.
    """
    submission = submission_for(
        settings.portal(schedule.portal),
        BitMap(),
        by=by,
        selection=filter_of(schedule),
        job_id=job_id,
        label=schedule.label,
        priority=Priority(schedule.priority),
        schedule=schedule.name,
        undo=schedule.undo or None,
    )
    try:
        created = (await submit(redis, submission)).created
    except JobExists:
        created = False  # perhaps submitted before the schedule's filter was changed
    of = await redis.execute_command("HGET", keys.job(job_id), "schedule")
    await forget_claim(redis, schedule.name, job_id)
    if of is None or of.decode() != schedule.name:
        raise JobExists(job_id)  # even if it is the same request: its submitter is not the schedule
    if created:
        get_logger(portal=schedule.portal).info("schedule_started", schedule=schedule.name, job_id=job_id, by=by)
