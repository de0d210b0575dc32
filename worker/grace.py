"""The end of the grace period, as one lane sees it: the call it waits for is given up, and it makes no other.

Whatever a lane does with Redis it finishes, so that what it knows about its batches is recorded. Only waiting for the
portal can take longer than anybody is ready to wait.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from worker.exchange import CancelledUnsent

T = TypeVar("T")


class Grace:
    """What is left of it for one lane."""

    def __init__(self) -> None:
        self._is_over = False
        self._calling: asyncio.Task[Any] | None = None

    def end(self) -> None:
        """Give up the call that the lane waits for."""
        self._is_over = True
        if self._calling is not None:
            self._calling.cancel()

    async def call(self, call: Coroutine[Any, Any, T]) -> T:
        """Wait for a call to the portal.

        Raises:
            CancelledUnsent: the grace period was over before the call began.
            asyncio.CancelledError: it is over now.
        """
        if self._is_over:
            call.close()
            raise CancelledUnsent
        self._calling = asyncio.current_task()
        try:
            return await call
        finally:
            self._calling = None
