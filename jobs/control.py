"""Steering a job: the same functions for command line, API and page."""

from arq.connections import ArqRedis

from jobs import keys
from jobs.scripts import Script
from jobs.states import Event, IllegalMove, State
from jobs.wake import wake_lanes

CONTROL = Script("control")


class UnknownJob(LookupError):
    """There is no job with this ID, or not any more."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"no such job: {job_id}")


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
    portal = await redis.execute_command("HGET", keys.job(job_id), "portal")
    if portal is None:
        raise UnknownJob(job_id)
    reply = await CONTROL(redis, [keys.job(job_id), keys.portal(portal.decode())], [job_id, event, reason, by])
    if reply[0] == b"unknown":
        raise UnknownJob(job_id)
    state = State(reply[1].decode())
    if reply[0] == b"illegal":
        raise IllegalMove(state, event)
    if event is not Event.PAUSE:
        await wake_lanes(redis, portal.decode(), lanes)
    return state
