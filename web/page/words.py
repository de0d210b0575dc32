"""What people read for each state, outcome, verb and priority: one table each.

The colours are in one place too: `static/page.css` has one custom property per tone, and one class per outcome.
"""

from dataclasses import dataclass
from enum import StrEnum

from jobs.words.outcomes import Outcome
from jobs.words.priority import Priority
from jobs.words.states import Event, State


class Tone(StrEnum):
    """How a state feels; its class in the stylesheet."""

    CALM = "calm"
    """It waits its turn, or has ended without a verdict."""
    BUSY = "busy"
    """It moves."""
    ASKS = "asks"
    """It waits for a person."""
    GOOD = "good"
    """It is done."""
    BAD = "bad"
    """It went wrong."""


@dataclass(frozen=True, slots=True)
class StateWords:
    """How a state is shown.

    Attributes:
        label: its name for people.
        tone: its colour.
        meaning: one plain sentence.
    """

    label: str
    tone: Tone
    meaning: str


STATES: dict[State, StateWords] = {
    State.PLANNING: StateWords("Planning", Tone.CALM, "Its contact IDs are still being collected."),
    State.AWAITING_APPROVAL: StateWords("Awaiting approval", Tone.ASKS, "Nothing is sent until it is approved."),
    State.QUEUED: StateWords("Queued", Tone.CALM, "It is accepted and waits for its first batch."),
    State.RUNNING: StateWords("Running", Tone.BUSY, "Batches are being sent."),
    State.PAUSING: StateWords("Pausing", Tone.ASKS, "No new batch starts; those in flight are being recorded."),
    State.PAUSED: StateWords("Paused", Tone.ASKS, "Nothing is in flight."),
    State.CANCELLING: StateWords("Cancelling", Tone.CALM, "Nothing new is deleted; what was sent is accounted for."),
    State.CANCELLED: StateWords("Cancelled", Tone.CALM, "It was stopped for good; what was not sent was skipped."),
    State.COMPLETED: StateWords("Completed", Tone.GOOD, "Every contact has its outcome."),
    State.FAILED: StateWords("Failed", Tone.BAD, "The request itself was wrong; nothing was sent."),
}


@dataclass(frozen=True, slots=True)
class OutcomeWords:
    """How an outcome is shown.

    Attributes:
        label: its name for people.
        meaning: what is known of such a contact.
    """

    label: str
    meaning: str


#: In the order in which bars and tables show them.
OUTCOMES: dict[Outcome, OutcomeWords] = {
    Outcome.DELETED: OutcomeWords("Deleted", "the portal confirmed the deletion"),
    Outcome.PRESUMED_DELETED: OutcomeWords("Presumed deleted", "gone; the answer that would confirm it was lost"),
    Outcome.NOT_FOUND: OutcomeWords("Not found", "no such contact for this account"),
    Outcome.REFUSED: OutcomeWords("Refused", "read-only, or on an invoice"),
    Outcome.FAILED: OutcomeWords("Failed", "given up; it may still be there"),
    Outcome.PROTECTED: OutcomeWords("Protected", "on the protected list, never sent"),
    Outcome.SKIPPED: OutcomeWords("Skipped", "the job was cancelled before it was sent"),
    Outcome.PENDING: OutcomeWords("Pending", "not decided yet"),
}


@dataclass(frozen=True, slots=True)
class VerbWords:
    """How a control verb is shown.

    Attributes:
        button: the text of the button.
        done: what is said once it is asked for.
    """

    button: str
    done: str


#: In the order of the buttons; the safe ones first.
VERBS: dict[Event, VerbWords] = {
    Event.APPROVE: VerbWords("Approve", "Approved: it starts with the next free turn."),
    Event.RESUME: VerbWords("Resume", "It goes on with the next batch."),
    Event.PAUSE: VerbWords("Pause", "It pauses as soon as the batches in flight are recorded."),
    Event.RETRY_FAILED: VerbWords("Try failed ones again", "What has failed is tried again."),
    Event.CANCEL: VerbWords("Cancel…", "It stops for good: nothing that was not sent will be."),
}

#: What is in the record of who did what, behind the name.
ACTIONS: dict[str, str] = {
    "submit": "submitted it",
    "pause": "paused it",
    "resume": "resumed it",
    "cancel": "cancelled it",
    "approve": "approved it",
    "retry-failed": "had the failed ones tried again",
    "priority": "set the priority",
    "limits": "set the limits",
}

PRIORITIES: dict[Priority, str] = {
    Priority.URGENT: "Urgent",
    Priority.NORMAL: "Normal",
    Priority.BACKGROUND: "Background",
}


def path_word(event: Event) -> str:
    """Write a verb as in commands and addresses."""
    return event.replace("_", "-")


def done_text(word: str) -> str:
    """Return what is said after an action; empty for words that are none."""
    return _DONE.get(word, "")


_DONE = {path_word(event): words.done for event, words in VERBS.items()} | {
    "priority": "The priority is changed, from the next batch on.",
    "submitted": "The job is queued.",
    "submitted-before": "This list had been queued before: this is its job.",
    "nothing-failed": "Nothing has failed, so there is nothing to try again.",
    "rest-ended": "The rest is ended: one careful call goes first. What it had asked for is shown below.",
    "limits": "The limits are changed, for every worker from its next batch on.",
    "configured": "The limits are those of the configuration again.",
}
