"""Which buttons a job has on the page."""

import pytest

from jobs.words.states import Event, State
from tests.support.samples import a_job
from web.http.callers import LOCAL
from web.page.session import Visitor
from web.page.standing import offered

VISITOR = Visitor("token", LOCAL, logged_in=False)


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
    job = a_job(state=state, state_reason=reason)
    assert offered(job, VISITOR).count(Event.RESUME) == int(resumes)
