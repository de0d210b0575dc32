"""What the API has promised, and what it has said since: a promise must stand, whatever fails over."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.hosts.plan import Submission

_UNAPPROVED = {"planning", "awaiting_approval"}
_CANCELLED = {"cancelling", "cancelled"}
TERMINAL = {"completed", "cancelled", "failed"}


@dataclass
class Promise:
    """One submission and its answers. Times are on the monotonic clock; None while it has not happened.

    Attributes:
        submission: what was submitted.
        accepted_s: when the API had answered that the job is accepted.
        approved_s: when it had answered that the job is approved.
        cancelled_s: when it had answered that the job is cancelled.
        asked_to_cancel: whether somebody tried to cancel it, also if no answer came.
        is_lost: whether the API did not know the job any more.
        job: the job as the API last showed it.
        problems: promises that did not stand.
    """

    submission: Submission
    accepted_s: float | None = None
    approved_s: float | None = None
    cancelled_s: float | None = None
    asked_to_cancel: bool = False
    is_lost: bool = False
    job: Mapping[str, Any] | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def job_id(self) -> str:
        """The job's ID."""
        return self.submission.job_id

    @property
    def ended(self) -> bool:
        """Whether nothing more will become of the job: it was last seen at its end, or it is lost."""
        return self.is_lost or (self.job is not None and self.job["state"] in TERMINAL)

    @property
    def pending(self) -> int:
        """Contacts that were not decided when the job was last seen; all of them before that."""
        return len(self.submission.ids) if self.job is None else int(self.job["counts"]["pending"])

    @property
    def progress(self) -> tuple[Any, ...]:
        """What changes as long as anything becomes of the job."""
        return () if self.job is None else (self.job["state"], self.job["counts"], self.job["requests"])

    def kept(self, asked_s: float, job: Mapping[str, Any] | None) -> None:
        """Compare an answer with what was promised before it was asked for.

        Args:
            asked_s: when the request was sent.
            job: the job that the API showed; None if it said that there is no such job.
        """
        if job is None:
            if _before(self.accepted_s, asked_s):
                self.is_lost = True
                self._broken("was accepted, and is unknown")
            return
        self.is_lost = False
        if job["total"] != len(self.submission.ids):
            self._broken(f"has {job['total']} of its {len(self.submission.ids)} contacts")
        if sum(job["counts"].values()) != job["total"] or min(job["counts"].values()) < 0:
            self._broken(f"has counts {job['counts']} that do not add up to {job['total']}")
        state = job["state"]
        if _before(self.approved_s, asked_s) and state in _UNAPPROVED:
            self._broken(f"was approved, and is {state}")
        if _before(self.cancelled_s, asked_s) and state not in _CANCELLED:
            self._broken(f"was cancelled, and is {state}")
        before = self.job
        if before and before["state"] in TERMINAL and (state, job["counts"]) != (before["state"], before["counts"]):
            self._broken(f"had ended as {before['state']}, and is {state} with counts {job['counts']}")
        self.job = job

    def _broken(self, how: str) -> None:
        what = f"job {self.job_id} {how}"
        if what not in self.problems:
            self.problems.append(what)


def now_s() -> float:
    """Return the moment on the clock of promises."""
    return time.monotonic()


def _before(moment_s: float | None, asked_s: float) -> bool:
    return moment_s is not None and moment_s <= asked_s
