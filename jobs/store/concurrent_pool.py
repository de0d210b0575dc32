"""Connections to Redis that are opened side by side.

redis-py opens a connection while it holds the lock of the pool. Against a server that takes connections and does not
answer, everybody who needs one then waits for all who came before: the ninth for nine times as long as the first, and
a probe that is to tell about it as well. Nothing needs that lock: taking a connection out of the pool is one step
without a pause in it.
"""

from typing import Any

from redis.asyncio import ConnectionPool


class ConcurrentPool(ConnectionPool):
    """A pool in which nobody waits for a connection that somebody else opens."""

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        """Give a connection that is open and has nothing left to read.

        Args:
            _, __: what redis-py passes for the sake of former versions.

        Raises:
            redis.exceptions.RedisError: there is none to be had; the same as of any command.
        """
        connection = self.get_available_connection()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection
