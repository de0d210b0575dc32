"""Retry-After is seconds or a point in time, and never more than a year."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.retry_after import LONGEST_S, parse_retry_after

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()


@given(st.integers(0, 10**9) | st.integers(10**20, 10**30))
def test_seconds_are_taken_up_to_a_year(seconds: int) -> None:
    assert parse_retry_after(str(seconds), NOW) == min(seconds, LONGEST_S)


@given(st.integers(-(10**6), 10**6))
def test_a_date_is_the_time_until_then_within_bounds(offset_s: int) -> None:
    when = datetime.fromtimestamp(NOW + offset_s, UTC)
    assert parse_retry_after(format_datetime(when, usegmt=True), NOW) == min(max(offset_s, 0), LONGEST_S)


@given(st.integers(-(10**6), 10**6), st.sampled_from([1, 10**3, 10**6, 10**9]))
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


@pytest.mark.parametrize(
    "value",
    ["Mon, 23 Nov 2026 12:01:00 GMT", "Monday, 23-Nov-26 12:01:00 GMT", "Mon Nov 23 12:01:00 2026"],
)
def test_all_three_forms_of_an_http_date_are_read(value: str) -> None:
    assert parse_retry_after(value, NOW) == 60


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=5), st.sampled_from([",", ", ", " ,"]))
def test_of_several_the_longest_counts(seconds: list[int], joint: str) -> None:
    assert parse_retry_after(joint.join(["soon", *map(str, seconds)]), NOW) == max(seconds)
    dates = [format_datetime(datetime.fromtimestamp(NOW + one, UTC), usegmt=True) for one in seconds]
    assert parse_retry_after(joint.join(dates), NOW) == max(seconds)


@given(st.integers(-(10**8), 10**8), st.integers(0, 86_400), st.sampled_from(["date", "epoch", "epoch_ms"]))
def test_a_portal_whose_clock_is_off_is_understood_by_its_own_date(off_s: int, wait_s: int, form: str) -> None:
    there = NOW + off_s
    when = datetime.fromtimestamp(there + wait_s, UTC)
    written = {
        "date": format_datetime(when, usegmt=True),
        "epoch": str(round(when.timestamp())),
        "epoch_ms": str(round(when.timestamp() * 1000)),
    }
    date = format_datetime(datetime.fromtimestamp(there, UTC), usegmt=True)
    assert parse_retry_after(written[form], NOW, date) == wait_s


@pytest.mark.parametrize("date", ["", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 23 Nov 2096 12:00:00 GMT"])
def test_a_date_that_makes_no_sense_is_left_out(date: str) -> None:
    assert parse_retry_after("Mon, 23 Nov 2026 12:01:00 GMT", NOW, date) == 60
    assert parse_retry_after(str(round(NOW) + 60), NOW, date) == 60
    assert parse_retry_after("60", NOW, date) == 60


@given(st.text(max_size=40), st.text(max_size=40), st.floats(0, 4e9))
def test_no_header_raises(value: str, date: str, now: float) -> None:
    seconds = parse_retry_after(value, now, date)
    assert seconds is None or 0 <= seconds <= LONGEST_S
