"""How long a portal is left alone: doubling, bounded, and for as long as it asks."""

import time

import pytest

from jobs.lanes.settlement import NewRest
from jobs.words.reasons import StateReason
from worker.portal_answers import Failure, Remedy
from worker.push_back import PushBack, Relief


def failure(
    action: Remedy,
    *,
    sent: bool = True,
    retry_after_s: float | None = None,
    reason: str = "push_back",
    http_status: int | None = 503,
) -> Failure:
    return Failure(
        action=action,
        may_have_deleted=False,
        reason=reason,
        http_status=http_status,
        message="staged",
        retry_after_s=retry_after_s,
        sent=sent,
    )


def wait_s(push_back: PushBack, trouble: Failure, started_s: float | None = None) -> float | None:
    rest = push_back.after(trouble, time.monotonic() if started_s is None else started_s).rest
    return rest.wait_s if rest else None


def test_a_wait_of_our_own_cuts_no_rate_and_counts_as_no_trouble() -> None:
    push_back = PushBack(1.0, 10.0)
    waiting = failure(Remedy.WAIT, reason="login_guard", retry_after_s=42.0)
    assert push_back.after(waiting, time.monotonic()) == Relief(rest=NewRest(42.0, StateReason.LOGIN_GUARD))
    assert wait_s(push_back, failure(Remedy.SLOW_DOWN)) == 1, "the portal's first trouble"


def test_waits_double_up_to_the_longest_and_begin_again_after_calm() -> None:
    push_back = PushBack(1.0, 10.0)
    slow_down = failure(Remedy.SLOW_DOWN)
    assert [wait_s(push_back, slow_down) for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    push_back.calm()
    assert wait_s(push_back, slow_down) == 1


def test_a_portal_that_is_away_for_days_is_left_alone_for_the_longest_wait() -> None:
    push_back = PushBack(0.01, 3600.0)
    away = failure(Remedy.RETRY, sent=False, reason="portal_unreachable")
    assert {wait_s(push_back, away) for _ in range(3000)} == {3600.0} | {0.01 * 2**n for n in range(19)}


def test_calls_that_were_under_way_together_count_once() -> None:
    push_back = PushBack(1.0, 60.0)
    together_s = time.monotonic() - 5
    slow_down = failure(Remedy.SLOW_DOWN)
    assert [wait_s(push_back, slow_down, together_s) for _ in range(8)] == [1] * 8
    assert wait_s(push_back, slow_down) == 2


@pytest.mark.parametrize("action", [Remedy.SLOW_DOWN, Remedy.RETRY])
@pytest.mark.parametrize("asked_s", [0.5, 7.0, 86_400.0])
def test_the_portals_own_wish_counts_whatever_our_bounds(action: Remedy, asked_s: float) -> None:
    assert wait_s(PushBack(1.0, 5.0), failure(action, retry_after_s=asked_s)) == asked_s


@pytest.mark.parametrize("action", [Remedy.RETRY, Remedy.SPLIT, Remedy.GIVE_UP, Remedy.STOP])
def test_other_failures_leave_the_portal_to_the_other_batches(action: Remedy) -> None:
    assert wait_s(PushBack(1.0, 5.0), failure(action)) is None


@pytest.mark.parametrize("action", list(Remedy))
def test_only_a_push_back_cuts_the_learned_rate(action: Remedy) -> None:
    relief = PushBack(1.0, 5.0).after(failure(action), time.monotonic())
    assert relief.slow_down == (action is Remedy.SLOW_DOWN)


def test_the_first_429s_without_a_wish_are_met_by_the_lower_rate_alone() -> None:
    push_back = PushBack(1.0, 5.0)
    throttled = failure(Remedy.SLOW_DOWN, reason="rate_limit", http_status=429)
    assert [wait_s(push_back, throttled) for _ in range(7)] == [None] * 4 + [1, 2, 4]


def test_the_reason_tells_away_from_overloaded() -> None:
    for trouble, reason in [
        (failure(Remedy.RETRY, sent=False, reason="portal_unreachable"), "portal_unreachable"),
        (failure(Remedy.SLOW_DOWN), "push_back"),
    ]:
        rest = PushBack(1.0, 5.0).after(trouble, time.monotonic()).rest
        assert rest is not None
        assert rest.reason == reason


@pytest.mark.parametrize(("http_status", "cuts"), [(429, 5), (503, 1), (502, 1)])
def test_a_portal_that_stays_away_is_waited_for_and_slowed_down_once(http_status: int, cuts: int) -> None:
    push_back = PushBack(1.0, 5.0)
    trouble = failure(Remedy.SLOW_DOWN, http_status=http_status)
    assert sum(push_back.after(trouble, time.monotonic()).slow_down for _ in range(5)) == cuts


def test_the_portals_wish_is_respected_up_to_a_bound() -> None:
    push_back = PushBack(1.0, 10.0, asked_max_s=3600.0)
    for asked_s, given_s, told_s in ((42.0, 42.0, 42.0), (3600.0, 3600.0, 3600.0), (86_400.0, 3600.0, 86_400.0)):
        rest = push_back.after(failure(Remedy.SLOW_DOWN, retry_after_s=asked_s), time.monotonic()).rest
        assert rest == NewRest(given_s, StateReason.PUSH_BACK, told_s)


def test_a_portal_that_always_asks_for_no_wait_is_not_hammered() -> None:
    push_back = PushBack(1.0, 5.0)
    at_once = failure(Remedy.SLOW_DOWN, retry_after_s=0.0)
    assert [wait_s(push_back, at_once) for _ in range(4)] == [1, 2, 4, 5]


@pytest.mark.parametrize("action", list(Remedy))
@pytest.mark.parametrize("reason", ["timeout", "portal_error", "connection_lost", "answer_garbled", "something_new"])
def test_whatever_went_wrong_with_a_log_in_is_waited_for_under_a_reason_to_wait(action: Remedy, reason: str) -> None:
    """The words for a call that failed are not those for a job that waits."""
    rest = PushBack(1.0, 5.0).after(failure(action, sent=False, reason=reason), time.monotonic()).rest
    if action in {Remedy.RETRY, Remedy.SLOW_DOWN, Remedy.WAIT}:
        assert rest is not None
        assert rest.reason is (StateReason.LOGIN_GUARD if action is Remedy.WAIT else StateReason.PUSH_BACK)
    else:
        assert rest is None
