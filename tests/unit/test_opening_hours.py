"""When contacts may be deleted: every answer agrees with what the clock on the wall says, minute by minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opening_hours import OpeningHours

from config.opening_hours import Interval, Windows

MINUTE_MS = 60_000


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_nights_and_weekends() -> None:
    windows = Windows("Mo-Fr 20:00-06:00; Sa-Su", "Europe/Berlin")
    thursday = ms("2026-11-26T10:00:30")
    assert windows.at(thursday) == Interval(
        is_open=False, from_ms=ms("2026-11-26T10:00"), until_ms=ms("2026-11-26T19:00")
    )
    night = windows.at(ms("2026-11-26T19:00"))
    assert (night.is_open, night.until_ms) == (True, ms("2026-11-27T05:00"))


@pytest.mark.parametrize(("hours", "is_open"), [("", True), ("24/7", True), ("24/7 off", False), ("2020 Mo", False)])
def test_hours_that_never_change(hours: str, is_open: bool) -> None:
    now = ms("2026-11-26T10:00")
    assert Windows(hours, "Europe/Berlin").at(now) == Interval(is_open, now, None)


def test_hours_that_begin_next_year() -> None:
    interval = Windows("2027 Mo 10:00-12:00", "UTC").at(ms("2026-11-26T10:00"))
    assert (interval.is_open, interval.until_ms) == (False, ms("2027-01-04T10:00"))


def test_an_hour_that_comes_twice_is_open_twice() -> None:
    windows = Windows("02:15-02:45", "Europe/Berlin")
    seen, at = [], ms("2026-10-24T22:00")
    for _ in range(5):
        interval = windows.at(at)
        assert interval.until_ms
        seen.append((interval.is_open, datetime.fromtimestamp(interval.until_ms / 1000, UTC).strftime("%d %H:%M")))
        at = interval.until_ms
    assert seen == [
        (False, "25 00:15"),
        (True, "25 00:45"),
        (False, "25 01:15"),
        (True, "25 01:45"),
        (False, "26 01:15"),
    ]


def test_an_hour_that_the_clock_skips_is_not_open() -> None:
    windows = Windows("02:00-02:30", "Europe/Berlin")
    interval = windows.at(ms("2026-03-28T23:30"))
    assert (interval.is_open, interval.until_ms) == (False, ms("2026-03-30T00:00")), "the next night"
    begins_before = Windows("01:30-02:30", "Europe/Berlin").at(ms("2026-03-29T00:40"))
    assert (begins_before.is_open, begins_before.until_ms) == (True, ms("2026-03-29T01:00"))


HOURS = ("Mo-Fr 20:00-06:00; Sa-Su", "02:15-02:45", "00:00-00:30,23:30-24:00", "Mar-Oct 01:00-03:00; Oct 25 off")
ZONES = ("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo", "UTC")


@settings(max_examples=60, deadline=None)
@given(
    hours=st.sampled_from(HOURS),
    zone=st.sampled_from(ZONES),
    day=st.sampled_from(("2026-03-08", "2026-03-29", "2026-04-05", "2026-04-24", "2026-10-25", "2026-10-30")),
    minute=st.integers(-1440, 1440),
)
def test_the_answer_holds_for_the_whole_interval_and_not_longer(hours: str, zone: str, day: str, minute: int) -> None:
    start = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(minutes=minute)
    interval = Windows(hours, zone).at(round(start.timestamp() * 1000))
    wall = OpeningHours(hours)

    def is_open(moment_ms: int) -> bool:
        local = datetime.fromtimestamp(moment_ms / 1000, ZoneInfo(zone))
        return wall.is_open(local.replace(tzinfo=None, fold=0))

    assert interval.until_ms is not None
    assert interval.from_ms < interval.until_ms
    inside = range(interval.from_ms, min(interval.until_ms, interval.from_ms + 3 * 1440 * MINUTE_MS), MINUTE_MS)
    assert {is_open(moment) for moment in inside} == {interval.is_open}
    assert is_open(interval.until_ms) is not interval.is_open
