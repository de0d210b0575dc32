"""What is submitted, built by the one function that knows the portal and its guards."""

from dataclasses import dataclass
from enum import Enum

from pyroaring import BitMap

from config.settings import Portal
from jobs.ledger.canary import largest_canary
from jobs.words.errors import NoUndo, PlanRequired, TooManyContacts, UndoRequired
from jobs.words.filters import Filter
from jobs.words.priority import Priority
from jobs.words.states import CanaryState


class Approval(Enum):
    """Who decides that a job may start."""

    BY_SIZE = "by_size"
    """The portal's `approval_above` and `second_person_above`: a larger list waits for `approve`."""
    NEEDED = "needed"
    """A user, whatever the size: the list was above the limit when it was shown to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryTerms:
    """How a job's canary is sent and judged; fixed when the job is accepted.

    Attributes:
        contacts: how many contact IDs go first, at least one.
        allowed: how many of them may end otherwise than expected without stopping the job.
        confirm: whether the job waits for a person after its canary in any case.
    """

    contacts: int
    allowed: int = 0
    confirm: bool = False

    def facts(self, total: int) -> dict[str, str | float]:
        """Return what the hash of a job of `total` contacts says of its canary at first (includes/canary.lua)."""
        return {
            "canary": min(self.contacts, total),
            "canary_state": CanaryState.RUNNING,
            "canary_cursor": 0,
            "canary_allowed": self.allowed,
            "canary_confirm": int(self.confirm),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request to delete contacts. Build it with `submission_for`, which knows the guards.

    Attributes:
        portal: name of a configured portal.
        ids: the contact IDs, at least one; none with a selection.
        selection: the filter that chooses the contacts, in place of a list.
        plan: whether a plan is made first, which then has to be approved.
        max_contacts: largest job that the submitter may have; 0 for any. A filter's size shows only in its plan.
        needs_approval: whether a user has to `approve` it before anything is sent.
        job_id: the job's ID if the caller chose one, which makes it safe to submit twice.
        label: free text for people, at most 200 characters.
        duplicates: how many IDs of the list were repetitions.
        lanes: how many lanes can work on it at the same time: the portal's `max_concurrency`.
        priority: how often it gets a turn among the other jobs of the portal.
        by: who submits; kept with the job. Empty if that is not known.
        address: fingerprint of the portal's address: the job is carried out there, or nowhere. Empty for anywhere.
        canary: the part of it that goes first; None to send all alike. Of a job with a plan, the plan decides.
        undo: whether the record of each contact is kept before it is sent.
        chose_undo: whether that was the submitter's choice; the portal left it to them.
    """

    portal: str
    ids: BitMap
    selection: Filter | None = None
    plan: bool = False
    max_contacts: int = 0
    needs_approval: bool
    job_id: str | None = None
    label: str = ""
    duplicates: int = 0
    lanes: int = 1
    priority: Priority = Priority.NORMAL
    by: str = ""
    address: str = ""
    canary: CanaryTerms | None = None
    undo: bool = False
    chose_undo: bool = False


def submission_for(
    portal: Portal,
    ids: BitMap,
    *,
    by: str,
    approval: Approval = Approval.BY_SIZE,
    selection: Filter | None = None,
    plan: bool = False,
    max_contacts: int = 0,
    job_id: str | None = None,
    label: str = "",
    duplicates: int = 0,
    priority: Priority = Priority.NORMAL,
    undo: bool | None = None,
) -> Submission:
    """Return the request to delete contacts of a portal, with the portal's guards applied.

    Args:
        portal: the portal's settings.
        ids: the contact IDs, at least one; none with a selection.
        by: who submits; kept with the job.
        approval: whether it waits for approval whatever its size.
        selection: the filter that chooses the contacts; it always makes a plan.
        plan: whether a plan of the list is made first.
        max_contacts: largest job that the submitter may have; 0 for any.
        job_id: the job's ID if the caller chose one.
        label: free text for people.
        duplicates: how many IDs of the list were repetitions.
        priority: how often it gets a turn among the other jobs of the portal.
        undo: whether records are to be kept; None leaves it to the portal.

    Raises:
        NoUndo: records are to be kept, and the portal keeps none.
        PlanRequired: the portal takes no job of this size without a plan.
        TooManyContacts: the portal's `max_contacts_per_job` is exceeded.
        UndoRequired: no records are to be kept, and the portal keeps those of every job.
    """
    plan = plan or selection is not None
    if not plan and portal.needs_plan(len(ids)):
        raise PlanRequired(portal.name, len(ids))
    check_size(portal, len(ids))
    keeps = keeps_bundle(portal, undo)
    return Submission(
        portal=portal.name,
        ids=ids,
        selection=selection,
        plan=plan,
        max_contacts=max_contacts,
        needs_approval=approval is Approval.NEEDED
        or portal.needs_approval(len(ids))
        or portal.needs_second_person(len(ids)),
        job_id=job_id,
        label=label,
        duplicates=duplicates,
        lanes=portal.max_concurrency,
        priority=priority,
        by=by,
        address=portal.address,
        canary=None if plan else canary_terms(portal, len(ids)),
        undo=keeps,
        chose_undo=keeps and portal.undo == "optional",
    )


def keeps_bundle(portal: Portal, undo: bool | None) -> bool:
    """Return whether a job keeps the records of its contacts.

    Args:
        portal: the portal's settings.
        undo: what its submitter wants; None if they leave it to the portal.

    Raises:
        NoUndo: they want it, and the portal's `undo` is off.
        UndoRequired: they do not, and the portal's `undo` is required.
    """
    if undo and portal.undo == "off":
        raise NoUndo(portal.name)
    if undo is False and portal.undo == "required":
        raise UndoRequired(portal.name)
    return portal.undo == "required" or bool(undo)


def check_size(portal: Portal, contacts: int) -> None:
    """Check that a portal takes a job of this many contact IDs.

    Raises:
        TooManyContacts: its `max_contacts_per_job` is exceeded.
    """
    if 0 < portal.max_contacts_per_job < contacts:
        raise TooManyContacts(portal.name, contacts, portal.max_contacts_per_job)


def canary_terms(portal: Portal, contacts: int) -> CanaryTerms | None:
    """Return the canary that the portal's settings want of a job; None for none.

    Args:
        portal: the portal's settings.
        contacts: contact IDs of the job.
    """
    size = min(portal.canary_size(contacts), largest_canary(contacts)) if contacts else 0
    if not size:
        return None
    return CanaryTerms(contacts=size, allowed=portal.canary_departures, confirm=portal.canary_confirm)
