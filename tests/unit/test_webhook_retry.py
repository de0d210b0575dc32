"""When an event that was not delivered is sent again."""

import random

from hypothesis import given
from hypothesis import strategies as st

from jobs.webhooks.outbox import CLAIM_TTL_S, GIVE_UP_AFTER_S, LONGEST_WAIT_S
from worker.webhooks.post import TIMEOUT_S
from worker.webhooks.retry import bound_s, wait_before_next_s

ATTEMPTS = st.integers(1, 10_000)
AGES = st.floats(0, 2 * GIVE_UP_AFTER_S)
STATUSES = st.sampled_from([None, 301, 400, 404, 429, 500, 503])
ASKED = st.none() | st.floats(0, 1e9)


def longest(_low: float, high: float) -> float:
    return high


def shortest(low: float, _high: float) -> float:
    return low


@given(ATTEMPTS, AGES, STATUSES, ASKED, st.randoms())
def test_a_wait_is_within_its_bounds_and_ends_with_the_day(
    attempt: int, age_s: float, status: int | None, asked_s: float | None, chance: random.Random
) -> None:
    wait_s = wait_before_next_s(attempt, age_s, status, asked_s, chance.uniform)
    if age_s >= GIVE_UP_AFTER_S:
        assert wait_s is None
        return
    assert wait_s is not None
    assert 1.0 <= wait_s <= LONGEST_WAIT_S
    assert age_s + wait_s <= GIVE_UP_AFTER_S + 1.0


def test_the_bound_grows_fourfold_up_to_two_hours() -> None:
    assert [bound_s(attempt) for attempt in range(1, 9)] == [5, 20, 80, 320, 1280, 5120, 7200, 7200]


@given(ATTEMPTS, st.floats(0, 1))
def test_the_jitter_is_full(attempt: int, share: float) -> None:
    wait_s = wait_before_next_s(attempt, 0.0, 500, None, lambda low, high: low + share * (high - low))
    assert wait_s == max(share * bound_s(attempt), 1.0)


def test_a_day_of_failures_takes_a_moderate_number_of_tries() -> None:
    for chance in (random.Random(seed) for seed in range(50)):
        age_s, attempts = 0.0, 1
        while (wait_s := wait_before_next_s(attempts, age_s, 500, None, chance.uniform)) is not None:
            age_s, attempts = age_s + wait_s, attempts + 1
        assert age_s == GIVE_UP_AFTER_S, "the last try is made a day after the event"
        assert 15 <= attempts <= 60


def test_a_busy_receiver_says_when_to_come_back_within_bounds() -> None:
    assert wait_before_next_s(1, 0.0, 503, 600.0, shortest) == 600.0
    assert wait_before_next_s(1, 0.0, 429, 1e9, shortest) == LONGEST_WAIT_S
    assert wait_before_next_s(1, 0.0, 429, 0.0, longest) == 5.0, "never sooner than without it"
    assert wait_before_next_s(1, 0.0, 500, 600.0, longest) == 5.0, "only those that are busy are asked to wait for"
    assert wait_before_next_s(1, GIVE_UP_AFTER_S - 60, 503, 600.0, shortest) == 60.0


def test_a_try_ends_long_before_its_claim() -> None:
    assert 2 * TIMEOUT_S < CLAIM_TTL_S


@given(ATTEMPTS, AGES, ASKED)
def test_a_receiver_that_is_gone_is_not_called_again(attempt: int, age_s: float, asked_s: float | None) -> None:
    assert wait_before_next_s(attempt, age_s, 410, asked_s, longest) is None
