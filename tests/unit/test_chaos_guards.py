"""The judge of a chaos run notices every PUT that a plan or a guard did not allow."""

from dataclasses import replace
from typing import Any

import pytest
from pyroaring import BitMap

from chaos.campaigns import Campaigns, Schedule
from chaos.evidence import Attempt
from chaos.guarded import Guarded, judge_guards
from chaos.people import Stop
from chaos.verdict import Verdict
from config.days import day_at
from config.opening_hours import Windows

#: Contacts 1 to 10 are on a plain list, 11 to 19 are planned, of which 15 is not deletable, 20 to 29 are planned and
#: approved by nobody, 30 to 39 have windows, 40 to 49 a cap of five.
GUARDED = Guarded(
    lists={"plain": BitMap(range(1, 11)), "capped": BitMap(range(40, 50))},
    deletable={
        "planned": BitMap(range(11, 20)) - BitMap([15]),
        "never": BitMap(range(20, 30)),
        "windowed": BitMap(range(30, 40)),
    },
    approved_s={"planned": 1000.0, "windowed": 0.0},
    portals={"windowed": BitMap(range(30, 40)), "capped": BitMap(range(40, 50))},
    ordinary="main",
    stops=[Stop(None, 2000.0, 2060.0), Stop("main", 3000.0, 3060.0)],
    windowed="windowed",
    open_times=[(500.0, 560.0), (620.0, 680.0)],
    capped="capped",
    cap=5,
)


def put(at_s: float, *contact_ids: int, status: int = 200) -> Attempt:
    return Attempt(
        kind="delete",
        arrived_s=at_s,
        answered_s=at_s,
        committed_s=None,
        asked=BitMap(contact_ids),
        deleted=BitMap(),
        listed=BitMap(),
        clean=True,
        fault=None,
        delivered=True,
        status=status,
    )


def judged(*puts: Attempt, **facts: Any) -> list[str]:
    verdict = Verdict()
    judge_guards(verdict, puts, replace(GUARDED, **facts))
    return verdict.disagreements


@pytest.mark.parametrize(
    "puts",
    [
        [put(10.0, 1, 2, 3)],
        [put(1000.0, 11, 12, 14)],
        [put(520.0, 30, 31), put(679.9, 32)],
        [put(561.0, 30)],  # on its way when they closed
        [put(2001.0, 1)],  # on its way when it was stopped
        [put(2060.1, 1)],
        [put(3030.0, 40)],  # of another portal than the one that is stopped
        [put(10.0, 40, 41), put(20.0, 40, 41), put(30.0, 42)],
        [put(10.0, 40, 41, 42, status=401), put(11.0, 40, 41, 42)],  # sent again with another token
    ],
)
def test_what_was_allowed_is_no_lie(puts: list[Attempt]) -> None:
    assert judged(*puts) == []


@pytest.mark.parametrize(
    ("puts", "word"),
    [
        ([put(1500.0, 14, 15)], "no plan calls it deletable"),
        ([put(1500.0, 99)], "no plan calls it deletable"),
        ([put(999.0, 11)], "before its plan was approved"),
        ([put(5000.0, 20)], "before its plan was approved"),
        ([put(2030.0, 1)], "while stopped"),
        ([put(3030.0, 11)], "while stopped"),
        ([put(499.0, 30)], "while the windows were closed"),
        ([put(590.0, 30)], "while the windows were closed"),
        ([put(700.0, 30)], "while the windows were closed"),
        ([put(10.0, 40, 41, 42), put(20.0, 40, 41, 42)], "on a day with a cap of 5"),
    ],
)
def test_every_put_that_was_not_allowed_is_found(puts: list[Attempt], word: str) -> None:
    found = judged(*puts)
    assert len(found) == 1
    assert word in found[0]


def test_a_call_may_be_late_only_where_something_delayed_it() -> None:
    delayed = {"delays": [(1998.0, 2008.0)]}
    assert judged(put(2007.0, 1))
    assert not judged(put(2007.0, 1), **delayed)
    assert judged(put(2030.0, 1), **delayed)


@pytest.mark.parametrize("hour", range(24))
def test_the_windows_are_what_the_configuration_says_and_no_day_ends(hour: int) -> None:
    start_s = 1_800_000_000 // 86_400 * 86_400 + hour * 3600 + 1234.5
    schedule = Schedule(5.0, start_s)
    windows, days = Windows(schedule.windows, schedule.timezone), set()
    for moment_s in range(int(start_s), int(start_s) + 3600, 7):
        is_open = any(begin_s <= moment_s < end_s for begin_s, end_s in schedule.open_times())
        assert windows.at(moment_s * 1000).is_open is is_open
        days.add(day_at(moment_s * 1000, schedule.timezone).name)
    assert len(days) == 1
    assert not Windows(Schedule(0.1, start_s).windows, "UTC").at(int(start_s) * 1000).is_open


def test_the_regions_of_the_campaigns_are_apart() -> None:
    campaigns = Campaigns(1000, 40, Schedule(1.0, 0.0))
    regions = [campaigns.tagged, campaigns.capped, *campaigns.planned.values()]
    assert BitMap.union(*regions) == BitMap(range(1001, 1001 + campaigns.contacts))
    assert sum(map(len, regions)) == campaigns.contacts
