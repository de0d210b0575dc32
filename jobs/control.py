"""Pausing, resuming, cancelling and approving a job, each in one step."""

from arq.connections import ArqRedis
from ulid import ULID

from jobs import keys
from jobs.scripts import Script
from jobs.states import Event, IllegalMove, State
from jobs.wake import wake_lanes

CONTROL = Script("control")


class UnknownJob(LookupError):
    """There is no job with this ID, or not any more."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"no such job: {job_id if job_id.isprintable() else ascii(job_id)}")


def is_possible(job_id: str) -> bool:
    """Whether there can be such a job: what has a colon names a part of one, and Redis knows no broken text."""
    return ":" not in job_id and job_id.isprintable()


def known_key(job_id: str) -> str:
    """Give the key of a job's facts, for whoever was told the ID by somebody else.

    Raises:
        UnknownJob: there can be no job of this ID.
    """
    if not is_possible(job_id):
        raise UnknownJob(job_id)
    return keys.job(job_id)


async def control(
    redis: ArqRedis, job_id: str, event: Event, *, by: str, lanes: int = 1, reason: str = "operator"
) -> State:
    """Ask for a pause, a resume, a cancel or an approval. It takes effect with the next batch of each lane.

    Args:
        redis: the connection.
        job_id: the job's ID.
        event: PAUSE, RESUME, CANCEL or APPROVE.
        by: who asks; kept with the job.
        lanes: how many lanes to wake where the job goes on.
        reason: the state_reason of a pause.

    Returns:
        The job's state now.

    Raises:
        UnknownJob: no such job.
        IllegalMove: its state does not allow that.
    """
    key = known_key(job_id)
    portal = await redis.execute_command("HGET", key, "portal")
    if portal is None:
        raise UnknownJob(job_id)
    reply = await CONTROL(redis, [key, keys.portal(portal.decode())], [job_id, event, reason, by, str(ULID())])
    if reply[0] == b"unknown":
        raise UnknownJob(job_id)
    state = State(reply[1].decode())
    if reply[0] == b"illegal":
        raise IllegalMove(state, event)
    if event is not Event.PAUSE:
        await wake_lanes(redis, portal.decode(), lanes)
    return state
