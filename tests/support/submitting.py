"""Requests for tests: nothing waits for approval unless a test says so."""

from typing import Any

from jobs.accept.submission import Submission


def request(**facts: Any) -> Submission:
    """Return a request to delete contacts; the arguments are those of `Submission`."""
    return Submission(**({"needs_approval": False} | facts))
