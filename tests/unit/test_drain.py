"""Draining: whoever waits is told at once, and nobody waits for longer than asked."""

import asyncio

import pytest

from worker.drain import Drain


@pytest.mark.parametrize("wait_s", [0.0, 0.01, 0.26])
async def test_a_wait_that_nobody_ends_says_so(wait_s: float) -> None:
    assert not await Drain().within(wait_s)


@pytest.mark.parametrize("wait_s", [0.0, 0.01, 3600.0])
async def test_once_begun_no_wait_is_long(wait_s: float) -> None:
    drain = Drain()
    drain.begin()
    assert drain.wanted
    async with asyncio.timeout(5):
        assert await drain.within(wait_s)


async def test_everybody_who_waits_is_told() -> None:
    drain = Drain()
    waiting = [asyncio.create_task(drain.within(3600)) for _ in range(10)]
    await asyncio.sleep(0)
    drain.begin()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*waiting) == [True] * 10


async def test_a_drain_that_begins_during_a_short_wait_is_noticed_after_it() -> None:
    drain = Drain()
    waiting = asyncio.create_task(drain.within(0.05))
    await asyncio.sleep(0)
    drain.begin()
    assert await waiting
