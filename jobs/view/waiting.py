"""Why a job is not moving, as one stable word."""

from dataclasses import dataclass

from jobs.words.reasons import StateReason
from jobs.words.states import TERMINAL, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known of a job and its portal at one moment.

    Attributes:
        state: the job's state.
        stored_reason: the reason that was recorded when somebody, or a fault, stopped it.
        inflight: batches of this job in flight.
        workers: workers that are alive.
        is_known: whether one of them is configured for the portal.
        lanes: lanes that drive the portal, for whatever job.
        rivals: jobs that want their turn at the portal, this one included.
        push_back_ms: how long nobody may call the portal, negative if that is over.
        push_back_reason: why.
        fault: the word for what keeps everybody away who could call the portal, until a person has put it right.
        next_turn_ms: how far ahead the portal's next free turn is.
    """

    state: State
    stored_reason: str | None
    inflight: int
    workers: int
    lanes: int
    push_back_ms: int
    push_back_reason: str | None
    next_turn_ms: int
    is_known: bool = True
    rivals: int = 1
    fault: str | None = None


def why_waiting(situation: Situation) -> str | None:
    """Give the word for what a job waits for; None if it is moving or has ended well."""
    if situation.stored_reason:
        return situation.stored_reason
    if situation.state in TERMINAL or (situation.inflight and situation.lanes):
        return None  # with no lane left, what is in flight was in the hands of a worker that died
    if situation.workers == 0:
        return StateReason.NO_WORKER
    if not situation.is_known:
        return StateReason.PORTAL_NOT_CONFIGURED
    if situation.fault:
        return situation.fault
    if situation.push_back_ms > 0:
        return situation.push_back_reason or StateReason.PUSH_BACK
    if situation.next_turn_ms > 0:
        return StateReason.RATE_LIMIT
    if situation.state is State.QUEUED:
        return StateReason.FAIR_SHARE if situation.lanes and situation.rivals > 1 else StateReason.STARTING
    return StateReason.BACKOFF
