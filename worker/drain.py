"""Draining: the worker has to stop, and its lanes finish what they hold."""

import asyncio
from typing import Any


class Drain:
    """One flag for all lanes of a process."""

    def __init__(self) -> None:
        self._wanted = asyncio.Event()

    @property
    def wanted(self) -> bool:
        """Whether lanes have to end after the batch they hold."""
        return self._wanted.is_set()

    def begin(self) -> None:
        """Ask all lanes to end."""
        self._wanted.set()

    async def begun(self) -> None:
        """Wait until the worker has to stop."""
        await self._wanted.wait()

    async def within(self, wait_s: float) -> bool:
        """Wait for a time, or until the worker has to stop; return whether it has to."""
        if wait_s < 0.25 and not self.wanted:
            await asyncio.sleep(wait_s)  # cheaper, and soon over
            return self.wanted
        try:
            async with asyncio.timeout(wait_s):
                await self._wanted.wait()
        except TimeoutError:
            return False
        return True


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; do nothing if it has already ended.

    Once is not enough: on Python 3.11, `asyncio.wait_for` swallows a cancellation that arrives at the moment when
    what it waits for is done, and redis-py sends every command through it.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)
