"""A time limit that behaves like `asyncio.timeout`."""

import asyncio

import pytest

from web.http.time_limit import within


async def test_work_that_is_done_in_time_returns_its_result() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 1

    assert await within(10.0, work()) == 1


async def test_work_is_cancelled_when_its_time_is_up_and_its_task_goes_on() -> None:
    has_ended = False

    async def work() -> None:
        nonlocal has_ended
        try:
            await asyncio.Event().wait()
        finally:
            has_ended = True

    with pytest.raises(TimeoutError):
        await within(0.01, work())
    assert has_ended
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


@pytest.mark.parametrize("limit_s", [10.0, 0.0], ids=["before its time is up", "in the moment when its time is up"])
async def test_a_task_that_is_cancelled_by_somebody_else_is_cancelled(limit_s: float) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(within(limit_s, work()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("goes_wrong", [False, True])
async def test_work_that_ends_otherwise_when_its_time_is_up_leaves_nothing_behind(goes_wrong: bool) -> None:
    async def work() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if goes_wrong:
                raise ValueError("wrong") from None
        return 1

    if goes_wrong:
        with pytest.raises(ValueError, match="wrong"):
            await within(0.0, work())
    else:
        assert await within(0.0, work()) == 1
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_goes_wrong_is_passed_on() -> None:
    async def work() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await within(10.0, work())
