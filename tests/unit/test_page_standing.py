"""Which buttons a job has on the page."""

from typing import Any

import msgspec
import pytest

from jobs.outcomes import Outcome
from jobs.states import Event, State
from jobs.view import Job
from web.keys import LOCAL
from web.page.session import Visitor
from web.page.standing import offered

VISITOR = Visitor("token", LOCAL, logged_in=False)


def job(state: State, reason: str | None) -> Job:
    facts: dict[str, Any] = {
        "id": "JOB-1", "portal": "main", "label": "", "state": state, "state_reason": reason, "waits_until": None,
        "created_at": "2026-11-23T12:00:00Z", "started_at": None, "finished_at": None, "total": 5, "duplicates": 0,
        "counts": dict.fromkeys(Outcome, 0), "progress": 0.0, "contacts_per_second": 0.0, "eta_s": None,
        "requests": {"sent": 0, "retried": 0, "throttled": 0}, "last_error": None, "requests_per_second": None,
        "batch_size": None, "priority": "normal", "actions": [],
    }  # fmt: skip
    return msgspec.convert(facts, Job)


@pytest.mark.parametrize(
    ("state", "reason", "resumes"),
    [
        (State.PAUSED, "portal_auth", True),
        (State.QUEUED, "portal_auth", True),
        (State.RUNNING, "portal_payment", True),
        (State.CANCELLING, "portal_forbidden", True),
        (State.RUNNING, None, False),
        (State.QUEUED, "fair_share", False),
        (State.QUEUED, "portal_unreachable", False),
        (State.QUEUED, "login_guard", False),
        (State.QUEUED, "push_back", True),
    ],
)
def test_whatever_a_fault_holds_can_be_resumed(state: State, reason: str | None, resumes: bool) -> None:
    assert (Event.RESUME in offered(job(state, reason), VISITOR)) is resumes
    assert offered(job(state, reason), VISITOR).count(Event.RESUME) == int(resumes)
