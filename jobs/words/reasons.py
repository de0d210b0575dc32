"""Why a job does not move: one stable word for each reason, with its meaning and its remedy.

A job shows its reason as `state_reason`. Command line, API, page, metrics and scripts all take the words, texts and
classes from here; the tables in README.md and docs/operations.md are generated from them.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum


class ReasonClass(Enum):
    """What ends a reason."""

    MOVING = "moving"
    """The job is making progress and waits for a moment between two batches."""
    PASSING = "passing"
    """It ends on its own, though a remedy may end it sooner."""
    PERSON = "person"
    """A person has decided, or has to decide."""
    FAULT = "fault"
    """The portal, the account or the way to it is at fault, and a person has to fix that."""


class StateReason(StrEnum):
    """The reasons, each with its class, its meaning and its remedy."""

    OPERATOR = "operator"
    APPROVAL = "approval"
    PLAN_EXPIRED = "plan_expired"
    PLAN_CHANGED = "plan_changed"
    PORTAL_CHANGED = "portal_changed"
    CANARY = "canary"
    STOPPED = "stopped"
    COOLING_OFF = "cooling_off"
    OUTSIDE_WINDOW = "outside_window"
    DAILY_CAP = "daily_cap"
    FAILURE_THRESHOLD = "failure_threshold"
    UNDO_STORE = "undo_store"
    BAD_REQUEST = "bad_request"
    STARTING = "starting"
    RATE_LIMIT = "rate_limit"
    FAIR_SHARE = "fair_share"
    BACKOFF = "backoff"
    PUSH_BACK = "push_back"
    LOGIN_GUARD = "login_guard"
    NO_WORKER = "no_worker"
    PORTAL_NOT_CONFIGURED = "portal_not_configured"
    PORTAL_UNREACHABLE = "portal_unreachable"
    PORTAL_AUTH = "portal_auth"
    PORTAL_PAYMENT = "portal_payment"
    PORTAL_FORBIDDEN = "portal_forbidden"
    PORTAL_PROXY = "portal_proxy"
    PORTAL_PROTOCOL = "portal_protocol"

    @property
    def ends_by(self) -> ReasonClass:
        """Its class."""
        return _ADVICE[self].ends_by

    @property
    def meaning(self) -> str:
        """Why the job does not move, or stopped, in plain words."""
        return _ADVICE[self].meaning

    @property
    def remedy(self) -> str:
        """What a person should do; empty where there is nothing to do.

        `{id}` stands for the job's ID, `{go_on}` for what lets a paused job go on.
        """
        return _ADVICE[self].remedy


@dataclass(frozen=True, slots=True)
class _Advice:
    """Class, meaning and remedy of one reason; see the properties of `StateReason`."""

    ends_by: ReasonClass
    meaning: str
    remedy: str = ""


_ADVICE = {
    StateReason.OPERATOR: _Advice(ReasonClass.PERSON, "a user paused it", "to go on: {go_on}"),
    StateReason.APPROVAL: _Advice(
        ReasonClass.PERSON, "it waits for a person to agree to it", "to let it start: `crm-sweep approve {id}`"
    ),
    StateReason.PLAN_EXPIRED: _Advice(
        ReasonClass.PERSON,
        "its plan is too old to be approved",
        "cancel it with `crm-sweep cancel {id}`, and make a new plan",
    ),
    StateReason.PLAN_CHANGED: _Advice(
        ReasonClass.PERSON,
        "the protected list or a guard is no longer what it was when the plan was made",
        "restore them and then {go_on}, or cancel it and make a new plan",
    ),
    StateReason.PORTAL_CHANGED: _Advice(
        ReasonClass.PERSON,
        "the portal's name is configured with another address than the job was made for",
        "restore the address and then {go_on}, or cancel it",
    ),
    StateReason.CANARY: _Advice(
        ReasonClass.PERSON,
        "its canary is over, and a person has to look at what became of it",
        "look at its ledger, then {go_on}; or cancel it",
    ),
    StateReason.STOPPED: _Advice(
        ReasonClass.PERSON,
        "a user has stopped all deletions",
        "to see who, and how to let them go on: `crm-sweep why {id}`",
    ),
    StateReason.COOLING_OFF: _Advice(
        ReasonClass.PASSING,
        "it was approved, and can still be cancelled before its first contact is deleted",
        "to cancel it: `crm-sweep cancel {id}`",
    ),
    StateReason.OUTSIDE_WINDOW: _Advice(
        ReasonClass.PASSING,
        "the portal's windows do not allow deletions now; the job continues on its own",
    ),
    StateReason.DAILY_CAP: _Advice(
        ReasonClass.PASSING,
        "as many contacts as the portal's max_contacts_per_day allows have been sent today; the job continues tomorrow",
    ),
    StateReason.FAILURE_THRESHOLD: _Advice(
        ReasonClass.PERSON,
        "too many of its contacts failed",
        "find the cause in the ledger's `failed` lines, then {go_on}",
    ),
    StateReason.UNDO_STORE: _Advice(
        ReasonClass.PERSON,
        "the records of its contacts cannot be kept, so none of them is deleted",
        "see last_error, put the undo store right, then {go_on}",
    ),
    StateReason.BAD_REQUEST: _Advice(
        ReasonClass.PERSON, "the request was wrong, so nothing was deleted", "correct it and submit it again"
    ),
    StateReason.STARTING: _Advice(ReasonClass.PASSING, "it is about to start"),
    StateReason.RATE_LIMIT: _Advice(
        ReasonClass.MOVING, "the portal's requests_per_second allows the next call in a moment"
    ),
    StateReason.FAIR_SHARE: _Advice(ReasonClass.MOVING, "other jobs of the portal are having their turn"),
    StateReason.BACKOFF: _Advice(ReasonClass.MOVING, "some contacts are tried again after a short wait"),
    StateReason.PUSH_BACK: _Advice(
        ReasonClass.PASSING,
        "the portal asked for a rest, or is overloaded; the job continues on its own",
        "to try the portal now: {go_on}",
    ),
    StateReason.LOGIN_GUARD: _Advice(
        ReasonClass.PASSING,
        "too many attempts to log in failed, and crm-sweep waits so that the portal does not lock the account; the job "
        "continues on its own",
    ),
    StateReason.NO_WORKER: _Advice(ReasonClass.PASSING, "no worker is running", "start one with `crm-sweep worker`"),
    StateReason.PORTAL_NOT_CONFIGURED: _Advice(
        ReasonClass.PASSING,
        "no running worker has the portal in its configuration",
        "add it, or correct its name, and restart the workers; the job then continues on its own",
    ),
    StateReason.PORTAL_UNREACHABLE: _Advice(
        ReasonClass.PASSING,
        "the portal cannot be reached, and is tried again now and then",
        "check that it is running, and that its url, and its proxy if it has one, are right",
    ),
    StateReason.PORTAL_AUTH: _Advice(
        ReasonClass.FAULT,
        "the portal does not accept the credentials",
        "replace the portal's token or password, then {go_on}",
    ),
    StateReason.PORTAL_PAYMENT: _Advice(
        ReasonClass.FAULT, "the portal is unpaid or not active", "renew its licence or plan, then {go_on}"
    ),
    StateReason.PORTAL_FORBIDDEN: _Advice(
        ReasonClass.FAULT,
        "the portal refuses the account, or calls from this address",
        "give it access to the CRM, then {go_on}",
    ),
    StateReason.PORTAL_PROXY: _Advice(
        ReasonClass.FAULT,
        "a proxy on the way to the portal refuses the calls",
        "correct the portal's proxy settings, or allow the portal's address in the proxy, then {go_on}",
    ),
    StateReason.PORTAL_PROTOCOL: _Advice(
        ReasonClass.FAULT,
        "what answers is not the portal's API, or gives answers that the API never gives",
        "check the portal's url (the base address, without /api), then {go_on}",
    ),
}

_BY_WORD = {str(reason): reason for reason in StateReason}

NEEDS_A_PERSON = frozenset(reason for reason in StateReason if reason.ends_by is ReasonClass.FAULT)
"""Faults of the portal, the account or the way there that a person has to fix."""

PORTAL_FAULTS = NEEDS_A_PERSON | {StateReason.PORTAL_UNREACHABLE}
"""Everything that can be wrong there. A portal that cannot be reached is tried again without a person's help."""

CALM = frozenset(
    {
        StateReason.OPERATOR,
        StateReason.APPROVAL,
        StateReason.STARTING,
        StateReason.RATE_LIMIT,
        StateReason.FAIR_SHARE,
        StateReason.NO_WORKER,
    }
)
"""Reasons that are not a problem: the last error is about something that is over."""

OUR_OWN_WAITS = frozenset({StateReason.LOGIN_GUARD, StateReason.PORTAL_UNREACHABLE})
"""Why a portal is not called although it did not ask for a rest."""

LIFTED_BY_RESUME = NEEDS_A_PERSON | {StateReason.PUSH_BACK}
"""What holds a portal, and with it jobs that are not paused, until one of them is resumed."""


def known_reason(word: str) -> StateReason | None:
    """Return the reason with this word; None for a word that this version does not know."""
    return _BY_WORD.get(word)


def is_moving(word: str | None) -> bool:
    """Check whether a job with this reason, or none, is making progress."""
    reason = _BY_WORD.get(word or "")
    return not word or (reason is not None and reason.ends_by is ReasonClass.MOVING)


def remedy_without_job(reason: str) -> str:
    """Return what to do about a portal that does not work, where no job waits for it; empty if that is not known.

    Args:
        reason: a word as in `Job.state_reason`.
    """
    return StateReason(reason).remedy.removesuffix(", then {go_on}") if reason in PORTAL_FAULTS else ""


def advice_with_error(reason: str, job_id: str, last_error: str | None, go_on: str | None = None) -> str:
    """Like `advice_on`, with the job's last error where that has to do with the reason.

    Args:
        reason: as for `advice_on`.
        job_id: likewise.
        last_error: `Job.last_error`.
        go_on: as for `advice_on`.
    """
    if not last_error or reason in CALM:
        return advice_on(reason, job_id, go_on)
    if reason in NEEDS_A_PERSON:
        # It says what is wrong and what to do, better than general advice can.
        return f"{last_error}; then {go_on or f'`crm-sweep resume {job_id}`'}"
    return f"{advice_on(reason, job_id, go_on)} (last error: {last_error})"


def advice_on(reason: str, job_id: str, go_on: str | None = None) -> str:
    """Return in plain words why a job does not move and what to do.

    Args:
        reason: `Job.state_reason`. A word that this version does not know sends the reader to `last_error`.
        job_id: put into the commands that are recommended.
        go_on: what lets a paused job go on; by default the command `resume`.
    """
    known = known_reason(reason)
    meaning = known.meaning if known else "it is waiting"
    remedy = known.remedy if known else "see last_error, then {go_on}"
    to_do = remedy.format(id=job_id, go_on=go_on or f"`crm-sweep resume {job_id}`")
    return f"{meaning}; {to_do}" if to_do else meaning
