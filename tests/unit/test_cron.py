"""When a schedule is due: once for each time on the clock on the wall, however that clock is changed."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.cron import Cron, check_cron

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
#: Clocks that change by an hour, by half an hour, at midnight, in Ramadan, and one that left out a whole day.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "Africa/Casablanca",
    "Pacific/Apia",
)

zones = st.sampled_from(ZONES)
moments = st.integers(
    round(datetime(2011, 1, 1, tzinfo=UTC).timestamp()), round(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
)
fields = st.tuples(
    st.one_of(st.just("*"), st.just("*/15"), st.integers(0, 59).map(str)),
    st.one_of(st.just("*"), st.just("*/5"), st.just("1-4"), st.integers(0, 23).map(str)),
    st.one_of(st.just("*"), st.integers(1, 28).map(str), st.just("L")),
    st.one_of(st.just("*"), st.sampled_from(["3", "10", "3,10"])),
    st.one_of(st.just("*"), st.sampled_from(["SUN", "MON-FRI"])),
)


def ms(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def due(expression: str, zone: str, after_ms: int, until_ms: int) -> list[int]:
    """Return all due times after one moment and not after another."""
    cron, found = Cron(expression, zone), list[int]()
    at = cron.next_after(after_ms)
    while at is not None and at <= until_ms:
        found.append(at)
        at = cron.next_after(at)
    return found


def test_a_time_that_the_clock_skips_is_due_right_after_the_gap() -> None:
    found = due("30 2 * * *", "Europe/Berlin", ms("2026-03-28T12:00"), ms("2026-03-30T12:00"))
    assert found == [ms("2026-03-29T03:00"), ms("2026-03-30T02:30")]


def test_several_times_in_one_gap_are_due_once() -> None:
    found = due("0,20,40 2 * * *", "Europe/Berlin", ms("2026-03-29T00:00"), ms("2026-03-29T12:00"))
    assert found == [ms("2026-03-29T03:00")]


def test_a_time_that_comes_twice_is_due_the_first_time() -> None:
    found = due("30 2 * * *", "Europe/Berlin", ms("2026-10-24T12:00"), ms("2026-10-26T12:00"))
    assert found == [ms("2026-10-25T02:30"), ms("2026-10-26T02:30")]


def test_whoever_looks_for_the_first_time_in_the_second_hour_is_not_told_of_the_first() -> None:
    cron, second = Cron("30 2 * * *", "Europe/Berlin"), ms("2026-10-25T02:10", fold=1)
    assert cron.next_after(second) == ms("2026-10-26T02:30")
    assert cron.last_between(second, second + 30 * MINUTE_MS) is None


def test_what_is_due_every_half_hour_goes_on_through_the_hour_that_comes_twice() -> None:
    found = due("*/30 * * * *", "Europe/Berlin", ms("2026-10-25T01:45"), ms("2026-10-25T03:00"))
    assert [at - found[0] for at in found] == [30 * MINUTE_MS * number for number in range(5)]


@settings(max_examples=60)
@example("Europe/Berlin", ms("2026-03-28T12:00") // 1000, 2, 30)
@example("Europe/Berlin", ms("2026-10-24T12:00") // 1000, 2, 30)
@example("Asia/Beirut", ms("2026-03-28T03:00") // 1000, 0, 15)
@example("Pacific/Apia", ms("2011-12-29T12:00", "Pacific/Apia") // 1000, 3, 45)
@given(zones, moments, st.integers(0, 23), st.integers(0, 59))
def test_a_time_of_day_is_due_when_the_hands_of_the_clock_first_reach_it(
    zone: str, moment_s: int, hour: int, minute: int
) -> None:
    """Compared with the clock itself, minute by minute, over two days."""
    start_ms, warming_up = moment_s // 60 * MINUTE_MS, 6 * 60
    expected, furthest = list[int](), datetime.fromisoformat("2000-01-01")
    for number in range(-warming_up, 2 * 24 * 60):
        at_ms = start_ms + number * MINUTE_MS
        hands = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)).replace(tzinfo=None, fold=0)
        passed = max(furthest, hands - timedelta(days=2))
        days = [passed.date() + timedelta(days=more) for more in range((hands.date() - passed.date()).days + 1)]
        if number > 0 and any(passed < datetime.combine(day, time(hour, minute)) <= hands for day in days):
            expected.append(at_ms)
        furthest = max(furthest, hands)
    assert due(f"{minute} {hour} * * *", zone, start_ms, start_ms + 2 * DAY_MS - MINUTE_MS) == expected


@given(fields.map(" ".join), zones, moments)
def test_due_times_are_those_of_the_library_after_the_moment(expression: str, zone: str, moment_s: int) -> None:
    start = datetime.fromtimestamp(moment_s, ZoneInfo(zone))
    expected = next((one.timestamp() for one in CronSim(expression, start) if one.timestamp() > moment_s), None)
    found = Cron(expression, zone).next_after(moment_s * 1000)
    assert found == (None if expected is None else round(expected * 1000))


@given(fields.map(" ".join), zones, moments, st.integers(0, 3 * DAY_MS), st.integers(0, DAY_MS))
def test_the_last_due_time_is_the_last_of_all(
    expression: str, zone: str, moment_s: int, missed_ms: int, less_ms: int
) -> None:
    after_ms = moment_s * 1000 + less_ms
    found = due(expression, zone, after_ms, after_ms + missed_ms)
    assert Cron(expression, zone).last_between(after_ms, after_ms + missed_ms) == (found[-1] if found else None)


@pytest.mark.parametrize("expression", ["* * * * *", "0 0 29 2 *", "0 0 1 1 *", "15 3 * * MON"])
def test_years_without_a_look_cost_no_more_than_a_day(expression: str) -> None:
    cron, after_ms, until_ms = Cron(expression, "UTC"), ms("2016-01-01T12:00", "UTC"), ms("2026-01-01T12:00", "UTC")
    last = cron.last_between(after_ms, until_ms)
    assert last is not None
    following = cron.next_after(last)
    assert following is not None
    assert last <= until_ms < following


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("@daily", "five fields"),
        ("0 0 2 * * *", "five fields"),
        ("61 * * * *", "bad minute"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("* * */20 * 1L", "a time that comes"),
    ],
)
def test_what_is_no_time_or_never_comes_is_refused(expression: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_cron(expression)


def test_blanks_do_not_matter() -> None:
    assert check_cron("  30  2 * *   mon-fri ") == "30 2 * * mon-fri"
    assert check_cron("0 0 29 2 *") == "0 0 29 2 *"
