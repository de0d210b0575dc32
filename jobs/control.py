"""Pausing, resuming, cancelling and approving a job, each in one step."""

from dataclasses import dataclass

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
    """Do as `carry_out`, and return the job's state now."""
    return (await carry_out(redis, job_id, event, by=by, lanes=lanes, reason=reason)).state


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it.

    Attributes:
        state: the job's state now.
        rest_until_ms: until when the portal had asked for a rest that a resume has ended, Unix milliseconds; None if
            there was none.
    """

    state: State
    rest_until_ms: int | None


async def carry_out(
    redis: ArqRedis, job_id: str, event: Event, *, by: str, lanes: int = 1, reason: str = "operator"
) -> Done:
    """Ask for a pause, a resume, a cancel or an approval. It takes effect with the next batch of each lane.

    Args:
        redis: the connection.
        job_id: the job's ID.
        event: PAUSE, RESUME, CANCEL or APPROVE.
        by: who asks; kept with the job.
        lanes: how many lanes to wake where the job goes on.
        reason: the state_reason of a pause.

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
    return Done(state, reply[2] or None)
