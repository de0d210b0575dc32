"""Waiting for something to become true, for a limited time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], Awaitable[T | None]], timeout_s: float = 20.0, every_s: float = 0.02) -> T:
    """Ask repeatedly until the answer is true, and return that answer.

    Raises:
        TimeoutError: it did not become true in time; the message has the last answer.
    """
    end_s = time.monotonic() + timeout_s
    while True:
        answer = await condition()
        if answer:
            return answer
        if time.monotonic() > end_s:
            raise TimeoutError(f"still {answer!r} after {timeout_s} s")
        await asyncio.sleep(every_s)
