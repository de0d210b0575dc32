"""How long a portal is left alone: doubling, bounded, and as long as it asks for itself."""

import time

import pytest

from jobs.lanes.settlement import Settlement
from worker.portal_answers import Action, Failure
from worker.push_back import PushBack


def failure(
    action: Action,
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
    settlement = Settlement()
    push_back.note(settlement, trouble, time.monotonic() if started_s is None else started_s)
    return settlement.push_back_s


def test_a_wait_of_our_own_cuts_no_rate_and_counts_as_no_trouble() -> None:
    push_back = PushBack(1.0, 10.0)
    settlement = Settlement()
    push_back.note(settlement, failure(Action.WAIT, reason="login_guard", retry_after_s=42.0), time.monotonic())
    assert (settlement.push_back_s, settlement.push_back_reason) == (42.0, "login_guard")
    assert not settlement.slow_down
    assert wait_s(push_back, failure(Action.SLOW_DOWN)) == 1, "the first trouble of the portal's"


def test_waits_double_up_to_the_longest_and_begin_again_after_calm() -> None:
    push_back = PushBack(1.0, 10.0)
    slow_down = failure(Action.SLOW_DOWN)
    assert [wait_s(push_back, slow_down) for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    push_back.calm()
    assert wait_s(push_back, slow_down) == 1


def test_a_portal_that_is_away_for_days_is_left_alone_for_the_longest_wait() -> None:
    push_back = PushBack(0.01, 3600.0)
    away = failure(Action.RETRY, sent=False, reason="portal_unreachable")
    assert {wait_s(push_back, away) for _ in range(3000)} == {3600.0} | {0.01 * 2**n for n in range(19)}


def test_calls_that_were_under_way_together_count_once() -> None:
    push_back = PushBack(1.0, 60.0)
    together_s = time.monotonic() - 5
    slow_down = failure(Action.SLOW_DOWN)
    assert [wait_s(push_back, slow_down, together_s) for _ in range(8)] == [1] * 8
    assert wait_s(push_back, slow_down) == 2


@pytest.mark.parametrize("action", [Action.SLOW_DOWN, Action.RETRY])
@pytest.mark.parametrize("asked_s", [0.5, 7.0, 86_400.0])
def test_the_portals_own_wish_counts_whatever_our_bounds(action: Action, asked_s: float) -> None:
    assert wait_s(PushBack(1.0, 5.0), failure(action, retry_after_s=asked_s)) == asked_s


@pytest.mark.parametrize("action", [Action.RETRY, Action.SPLIT, Action.GIVE_UP, Action.STOP])
def test_other_failures_leave_the_portal_to_the_other_batches(action: Action) -> None:
    assert wait_s(PushBack(1.0, 5.0), failure(action)) is None


@pytest.mark.parametrize("action", list(Action))
def test_only_a_push_back_cuts_the_learned_rate(action: Action) -> None:
    settlement = Settlement()
    PushBack(1.0, 5.0).note(settlement, failure(action), time.monotonic())
    assert settlement.slow_down == (action is Action.SLOW_DOWN)


def test_the_first_429s_without_a_wish_are_met_by_the_lower_rate_alone() -> None:
    push_back = PushBack(1.0, 5.0)
    throttled = failure(Action.SLOW_DOWN, reason="rate_limit", http_status=429)
    assert [wait_s(push_back, throttled) for _ in range(7)] == [None] * 4 + [1, 2, 4]


def test_the_reason_tells_away_from_overloaded() -> None:
    for trouble, reason in [
        (failure(Action.RETRY, sent=False, reason="portal_unreachable"), "portal_unreachable"),
        (failure(Action.SLOW_DOWN), "push_back"),
    ]:
        settlement = Settlement()
        PushBack(1.0, 5.0).note(settlement, trouble, time.monotonic())
        assert settlement.push_back_reason == reason


@pytest.mark.parametrize(("http_status", "cuts"), [(429, 5), (503, 1), (502, 1)])
def test_a_portal_that_stays_away_is_waited_for_and_slowed_down_once(http_status: int, cuts: int) -> None:
    push_back = PushBack(1.0, 5.0)
    settlements = [Settlement() for _ in range(5)]
    for settlement in settlements:
        push_back.note(settlement, failure(Action.SLOW_DOWN, http_status=http_status), time.monotonic())
    assert sum(settlement.slow_down for settlement in settlements) == cuts


def test_the_portals_word_is_kept_to_up_to_a_bound() -> None:
    push_back = PushBack(1.0, 10.0, asked_max_s=3600.0)
    for asked_s, given_s, told_s in ((42.0, 42.0, 42.0), (3600.0, 3600.0, 3600.0), (86_400.0, 3600.0, 86_400.0)):
        settlement = Settlement()
        push_back.note(settlement, failure(Action.SLOW_DOWN, retry_after_s=asked_s), time.monotonic())
        assert (settlement.push_back_s, settlement.asked_s) == (given_s, told_s)


def test_a_portal_that_says_at_once_again_and_again_is_not_hammered() -> None:
    push_back = PushBack(1.0, 5.0)
    at_once = failure(Action.SLOW_DOWN, retry_after_s=0.0)
    assert [wait_s(push_back, at_once) for _ in range(4)] == [1, 2, 4, 5]
