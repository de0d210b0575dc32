"""Pausing, resuming, cancelling and approving a job, each in one step."""

from dataclasses import dataclass

from arq.connections import ArqRedis
from ulid import ULID

from jobs.lanes.wake import wake_lanes
from jobs.store import keys
from jobs.store.keys import known_key
from jobs.store.scripts import Argument, Script
from jobs.words.errors import UnknownJob
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State, refused

CONTROL = Script("control")


@dataclass(frozen=True, slots=True)
class Steered:
    """What came of steering a job.

    Attributes:
        state: the job's state now.
        retried: how many failed contact IDs are tried again.
        rest_until_ms: end of the rest that the portal had asked for and this cut short, Unix milliseconds; None for
            none.
    """

    state: State
    retried: int = 0
    rest_until_ms: int | None = None


async def control(
    redis: ArqRedis,
    job_id: str,
    event: Event,
    *,
    by: str,
    lanes: int = 1,
    reason: StateReason = StateReason.OPERATOR,
    cooling_off_s: float = 0.0,
) -> Steered:
    """Ask for a pause, a resume, a cancel or an approval. It takes effect with the next batch of each lane.

    Args:
        redis: the connection.
        job_id: the job's ID.
        event: PAUSE, RESUME, CANCEL or APPROVE.
        by: who asks; kept with the job.
        lanes: how many lanes to wake if the job goes on.
        reason: the state_reason of a pause.
        cooling_off_s: seconds that an approved job waits before its first PUT.

    Raises:
        UnknownJob: no such job.
        IllegalMove: its state does not allow the event.
    """
    key = known_key(job_id)
    portal = await redis.execute_command("HGET", key, "portal")
    if portal is None:
        raise UnknownJob(job_id)
    asked: list[Argument] = [job_id, event, reason, by, str(ULID()), round(cooling_off_s * 1000)]
    reply = await CONTROL(redis, [key, keys.portal(portal.decode())], asked)
    if reply[0] == b"unknown":
        raise UnknownJob(job_id)
    state = State(reply[1].decode())
    if reply[0] == b"illegal":
        raise refused(state, event)
    if event is not Event.PAUSE:
        await wake_lanes(redis, portal.decode(), lanes)
    return Steered(state, rest_until_ms=reply[2] or None)
