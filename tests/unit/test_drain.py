"""Draining: everything that waits is woken immediately, and nothing waits for longer than asked."""

import asyncio

import pytest

from worker.drain import Drain, cancel


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


async def test_cancelling_goes_on_until_the_task_has_ended() -> None:
    """On Python 3.11, asyncio.wait_for can lose a cancellation: here it does so twice."""

    async def swallows() -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue
        await asyncio.sleep(3600)

    task = asyncio.create_task(swallows())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel(task)
    assert task.cancelled()


async def test_cancelling_what_has_ended_does_nothing() -> None:
    async def ends() -> None:
        return

    task = asyncio.create_task(ends())
    await task
    await cancel(task)
    assert not task.cancelled()
