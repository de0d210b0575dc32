"""What was read about segments, kept as long as there is room: lanes come back to the same few."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: Segments kept in memory, at most 128 KiB each.
_KEPT = 16


class PerSegment(Generic[K, V]):
    """The latest things that were read, by a key that says all that they depend on."""

    def __init__(self) -> None:
        self._kept: OrderedDict[K, V] = OrderedDict()
        # Lanes come to a segment at the same time: one of them reads, the others wait.
        self._reading = asyncio.Lock()

    async def of(self, key: K, read: Callable[[], Awaitable[V]]) -> V:
        """Return what there is about a key.

        Args:
            key: what it depends on.
            read: reads it, if it is not there any more or yet. What it raises is raised, and nothing is kept.
        """
        if key not in self._kept:
            async with self._reading:
                if key not in self._kept:
                    self._kept[key] = await read()
                    if len(self._kept) > _KEPT:
                        self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
