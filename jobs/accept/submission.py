"""What is submitted, built by the one function that knows the portal and its gates."""

from dataclasses import dataclass
from enum import Enum

from pyroaring import BitMap

from config.settings import Portal
from jobs.words.errors import TooManyContacts
from jobs.words.priority import Priority


class Approval(Enum):
    """Who decides that a job may start."""

    BY_SIZE = "by_size"
    """The portal's `approval_above`: a larger list waits for `approve`."""
    NEEDED = "needed"
    """A user, whatever the size: the list was above the limit when it was shown to them."""
    GIVEN = "given"
    """No one: the user who starts the job has already agreed to it, and is the only one who could approve it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request to delete contacts. Build it with `submission_for`, which knows the gates.

    Attributes:
        portal: name of a configured portal.
        ids: the contact IDs, at least one.
        needs_approval: whether a user has to `approve` it before anything is sent.
        job_id: the job's ID if the caller chose one, which makes it safe to submit twice.
        label: free text for people, at most 200 characters.
        duplicates: how many IDs of the list were repetitions.
        lanes: how many lanes can work on it at the same time: the portal's `max_concurrency`.
        priority: how often it gets a turn among the other jobs of the portal.
        by: who submits; kept with the job. Empty if that is not known.
        address: fingerprint of the portal's address: the job is carried out there, or nowhere. Empty for anywhere.
        cooling_off_s: seconds that it waits between its approval and its first PUT.
    """

    portal: str
    ids: BitMap
    needs_approval: bool
    job_id: str | None = None
    label: str = ""
    duplicates: int = 0
    lanes: int = 1
    priority: Priority = Priority.NORMAL
    by: str = ""
    address: str = ""
    cooling_off_s: float = 0.0


def submission_for(
    portal: Portal,
    ids: BitMap,
    *,
    by: str,
    approval: Approval = Approval.BY_SIZE,
    job_id: str | None = None,
    label: str = "",
    duplicates: int = 0,
    priority: Priority = Priority.NORMAL,
) -> Submission:
    """Return the request to delete contacts of a portal, with the portal's gates applied.

    Args:
        portal: the portal's settings.
        ids: the contact IDs, at least one.
        by: who submits; kept with the job.
        approval: whether an exception from `approval_above` applies.
        job_id: the job's ID if the caller chose one.
        label: free text for people.
        duplicates: how many IDs of the list were repetitions.
        priority: how often it gets a turn among the other jobs of the portal.

    Raises:
        TooManyContacts: the portal's `max_contacts_per_job` is exceeded.
    """
    check_size(portal, len(ids))
    return Submission(
        portal=portal.name,
        ids=ids,
        needs_approval=approval is Approval.NEEDED
        or (approval is Approval.BY_SIZE and portal.needs_approval(len(ids))),
        job_id=job_id,
        label=label,
        duplicates=duplicates,
        lanes=portal.max_concurrency,
        priority=priority,
        by=by,
        address=portal.address,
        cooling_off_s=portal.cooling_off_s,
    )


def check_size(portal: Portal, contacts: int) -> None:
    """Check that a portal takes a job of this many contact IDs.

    Raises:
        TooManyContacts: its `max_contacts_per_job` is exceeded.
    """
    if 0 < portal.max_contacts_per_job < contacts:
        raise TooManyContacts(portal.name, contacts, portal.max_contacts_per_job)
