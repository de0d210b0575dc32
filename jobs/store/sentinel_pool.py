"""Connections to the primary that Sentinels name.

While a client is in use, it looks once a second whether the primary is still the same. When it is not, all connections
break at once, also those with a command in flight: a primary that is frozen or cut off would hold them for long, and
one that is still reachable would answer with what is no longer true.
"""

import asyncio
from typing import Any

from jobs.store.primary import PrimaryPool, Watched
from jobs.store.sentinel import Sentinel, Sentinels

#: How often a client in use asks a Sentinel, seconds.
LOOK_EVERY_S = 1.0


class SentinelPool(PrimaryPool):
    """Connections to the primary, which follow it.

    Args:
        connection_class: how to connect.
        sentinels: who tells where.
        options: as for `PrimaryPool`.
    """

    def __init__(self, connection_class: type[Watched], *, sentinels: list[Sentinel], **options: Any) -> None:
        self.sentinels = Sentinels(sentinels, self._follow)
        self._looking: asyncio.Task[None] | None = None
        super().__init__(connection_class, sentinels=self.sentinels, **options)

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        """Return a connection to the primary.

        Raises:
            redis.exceptions.RedisError: there is none; as for `PrimaryPool`, and what `Sentinels.primary` raises.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await super().get_connection()

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close all connections, those to the Sentinels as well; the next command opens what it needs."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self.sentinels.close()
        await super().disconnect(inuse_connections)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.sentinels.look()

    def _follow(self) -> None:
        self.generation.begin()
        for connection in (*self._available_connections, *self._in_use_connections):
            if isinstance(connection, Watched):
                connection.abandon()
