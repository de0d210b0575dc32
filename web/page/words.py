"""What people read for each state, outcome, verb and priority: one table each.

The colours are in one place too: `static/page.css` has one custom property per tone, and one class per outcome.
"""

from dataclasses import dataclass
from enum import StrEnum

from jobs.bundles.facts import BundleState
from jobs.words.errors import BlastRadius, DigestNeeded, NotApproved, PlanChanged, SecondPerson
from jobs.words.filters import View
from jobs.words.outcomes import Outcome
from jobs.words.priority import Priority
from jobs.words.states import CanaryState, Event, State
from jobs.words.verdicts import Verdict


class Tone(StrEnum):
    """How a state feels; its class in the stylesheet."""

    CALM = "calm"
    """Waiting its turn, or ended without a verdict."""
    BUSY = "busy"
    """Making progress."""
    ASKS = "asks"
    """Waiting for a user."""
    GOOD = "good"
    """Done."""
    BAD = "bad"
    """Failed."""


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
    State.PLANNING: StateWords("Planning", Tone.CALM, "Its contacts are read from the portal; nothing is deleted."),
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
    Outcome.PROTECTED: OutcomeWords("Protected", "on the protected list, or with a protected tag; never sent"),
    Outcome.SKIPPED: OutcomeWords("Skipped", "left alone: the job was cancelled, or it is no longer as planned"),
    Outcome.PENDING: OutcomeWords("Pending", "not decided yet"),
}


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """How a verdict is shown.

    Attributes:
        label: its name for people.
        meaning: what that means for such a contact.
    """

    label: str
    meaning: str


#: In the order in which bars and tables show them.
VERDICTS: dict[Verdict, VerdictWords] = {
    Verdict.DELETABLE: VerdictWords("Deletable", "will be deleted"),
    Verdict.READ_ONLY: VerdictWords("Read-only", "stays: the account may not change it"),
    Verdict.HAS_INVOICE: VerdictWords("Has an invoice", "stays: the portal keeps what is on an invoice"),
    Verdict.ABSENT: VerdictWords("Absent", "no such contact for this account"),
    Verdict.PROTECTED: VerdictWords("Protected", "stays: on the protected list, or with a protected tag"),
}

CANARY: dict[CanaryState, str] = {
    CanaryState.RUNNING: "Only these are sent until all of them are decided.",
    CanaryState.WAITING: "The rest waits until a person has compared the two: Resume sends it, Cancel leaves it alone.",
    CanaryState.PASSED: "It has passed, so the rest follows.",
    CanaryState.CANCELLED: "The job was cancelled before the rest.",
}

BUNDLE: dict[BundleState, str] = {
    BundleState.WAITING: "The records of the contacts are kept before the first of them is deleted.",
    BundleState.MAKING: "The records of the contacts are being kept; nothing is deleted before that is done.",
    BundleState.KEPT: "Only contacts whose record is kept are deleted.",
    BundleState.DESTROYED: "What was kept has been destroyed: nobody can restore the contacts.",
}

VIEWS: dict[View, str] = {
    View.ALL: "Any",
    View.PERSON: "Persons",
    View.COMPANY: "Companies",
    View.WITH_OPPORTUNITY: "Contacts with an opportunity",
}

#: What a guard says to whoever approves, and what to do.
FORBIDDEN: dict[type[NotApproved], str] = {
    DigestNeeded: "The approval did not say which plan it was about. Look at the plan below, and approve it there.",
    PlanChanged: "The plan of this job is not the one that you approved. Look at the plan below, and approve that one.",
    BlastRadius: "The plan deletes a larger share of the portal than max_share allows. Cancel the job and select fewer "
    "contacts, or have max_share raised.",
    SecondPerson: "Somebody other than its submitter has to approve a job of this size. Ask a colleague to log in with "
    "a key of their own and approve it.",
}

PLAN_EXPIRED = "The plan is too old to be approved. Cancel the job, and make a new plan."


@dataclass(frozen=True, slots=True)
class VerbWords:
    """How a control verb is shown.

    Attributes:
        button: the text of the button.
        done: what is shown once it has been asked for.
    """

    button: str
    done: str


#: In the order of the buttons; the safe ones first.
VERBS: dict[Event, VerbWords] = {
    Event.APPROVE: VerbWords("Approve", "Approved: it starts with the next free turn."),
    Event.RESUME: VerbWords("Resume", "It goes on with the next batch."),
    Event.PAUSE: VerbWords("Pause", "It pauses as soon as the batches in flight are recorded."),
    Event.RETRY_FAILED: VerbWords("Try failed ones again", "The failed contacts are tried again."),
    Event.CANCEL: VerbWords("Cancel…", "It stops for good: what has not been sent never will be."),
}

#: What the record of actions shows after the name.
ACTIONS: dict[str, str] = {
    "submit": "submitted it",
    "pause": "paused it",
    "resume": "resumed it",
    "cancel": "cancelled it",
    "approve": "approved it",
    "retry-failed": "had the failed ones tried again",
    "priority": "set the priority",
    "limits": "set the limits",
    "stop": "stopped all deletions",
    "start": "let deletions go on",
}

PRIORITIES: dict[Priority, str] = {
    Priority.URGENT: "Urgent",
    Priority.NORMAL: "Normal",
    Priority.BACKGROUND: "Background",
}


def path_word(event: Event) -> str:
    """Write a verb as commands and addresses spell it."""
    return event.replace("_", "-")


def done_text(word: str) -> str:
    """Return what is shown after an action; empty for an unknown word."""
    return _DONE.get(word, "")


_DONE = {path_word(event): words.done for event, words in VERBS.items()} | {
    "priority": "The priority has changed, from the next batch on.",
    "submitted": "The job is queued.",
    "submitted-before": "This was already submitted: this is its job.",
    "planning": "It is planned first: nothing is deleted before a person has approved the plan.",
    "nothing-failed": "Nothing has failed, so there is nothing to try again.",
    "rest-ended": "The rest has ended: one careful call goes first. What the portal had asked for is shown below.",
    "limits": "The limits have changed, for every worker from its next batch on.",
    "stop": "No deletion leaves from the next batch on, until somebody starts them again.",
    "start": "Deletions are no longer stopped.",
    "configured": "The limits are back to the configured ones.",
}
