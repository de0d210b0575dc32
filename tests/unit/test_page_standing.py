"""Which buttons a job has on the page, and what it says of what holds it back."""

import pytest

from jobs.words.reasons import StateReason
from jobs.words.states import Event, State
from tests.support.samples import a_job
from web.http.callers import LOCAL
from web.page.session import Visitor
from web.page.standing import offered, standing_of

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


UNTIL = "2026-11-26T20:00:00Z"


@pytest.mark.parametrize(
    ("state", "reason", "until", "title", "to_do"),
    [
        (
            State.QUEUED,
            "outside_window",
            UNTIL,
            (
                "The portal's windows do not allow deletions now, until 2026-11-26 20:00:00 UTC; "
                "the job continues on its own"
            ),
            "",
        ),
        (
            State.RUNNING,
            "daily_cap",
            UNTIL,
            (
                "As many contacts as the portal's max_contacts_per_day allows have been sent today, "
                "until 2026-11-26 20:00:00 UTC; the job continues tomorrow"
            ),
            "",
        ),
        (
            State.QUEUED,
            "cooling_off",
            UNTIL,
            "It is approved, and can be cancelled before its first contact is deleted, until 2026-11-26 20:00:00 UTC",
            "Then it starts on its own.",
        ),
        (
            State.RUNNING,
            "stopped",
            None,
            "A user has stopped all deletions",
            "It goes on once somebody lets deletions go on: the line at the top says who stopped them.",
        ),
        (
            State.AWAITING_APPROVAL,
            "plan_expired",
            None,
            "Its plan is too old to be approved",
            "Cancel the job, and make a new plan.",
        ),
        (
            State.PAUSED,
            "plan_changed",
            None,
            "The protected list or a guard is no longer what it was when the plan was made",
            "Restore them and then press Resume, or cancel it and make a new plan",
        ),
        (
            State.PAUSED,
            "portal_changed",
            None,
            "The portal's name is configured with another address than the job was made for",
            "Restore the address and then press Resume, or cancel it",
        ),
        (State.AWAITING_APPROVAL, "approval", None, "It has to be approved first", "Press Approve to let it start."),
    ],
)
def test_what_holds_a_job_back_is_said_in_words_and_for_how_long(
    state: State, reason: str, until: str | None, title: str, to_do: str
) -> None:
    standing = standing_of(a_job(state=state, state_reason=reason, waits_until=until))
    assert standing is not None
    assert (standing.title, standing.to_do) == (title, to_do)


@pytest.mark.parametrize("reason", [reason for reason in StateReason if reason is not StateReason.BAD_REQUEST])
def test_the_page_recommends_no_command_where_it_has_a_button(reason: StateReason) -> None:
    standing = standing_of(a_job(state=State.PAUSED, state_reason=reason))
    assert standing is not None
    assert not any(
        f"crm-sweep {verb}" in standing.to_do for verb in ("approve", "resume", "cancel", "stop", "start", "results")
    )


def test_planning_that_moves_has_nothing_that_holds_it_back() -> None:
    assert standing_of(a_job(state=State.PLANNING, state_reason="rate_limit")) is None
    assert standing_of(a_job(state=State.PLANNING, state_reason="no_worker")) is not None
