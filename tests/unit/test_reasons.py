"""Why a job does not move: one word, and never silence while nothing moves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.view.waiting import Situation, why_waiting
from jobs.words.reasons import StateReason
from jobs.words.states import TERMINAL, State


def situation(**facts: Any) -> Situation:
    usual: dict[str, Any] = {
        "state": State.QUEUED,
        "stored_reason": None,
        "inflight": 0,
        "workers": 1,
        "lanes": 0,
        "push_back_ms": -1,
        "push_back_reason": None,
        "next_turn_ms": -1,
    }
    return Situation(**(usual | facts))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"state": State.RUNNING, "inflight": 1, "lanes": 1}, None),
        ({"state": State.RUNNING, "inflight": 1, "lanes": 1, "push_back_ms": 5}, None),
        ({"state": State.RUNNING, "inflight": 1, "workers": 0}, "no_worker"),
        ({"state": State.CANCELLING, "inflight": 1}, "backoff"),
        ({"state": State.COMPLETED}, None),
        ({"state": State.CANCELLED, "workers": 0}, None),
        ({"state": State.PAUSED, "stored_reason": "operator", "workers": 0}, "operator"),
        ({"state": State.PAUSING, "stored_reason": "portal_auth", "inflight": 2}, "portal_auth"),
        ({"state": State.AWAITING_APPROVAL, "stored_reason": "approval"}, "approval"),
        ({"workers": 0, "push_back_ms": 5}, "no_worker"),
        ({"is_known": False, "push_back_ms": 5}, "portal_not_configured"),
        ({"is_known": False, "workers": 0}, "no_worker"),
        ({"state": State.RUNNING, "inflight": 1, "lanes": 1, "is_known": False}, None),
        ({"push_back_ms": 5, "push_back_reason": "portal_unreachable"}, "portal_unreachable"),
        ({"push_back_ms": 5}, "push_back"),
        ({"push_back_ms": 5, "push_back_reason": "login_guard"}, "login_guard"),
        ({"push_back_ms": 5, "fault": "portal_auth"}, "portal_auth"),
        ({"fault": "portal_payment", "workers": 0}, "no_worker"),
        ({"fault": "portal_payment", "state": State.RUNNING, "inflight": 1, "lanes": 1}, None),
        ({"next_turn_ms": 5}, "rate_limit"),
        ({"lanes": 1, "rivals": 2}, "fair_share"),
        ({"lanes": 1, "rivals": 1}, "starting"),
        ({}, "starting"),
        ({"state": State.RUNNING}, "backoff"),
    ],
)
def test_the_word_for_each_situation(facts: dict[str, Any], reason: str | None) -> None:
    assert why_waiting(situation(**facts)) == reason


@given(
    st.builds(
        Situation,
        state=st.sampled_from(sorted(set(State) - TERMINAL)),
        stored_reason=st.sampled_from([None, "operator", "portal_auth"]),
        inflight=st.just(0),
        workers=st.integers(0, 3),
        lanes=st.integers(0, 3),
        push_back_ms=st.integers(-10, 10),
        push_back_reason=st.sampled_from([None, "rate_limit", "push_back", "portal_unreachable"]),
        next_turn_ms=st.integers(-10, 10),
    )
)
def test_while_nothing_moves_there_is_always_a_word_that_is_explained(moment: Situation) -> None:
    reason = why_waiting(moment)
    assert reason
    assert StateReason(reason)
