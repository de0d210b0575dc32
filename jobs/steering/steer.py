"""Steering a job: the same functions for command line, API and page, even if the job is still in a message."""

from arq.connections import ArqRedis

from config.settings import Settings
from jobs.accept.submit import Asked
from jobs.accept.take_in import take_in
from jobs.steering.control import Steered, control
from jobs.steering.priority import set_priority
from jobs.steering.retry import retry_failed
from jobs.store.keys import known_key
from jobs.words.priority import Priority
from jobs.words.states import Event


async def steer_job(redis: ArqRedis, settings: Settings, job_id: str, event: Event, *, by: str) -> Steered:
    """Apply an event to a job; a job that is still in another service's message is accepted first.

    Args:
        redis: the connection.
        settings: the configured portals; for a portal that is not among them, one lane is woken.
        job_id: the job's ID.
        event: PAUSE, RESUME, CANCEL, APPROVE or RETRY_FAILED.
        by: who asks; kept with the job.

    Raises:
        UnknownJob: no such job, or no longer.
        IllegalMove: its state does not allow the event.
        NotDue: another service deferred it, and it is not due yet.
        UnknownPortal: it is still in a message, and its portal is not configured here.
    """
    taken_in = await take_in(redis, settings, job_id, Asked(event, by))
    if taken_in:
        return Steered(taken_in)
    name = await redis.execute_command("HGET", known_key(job_id), "portal")
    portal = settings.portals.get(name.decode()) if name is not None else None
    lanes = portal.max_concurrency if portal else 1
    if event is Event.RETRY_FAILED:
        return Steered(*await retry_failed(redis, job_id, by=by, lanes=lanes))
    cooling_off_s = portal.cooling_off_s if portal else 0.0
    return await control(redis, job_id, event, by=by, lanes=lanes, cooling_off_s=cooling_off_s)


async def change_priority(redis: ArqRedis, settings: Settings, job_id: str, priority: Priority, *, by: str) -> None:
    """Change a job's priority, from its next batch on; arguments and errors are those of `steer_job`.

    Raises:
        JobHasEnded: the job has ended, so its priority no longer matters.
    """
    await take_in(redis, settings, job_id)
    await set_priority(redis, job_id, priority, by=by)
