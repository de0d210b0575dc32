"""Why a job does not move: one word, and never none while nothing moves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.store.faults import Fault
from jobs.store.portal_state import PortalState, Rest
from jobs.view.waiting import Situation, why_waiting
from jobs.words.reasons import PORTAL_FAULTS, StateReason
from jobs.words.states import TERMINAL, State

NOW_MS = 1_000_000


def rest(reason: str = "push_back") -> Rest:
    return Rest(NOW_MS + 5, reason)


def fault(reason: str) -> Fault:
    return Fault(reason, "wrong; put it right", NOW_MS + 5)


def situation(**facts: Any) -> Situation:
    usual: dict[str, Any] = {
        "state": State.QUEUED, "stored_reason": None, "inflight": 0, "workers": 1, "is_known": True
    }  # fmt: skip
    of_portal = {name: facts.pop(name) for name in list(facts) if name not in usual}
    return Situation(**(usual | facts), portal=PortalState(now_ms=NOW_MS, **of_portal))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"state": State.RUNNING, "inflight": 1, "lanes": 1}, None),
        ({"state": State.RUNNING, "inflight": 1, "lanes": 1, "rest": rest()}, None),
        ({"state": State.RUNNING, "inflight": 1, "workers": 0}, "no_worker"),
        ({"state": State.CANCELLING, "inflight": 1}, "backoff"),
        ({"state": State.COMPLETED}, None),
        ({"state": State.CANCELLED, "workers": 0}, None),
        ({"state": State.PAUSED, "stored_reason": "operator", "workers": 0}, "operator"),
        ({"state": State.PAUSING, "stored_reason": "portal_auth", "inflight": 2}, "portal_auth"),
        ({"state": State.AWAITING_APPROVAL, "stored_reason": "approval"}, "approval"),
        ({"workers": 0, "rest": rest()}, "no_worker"),
        ({"is_known": False, "rest": rest()}, "portal_not_configured"),
        ({"is_known": False, "workers": 0}, "no_worker"),
        ({"state": State.RUNNING, "inflight": 1, "lanes": 1, "is_known": False}, None),
        ({"rest": rest("portal_unreachable")}, "portal_unreachable"),
        ({"rest": rest()}, "push_back"),
        ({"rest": rest("login_guard")}, "login_guard"),
        ({"rest": rest(), "fault": fault("portal_auth")}, "portal_auth"),
        ({"fault": fault("portal_payment"), "workers": 0}, "no_worker"),
        ({"fault": fault("portal_payment"), "state": State.RUNNING, "inflight": 1, "lanes": 1}, None),
        ({"next_turn_ms": NOW_MS + 5}, "rate_limit"),
        ({"next_turn_ms": NOW_MS}, "starting"),
        ({"lanes": 1, "active_jobs": 2}, "fair_share"),
        ({"lanes": 1, "active_jobs": 1}, "starting"),
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
        is_known=st.booleans(),
        portal=st.builds(
            PortalState,
            now_ms=st.just(NOW_MS),
            lanes=st.integers(0, 3),
            active_jobs=st.integers(0, 3),
            rest=st.none() | st.builds(rest, st.sampled_from(["rate_limit", "push_back", "portal_unreachable"])),
            fault=st.none() | st.builds(fault, st.sampled_from(sorted(PORTAL_FAULTS))),
            next_turn_ms=st.integers(NOW_MS - 10, NOW_MS + 10),
        ),
    )
)
def test_while_nothing_moves_there_is_always_a_word_that_is_explained(moment: Situation) -> None:
    reason = why_waiting(moment)
    assert reason
    assert StateReason(reason)
