"""The states of a job and every legal move between them: one table for workers, commands, API, page and Lua.

A request and its fulfilment are different states: a job is `pausing` until the batches in flight have been recorded,
and only then `paused`; the same holds for `cancelling` and `cancelled`. The diagram in docs/how-it-works.md is
generated from this table.
"""

from dataclasses import dataclass
from enum import StrEnum

from jobs.words.errors import IllegalMove


class State(StrEnum):
    """The states of a job."""

    PLANNING = "planning"
    """A worker reads its contacts from the portal and predicts what would become of each."""
    AWAITING_APPROVAL = "awaiting_approval"
    """Its plan stands, or it is larger than the portal's `approval_above`; waits for `approve`."""
    QUEUED = "queued"
    """Accepted; no batch has been sent since it was queued or resumed."""
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


class CanaryState(StrEnum):
    """How far a job's canary is: the part of its contact IDs that is sent first."""

    RUNNING = "running"
    """Only the canary is sent, and not all of it is decided."""
    WAITING = "waiting"
    """It is decided, and the job is paused until a person resumes it."""
    PASSED = "passed"
    """The rest of the list is sent, or there is no rest."""
    CANCELLED = "cancelled"
    """The job was cancelled before that."""


class Event(StrEnum):
    """What moves a job from one state to another."""

    START = "start"
    """A lane takes a batch of the job."""
    PAUSE = "pause"
    """A user pauses it, or a fault of the portal does."""
    RESUME = "resume"
    """A user lets it go on."""
    CANCEL = "cancel"
    """A user stops it for good."""
    APPROVE = "approve"
    """A user agrees to the deletion of a large list."""
    RETRY_FAILED = "retry_failed"
    """A user has the failed contact IDs tried again."""
    DRAINED = "drained"
    """The last batch in flight has been recorded."""
    FINISH = "finish"
    """The last contact ID has its outcome."""
    PLANNED = "planned"
    """The last contact ID has its verdict: the plan stands."""
    NOTHING_SELECTED = "nothing_selected"
    """The filter matches no contact."""
    CANNOT_PLAN = "cannot_plan"
    """The plan would not be one that can be trusted or approved."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """One legal move.

    Attributes:
        state: the job's state before.
        event: what happens.
        to: its state after.
        cause: who moves it, and why.
    """

    state: State
    event: Event
    to: State
    cause: str


_BATCH = "a lane takes a batch of it"
_PAUSE = "a user pauses it, a fault of the portal is met, or too many of its contacts have failed"
_CANCEL = "a user cancels it: what was never sent is skipped, what was sent is accounted for"
_LAST = "a lane, or the rescue of a dead one, records the last contact ID"

ARROWS = (
    Arrow(State.PLANNING, Event.PLANNED, State.AWAITING_APPROVAL, "a lane predicts the last contact"),
    Arrow(State.PLANNING, Event.NOTHING_SELECTED, State.COMPLETED, "the filter matches no contact"),
    Arrow(
        State.PLANNING, Event.CANNOT_PLAN, State.FAILED, "a guard forbids what was selected, or it cannot be trusted"
    ),
    Arrow(State.PLANNING, Event.CANCEL, State.CANCELLING, _CANCEL),
    Arrow(State.AWAITING_APPROVAL, Event.APPROVE, State.QUEUED, "a user agrees to its plan, or to its size"),
    Arrow(State.AWAITING_APPROVAL, Event.CANCEL, State.CANCELLING, _CANCEL),
    Arrow(State.QUEUED, Event.START, State.RUNNING, _BATCH),
    Arrow(State.QUEUED, Event.PAUSE, State.PAUSING, _PAUSE),
    Arrow(State.QUEUED, Event.CANCEL, State.CANCELLING, _CANCEL),
    Arrow(State.QUEUED, Event.FINISH, State.COMPLETED, "nothing is left to decide"),
    Arrow(State.RUNNING, Event.START, State.RUNNING, _BATCH),
    Arrow(State.RUNNING, Event.PAUSE, State.PAUSING, _PAUSE),
    Arrow(State.RUNNING, Event.CANCEL, State.CANCELLING, _CANCEL),
    Arrow(State.RUNNING, Event.FINISH, State.COMPLETED, _LAST),
    Arrow(State.PAUSING, Event.PAUSE, State.PAUSING, "a pause is asked for again; the newest reason counts"),
    Arrow(State.PAUSING, Event.RESUME, State.RUNNING, "a user changes their mind while batches are in flight"),
    Arrow(State.PAUSING, Event.CANCEL, State.CANCELLING, _CANCEL),
    Arrow(State.PAUSING, Event.DRAINED, State.PAUSED, "a lane, or the rescue of a dead one, records the last batch"),
    Arrow(State.PAUSING, Event.FINISH, State.COMPLETED, _LAST),
    Arrow(State.PAUSED, Event.RESUME, State.QUEUED, "a user lets it go on"),
    Arrow(State.PAUSED, Event.CANCEL, State.CANCELLING, _CANCEL),
    Arrow(State.COMPLETED, Event.RETRY_FAILED, State.QUEUED, "a user has its failed contact IDs tried again"),
    Arrow(State.CANCELLING, Event.START, State.CANCELLING, "a lane looks up what was sent before"),
    Arrow(State.CANCELLING, Event.CANCEL, State.CANCELLING, "a cancel is asked for again; nothing changes"),
    Arrow(State.CANCELLING, Event.FINISH, State.CANCELLED, _LAST),
)
"""Every legal move. What is not here is refused, with the allowed moves in the answer."""

MOVES = {(arrow.state, arrow.event): arrow.to for arrow in ARROWS}
"""The same moves, indexed by state and event."""

TERMINAL = frozenset({State.COMPLETED, State.CANCELLED, State.FAILED})
"""The job has ended: only a person can move it on, with `retry_failed`."""

STOPPING = frozenset({State.PAUSING, State.CANCELLING})
"""Asked to stop, and not stopped yet."""


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
    """Return the error that says that `event` is not possible in `state`, and what is."""
    return IllegalMove(state, event, allowed_events(state))


def allowed_events(state: State) -> tuple[Event, ...]:
    """Return what a person can ask of a job in this state: pause, resume, cancel, approve, retry_failed."""
    asked = (Event.PAUSE, Event.RESUME, Event.CANCEL, Event.APPROVE, Event.RETRY_FAILED)
    return tuple(event for event in asked if (state, event) in MOVES)


def lua_table() -> str:
    """Return the table as Lua, which precedes every script that moves jobs, so that Redis applies the same moves."""
    rows = "\n".join(f"  ['{state}/{event}'] = '{to}'," for (state, event), to in MOVES.items())
    return f"local MOVES = {{\n{rows}\n}}\n"
