"""Why a job is not moving, as one stable word."""

from dataclasses import dataclass

from jobs.store.portal_state import Hold, PortalState
from jobs.words.reasons import StateReason
from jobs.words.states import TERMINAL, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known of a job and its portal at one moment.

    Attributes:
        state: the job's state.
        stored_reason: the reason that was recorded when a user, or a fault, stopped it.
        inflight: batches of this job in flight.
        workers: workers that are alive.
        is_known: whether one of them is configured for the portal.
        portal: the state of its portal.
        plan_expires_ms: until when its plan can be approved; 0 for none.
        not_before_ms: end of its cooling off, on the Redis server's clock; 0 for none.
    """

    state: State
    stored_reason: str | None
    inflight: int
    workers: int
    is_known: bool
    portal: PortalState
    plan_expires_ms: int = 0
    not_before_ms: int = 0


def hold_on(situation: Situation) -> Hold | None:
    """Return the gate that holds back the PUTs of a job, by its portal or by its own cooling off; None if none does."""
    if situation.state not in {State.QUEUED, State.RUNNING}:
        return None
    if not situation.portal.hold and situation.not_before_ms > situation.portal.now_ms:
        return Hold(StateReason.COOLING_OFF, situation.not_before_ms)
    return situation.portal.hold


def why_waiting(situation: Situation) -> str | None:
    """Return the word for what a job waits for; None if it is moving or has ended well."""
    portal = situation.portal
    expires_ms = situation.plan_expires_ms
    if situation.state is State.AWAITING_APPROVAL and 0 < expires_ms <= portal.now_ms:
        return StateReason.PLAN_EXPIRED
    if situation.stored_reason:
        return situation.stored_reason
    if situation.state in TERMINAL or (situation.inflight and portal.lanes):
        return None  # if no lane is left, a worker that died held what is in flight
    hold = hold_on(situation)
    if hold and hold.reason == StateReason.STOPPED:
        return hold.reason  # a user decided so, whoever else is missing
    if situation.workers == 0:
        return StateReason.NO_WORKER
    if not situation.is_known:
        return StateReason.PORTAL_NOT_CONFIGURED
    if portal.fault:
        return portal.fault.reason
    if hold:
        return hold.reason
    if portal.rest:
        return portal.rest.reason
    if portal.next_turn_ms > portal.now_ms:
        return StateReason.RATE_LIMIT
    if situation.state in {State.QUEUED, State.PLANNING}:
        return StateReason.FAIR_SHARE if portal.lanes and portal.active_jobs > 1 else StateReason.STARTING
    return StateReason.BACKOFF
