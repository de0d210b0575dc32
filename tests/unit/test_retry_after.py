"""Retry-After is seconds or a date, and never more than a day."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.retry_after import LONGEST_S, parse_retry_after

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()


@given(st.integers(0, 10**9) | st.integers(10**13, 10**30))
def test_seconds_are_taken_up_to_a_day(seconds: int) -> None:
    assert parse_retry_after(str(seconds), NOW) == min(seconds, LONGEST_S)


@given(st.integers(-(10**6), 10**6))
def test_a_date_is_the_time_until_then_within_bounds(offset_s: int) -> None:
    when = datetime.fromtimestamp(NOW + offset_s, UTC)
    assert parse_retry_after(format_datetime(when, usegmt=True), NOW) == min(max(offset_s, 0), LONGEST_S)


@given(st.integers(-(10**6), 10**6), st.sampled_from([1, 1000]))
def test_a_number_that_looks_like_a_point_in_time_is_one(offset_s: int, per_second: int) -> None:
    moment = str(round((NOW + offset_s) * per_second))
    assert parse_retry_after(moment, NOW) == pytest.approx(min(max(offset_s, 0), LONGEST_S), abs=0.001)


@given(st.text(max_size=40))
def test_anything_at_all_gives_a_bounded_number_or_none(text: str) -> None:
    seconds = parse_retry_after(text, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_S


@pytest.mark.parametrize("value", [None, "", "soon", "-5", "1e9", "inf", "nan", "٣", "0x10", "1 2"])
def test_what_means_nothing_is_none(value: str | None) -> None:
    assert parse_retry_after(value, NOW) is None


def test_a_fraction_of_a_second_is_taken() -> None:
    assert parse_retry_after(" 0.5 ", NOW) == 0.5


def test_a_date_without_a_zone_is_utc() -> None:
    assert parse_retry_after("Mon, 23 Nov 2026 12:00:30 -0000", NOW) == 30
