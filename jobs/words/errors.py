"""What can be wrong with a user's request, from the base class to the leaves, and what to do next.

    CrmSweepError                 config/errors.py     any of these; the message says what was wrong
    ├─ ConfigError                config/errors.py     correct the file or the environment, and start again
    ├─ UnknownName                config/errors.py     name something that is configured, or configure it
    │  ├─ UnknownPortal           config/errors.py
    │  ├─ UnknownSchedule         config/errors.py
    │  └─ UnknownWebhook          config/errors.py
    ├─ BadSubmission                                   correct the request; nothing was accepted
    │  ├─ BadFilter                                    correct the member of the filter that it names
    │  ├─ PlanRequired                                 ask for a plan
    │  ├─ NoUndo                                       ask for none, or have `undo` of the portal switched on
    │  ├─ UndoRequired                                 ask for nothing: the portal keeps the records of every job
    │  ├─ TooManyContacts                              split the list, or raise `max_contacts_per_job`
    │  └─ NotDue                                       wait until it is due, or pause or cancel it
    ├─ NotApproved                                     the message says what has to be done before the approval
    │  ├─ DigestNeeded                                 look at the plan, and approve its digest
    │  ├─ PlanChanged                                  look at the plan again, or make a new one
    │  ├─ BlastRadius                                  narrow the selection, or have `max_share` raised
    │  └─ SecondPerson                                 have somebody else approve it
    ├─ NoPlan                                          nothing: the job has none, or wait until it stands
    ├─ JobExists                                       choose another job ID
    ├─ UnknownJob                                      check the ID; a job is forgotten after `retention_days`
    ├─ IllegalMove                                     do what the job's state allows; the message lists it
    ├─ JobHasEnded                                     nothing: the request no longer makes sense
    ├─ ScheduleBusy                                    wait for its last job to end, approve it or cancel it
    ├─ IntakeError                intake/tally.py      correct the list, or take the way out that it names
    │  ├─ ListEmpty               intake/tally.py      send a list that holds contact IDs
    │  ├─ ListTooLarge            intake/tally.py      split the list
    │  └─ ListDamaged             intake/tally.py      write the list again
    ├─ BadProtectedList           intake/protected.py  correct the file `protected_ids_file`
    ├─ NoReceiptKey            receipts/errors.py   set `receipts.key_file`
    ├─ NotEnded                receipts/errors.py   wait until the job has ended
    ├─ UnknownContact          receipts/errors.py   check the contact ID; the job does not have it
    ├─ BadReceipt              receipts/errors.py   name a receipt or a proof, as it was written
    ├─ BadPublicKey            receipts/errors.py   name a public key, or a file that holds one
    ├─ Mismatch                receipts/errors.py   do not trust it: ask whoever signed it
    ├─ BundleError             bundles/errors.py   the message says what is wrong with a bundle
    │  ├─ StoreTrouble         bundles/errors.py   see to the undo store, then try again
    │  │  └─ ObjectMissing     bundles/store.py    check that the store is the one that was used before
    │  ├─ NoBundle             bundles/errors.py   check the job ID and the store
    │  ├─ BundleInUse          bundles/errors.py   cancel the job, or wait until it has ended
    │  ├─ BundleDamaged        bundles/errors.py   bring it back from a copy of the store; the rest can be read by hand
    │  └─ BadIdentity          bundles/errors.py   bring the private key of one of the recipients
    ├─ UnreadableMessage          arq_messages/message.py   write the message in JSON
    └─ UnsuitableServer           store/server_check.py     change the settings of Redis as the message says

Errors that only a command or the API server can meet are in cli/errors.py and web/http/problems.py. An error of
redis-py means that Redis is away or refuses: `trouble_of` in jobs/store/trouble.py says which, and what to do.
"""

from collections.abc import Sequence

from config.errors import CrmSweepError


class BadSubmission(CrmSweepError, ValueError):
    """The request itself is wrong; the message says what and where."""


class PlanRequired(BadSubmission):
    """The portal accepts jobs of this size only with a plan."""

    def __init__(self, portal: str, contacts: int) -> None:
        super().__init__(f"portal {portal} takes {contacts:,} contacts in one job only with a plan")


class NoUndo(BadSubmission):
    """Records are to be kept, and the portal keeps none."""

    def __init__(self, portal: str) -> None:
        super().__init__(f"portal {portal} keeps no records of contacts: its setting undo is off")


class UndoRequired(BadSubmission):
    """Records are not to be kept, and the portal keeps those of every job."""

    def __init__(self, portal: str) -> None:
        super().__init__(f"portal {portal} keeps the records of every job's contacts: its setting undo is required")


class NotApproved(CrmSweepError):
    """The job cannot be approved like this; nothing was changed."""

    def __init__(self, job_id: str, why: str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id} is not approved: {why}")


class DigestNeeded(NotApproved):
    """The job has a plan, and the approval does not say which."""


class PlanChanged(NotApproved):
    """The plan that was approved is not that of the job, or has expired."""


class BlastRadius(NotApproved):
    """The plan would delete a larger share of the portal than its `max_share`."""


class SecondPerson(NotApproved):
    """Somebody other than the submitter has to approve the job."""


class NoPlan(CrmSweepError):
    """The job has no plan, or none yet."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id} has no plan, or none yet")


class JobExists(CrmSweepError):
    """The ID is taken by a job with another list or portal; nothing was changed."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id} already exists with another portal, list or filter")


class TooManyContacts(BadSubmission):
    """The list is longer than the portal allows for one job.

    Args:
        portal: the portal's name.
        contacts: contact IDs of the list.
        most: the portal's `max_contacts_per_job`.
    """

    def __init__(self, portal: str, contacts: int, most: int) -> None:
        super().__init__(f"{contacts:,} contacts are too many: portal {portal} takes at most {most:,} in one job")


class NotDue(BadSubmission):
    """The sender deferred the job, and the request would start it now."""


class BadFilter(BadSubmission):
    """A filter of contacts cannot be used as it is.

    Args:
        problem: what was given and what was expected.
        member: the member of the filter that it is about; None for the filter as a whole.
    """

    def __init__(self, problem: str, member: str | None = None) -> None:
        self.problem = problem
        self.member = member
        super().__init__(f"filter.{member}: {problem}" if member else f"filter: {problem}")


class UnknownJob(CrmSweepError, LookupError):
    """There is no job with this ID, or no longer."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"no such job: {job_id if job_id.isprintable() else ascii(job_id)}")


class IllegalMove(CrmSweepError):
    """The job's state does not allow what was asked.

    Args:
        state: the job's state at that moment.
        event: what was asked.
        allowed: what can be asked instead.
    """

    def __init__(self, state: str, event: str, allowed: Sequence[str]) -> None:
        self.state = state
        self.event = event
        instead = ", ".join(map(_spoken, allowed)) or "nothing, it has ended"
        super().__init__(f"{_spoken(event)} is not possible while the job is {state}; possible now: {instead}")


class JobHasEnded(CrmSweepError):
    """The job has ended, so its priority no longer matters."""

    def __init__(self, job_id: str, state: str) -> None:
        self.job_id = job_id
        self.state = state
        super().__init__(f"job {job_id} is {state}: its priority no longer matters")


class ScheduleBusy(CrmSweepError):
    """The schedule cannot start, because its last job has not ended."""

    def __init__(self, name: str, job_id: str, state: str) -> None:
        self.job_id = job_id
        waits = state == "awaiting_approval"
        approve = f"approve it with `crm-sweep approve {job_id}`, or " if waits else "wait for its end, or "
        super().__init__(
            f"schedule {name} does not start: its last job {job_id} has not ended, it is {state}; "
            f"{approve}cancel it with `crm-sweep cancel {job_id}`"
        )


def _spoken(event: str) -> str:
    return event.replace("_", "-")  # the name of the command
