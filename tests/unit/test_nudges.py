"""Nudges: any number of them are one look at the queue, now or when a message becomes due."""

import asyncio
import time

import pytest

from worker import nudge
from worker.nudge import Nudges, _seconds


async def test_any_number_of_nudges_are_one() -> None:
    nudges = Nudges()
    for _ in range(100):
        nudges.nudge()
    await nudges.within(60)
    nudges.forget()
    started_s = time.monotonic()
    await nudges.within(0.05)
    assert time.monotonic() - started_s >= 0.04


async def test_a_nudge_during_a_look_leads_to_another_one() -> None:
    nudges = Nudges()
    nudges.forget()
    nudges.nudge()  # while the queue is being read
    async with asyncio.timeout(10):
        await nudges.within(60)


async def test_a_nudge_for_later_comes_when_its_message_is_due() -> None:
    nudges = Nudges()
    started_s = time.monotonic()
    nudges.nudge(0.05)
    async with asyncio.timeout(10):
        await nudges.within(60)
    assert time.monotonic() - started_s >= 0.05


async def test_what_is_far_ahead_is_left_to_the_poll_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudge, "_FAR_AHEAD_S", 0.01)
    nudges = Nudges()
    nudges.nudge(0.02)
    started_s = time.monotonic()
    await nudges.within(0.1)
    assert time.monotonic() - started_s >= 0.09


async def test_nothing_is_left_behind_when_it_is_closed() -> None:
    nudges = Nudges()
    nudges.nudge(0.03)
    nudges.close()
    started_s = time.monotonic()
    await nudges.within(0.1)
    assert time.monotonic() - started_s >= 0.09


@pytest.mark.parametrize(
    ("data", "seconds"),
    [(b"0", 0), (b"1500", 1.5), (b"", 0), (b"soon", 0), (b"-5", 0), (b"9" * 400, 0), (1, 0), (b"1.5", 0)],
)
def test_what_cannot_be_read_means_now(data: object, seconds: float) -> None:
    assert _seconds(data) == seconds
