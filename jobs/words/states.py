"""The states of a job and every legal move between them: one table for workers, commands, API, page and Lua.

    planning ──► awaiting_approval ──► queued ──► running ──► completed
                                          ▲          │
                                          └─ paused ◄── pausing        any of them ──► cancelling ──► cancelled

A wish and its fact are different states: a job is `pausing` until the batches in flight have been recorded, and only
then `paused`; the same holds for `cancelling` and `cancelled`.
"""

from enum import StrEnum

from jobs.words.errors import IllegalMove


class State(StrEnum):
    """Where a job stands."""

    PLANNING = "planning"
    """Its contact IDs are still being collected."""
    AWAITING_APPROVAL = "awaiting_approval"
    """Larger than the portal's `approval_above`; waits for `approve`."""
    QUEUED = "queued"
    """Accepted; no batch was sent since it was queued or resumed."""
    RUNNING = "running"
    """Batches are being sent."""
    PAUSING = "pausing"
    """No new batch starts; those in flight are still to be recorded."""
    PAUSED = "paused"
    """Nothing is in flight; waits for `resume`."""
    CANCELLING = "cancelling"
    """Nothing new is deleted; what was sent before is being accounted for."""
    CANCELLED = "cancelled"
    """Every contact ID has a final outcome; those never sent are `skipped`."""
    COMPLETED = "completed"
    """Every contact ID has a final outcome."""
    FAILED = "failed"
    """The request itself was wrong; nothing was sent."""


class Event(StrEnum):
    """What moves a job from one state to another."""

    START = "start"
    """A lane takes a batch of the job."""
    PAUSE = "pause"
    """Somebody, or a fault of the portal, asks for a pause."""
    RESUME = "resume"
    """Somebody asks to go on."""
    CANCEL = "cancel"
    """Somebody asks to stop for good."""
    APPROVE = "approve"
    """Somebody agrees to the deletion of a large list."""
    RETRY_FAILED = "retry_failed"
    """Somebody asks to try the failed contact IDs again."""
    DRAINED = "drained"
    """The last batch in flight has been recorded."""
    FINISH = "finish"
    """The last contact ID has got its outcome."""


MOVES: dict[tuple[State, Event], State] = {
    (State.AWAITING_APPROVAL, Event.APPROVE): State.QUEUED,
    (State.AWAITING_APPROVAL, Event.CANCEL): State.CANCELLING,
    (State.QUEUED, Event.START): State.RUNNING,
    (State.QUEUED, Event.PAUSE): State.PAUSING,
    (State.QUEUED, Event.CANCEL): State.CANCELLING,
    (State.QUEUED, Event.FINISH): State.COMPLETED,
    (State.RUNNING, Event.START): State.RUNNING,
    (State.RUNNING, Event.PAUSE): State.PAUSING,
    (State.RUNNING, Event.CANCEL): State.CANCELLING,
    (State.RUNNING, Event.FINISH): State.COMPLETED,
    (State.PAUSING, Event.PAUSE): State.PAUSING,
    (State.PAUSING, Event.RESUME): State.RUNNING,
    (State.PAUSING, Event.CANCEL): State.CANCELLING,
    (State.PAUSING, Event.DRAINED): State.PAUSED,
    (State.PAUSING, Event.FINISH): State.COMPLETED,
    (State.PAUSED, Event.RESUME): State.QUEUED,
    (State.PAUSED, Event.CANCEL): State.CANCELLING,
    (State.COMPLETED, Event.RETRY_FAILED): State.QUEUED,
    (State.CANCELLING, Event.START): State.CANCELLING,
    (State.CANCELLING, Event.CANCEL): State.CANCELLING,
    (State.CANCELLING, Event.FINISH): State.CANCELLED,
}
"""Every legal move. What is not here is refused, with the allowed moves in the answer."""

TERMINAL = frozenset({State.COMPLETED, State.CANCELLED, State.FAILED})
"""The job has ended: nothing moves it on but a person, by `retry_failed`."""

STOPPING = frozenset({State.PAUSING, State.CANCELLING})
"""A wish that is not yet a fact."""


def move(state: State, event: Event) -> State:
    """Return the state after `event`.

    Raises:
        IllegalMove: the table has no such move.
    """
    try:
        return MOVES[state, event]
    except KeyError:
        raise refused(state, event) from None


def refused(state: State, event: Event) -> IllegalMove:
    """Return the error that says why `event` is not possible in `state`, and what is."""
    return IllegalMove(state, event, allowed_events(state))


def allowed_events(state: State) -> tuple[Event, ...]:
    """Give what a person may ask of a job in this state: pause, resume, cancel, approve, retry_failed."""
    asked = (Event.PAUSE, Event.RESUME, Event.CANCEL, Event.APPROVE, Event.RETRY_FAILED)
    return tuple(event for event in asked if (state, event) in MOVES)


def lua_table() -> str:
    """Write the table as the Lua that precedes every script, so that Redis applies the very same moves."""
    rows = "\n".join(f"  ['{state}/{event}'] = '{to}'," for (state, event), to in MOVES.items())
    return f"local MOVES = {{\n{rows}\n}}\n"
