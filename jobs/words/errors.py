"""What can go wrong with what somebody asks of this package."""

from collections.abc import Sequence


class BadSubmission(ValueError):
    """The request itself is wrong; the message says what and where."""


class JobExists(Exception):
    """The ID is taken by a job with another list or portal; nothing was changed."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id} exists already with another portal or list of contact IDs")


class NotDue(BadSubmission):
    """The sender has put the job off, and what is asked would start it."""


class UnknownJob(LookupError):
    """There is no job with this ID, or not any more."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"no such job: {job_id if job_id.isprintable() else ascii(job_id)}")


class IllegalMove(Exception):
    """The job's state does not allow what was asked.

    Args:
        state: the job's state at that moment.
        event: what was asked.
        allowed: what may be asked instead.
    """

    def __init__(self, state: str, event: str, allowed: Sequence[str]) -> None:
        self.state = state
        self.event = event
        instead = ", ".join(map(_spoken, allowed)) or "nothing, it has ended"
        super().__init__(f"{_spoken(event)} is not possible while the job is {state}; possible now: {instead}")


class JobHasEnded(Exception):
    """The job has ended, so its priority means nothing any more."""

    def __init__(self, job_id: str, state: str) -> None:
        self.job_id = job_id
        self.state = state
        super().__init__(f"job {job_id} is {state}: its priority means nothing any more")


def _spoken(event: str) -> str:
    return event.replace("_", "-")  # as the command is called
