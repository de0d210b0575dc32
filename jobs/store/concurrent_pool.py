"""Connections to Redis that are opened concurrently.

redis-py holds the pool's lock while it opens a connection. If a server accepts connections and does not answer, each
caller then waits for all callers before it: the ninth waits nine times as long as the first, and so does the probe that
should report the problem. The lock is not needed: taking a connection out of the pool is a single step without an
await.
"""

from typing import Any

from redis.asyncio import ConnectionPool


class ConcurrentPool(ConnectionPool):
    """A pool in which no caller waits for a connection that another caller is opening."""

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        """Return a connection that is open and has nothing left to read.

        Args:
            _, __: what redis-py passes for compatibility with older versions.

        Raises:
            redis.exceptions.RedisError: no connection could be made; the same errors as for any command.
        """
        connection = self.get_available_connection()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection
