"""Days of a time zone: they follow one another without a gap, and every moment is in its own."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.days import Day, day_at

HOUR_MS = 3_600_000


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("noon", "zone", "hours"),
    [
        ("2026-11-26T12:00", "UTC", 24),
        ("2026-03-29T12:00", "Europe/Berlin", 23),
        ("2026-10-25T12:00", "Europe/Berlin", 25),
        ("2026-04-24T12:00", "Africa/Cairo", 23),  # its clock skips the hour from midnight on
        ("2026-04-05T12:00", "Australia/Lord_Howe", 24.5),
    ],
)
def test_a_day_is_as_long_as_its_clock_says(noon: str, zone: str, hours: float) -> None:
    day = day_at(ms(noon), zone)
    assert (day.until_ms - day.from_ms) / HOUR_MS == hours
    assert day.name == noon[:10]


def test_a_day_begins_at_midnight_of_its_zone() -> None:
    begins, ends = ms("2026-11-25T23:00"), ms("2026-11-26T23:00")
    assert day_at(begins, "Europe/Berlin") == Day("2026-11-26", begins, ends)
    assert day_at(begins - 1, "Europe/Berlin").name == "2026-11-25"
    assert day_at(ends, "Europe/Berlin").name == "2026-11-27"


@given(
    moment=st.integers(ms("2024-01-01T00:00"), ms("2034-01-01T00:00")),
    zone=st.sampled_from(
        ("Europe/Berlin", "America/St_Johns", "Africa/Cairo", "America/Santiago", "Asia/Beirut", "UTC")
    ),
)
def test_every_moment_is_in_its_day_and_the_next_day_follows(moment: int, zone: str) -> None:
    day = day_at(moment, zone)
    assert day.from_ms <= moment < day.until_ms
    after = day_at(day.until_ms, zone)
    assert after.from_ms == day.until_ms
    assert after.name > day.name
