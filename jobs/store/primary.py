"""Leaves a Redis server that is not the primary any more.

Behind an address that stays (a managed service, a virtual address, a proxy), a fail-over turns the old primary into a
replica and moves the address, and connections to the old one stay up: it refuses writes and answers reads with what was
once true. So a connection whose server says that it takes no writes counts as broken, and all the others of its pool
with it. New ones follow the address. A process that only reads would never be refused anything, so each connection asks
its server now and then what it is.

To callers all of this looks like a connection that broke, which they live with anyway: the command is sent again,
within the patience of the client. That is safe for the same reason: every command may be sent twice
(jobs/store/connection.py).
"""

import re
import time
from collections.abc import Callable
from typing import Any

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, MasterDownError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.store.bounds import BoundedTcp, BoundedTls, BoundedUnix
from jobs.store.concurrent_pool import ConcurrentPool

#: A connection in use asks its server this often what it is, seconds: so long may reads be out of date.
ROLE_EVERY_S = 1.0

#: All connections of a pool are given up at most this often, seconds, however many replies ask for it.
GIVE_UP_EVERY_S = 1.0

_CLASSES = (ReadOnlyError, MasterDownError, BusyLoadingError)

#: At the beginning, or from within a script of Redis 6 after "…: -".
_WORDS = re.compile(r"(^|: -)(READONLY|MASTERDOWN|UNBLOCKED) ")


class NotPrimary(RedisConnectionError):
    """The server takes no writes: it is a replica, or became one under the connection."""


def is_demotion(error: BaseException) -> bool:
    """Say whether an error means that the server is not the primary, or not for now.

    Args:
        error: what redis-py raised, or what stands in a pipeline's replies; a script's error as well.
    """
    if isinstance(error, _CLASSES):
        return True
    if not isinstance(error, ResponseError):
        return False
    # redis-py has put the command before what the server said.
    return bool(_WORDS.search(str(error).rpartition(" of pipeline caused error: ")[2].lstrip("('\"")))


class Generation:
    """Which connections of a pool may still be used: those made since the last ones were given up.

    Args:
        clock: seconds on a clock that only goes forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.number = 0
        self.clock = clock
        self._given_up_s = float("-inf")

    def give_up(self) -> None:
        """Let no connection that exists now be used again; one that is in use is left when it is released."""
        if self.clock() - self._given_up_s >= GIVE_UP_EVERY_S:
            self._given_up_s = self.clock()
            self.number += 1


class _Watched(AbstractConnection):
    """A connection that notices when its server is not the primary any more."""

    def __init__(self, *, generation: Generation, **options: Any) -> None:
        super().__init__(**options)
        self._generation = generation
        self._born = generation.number
        self._asked_s = float("-inf")

    async def connect(self) -> None:
        """Connect, anew where all connections of this age were given up."""
        if self.is_connected and self._born == self._generation.number:
            return
        if self.is_connected:
            await self.disconnect(nowait=True)
        self._born = self._generation.number
        self._asked_s = float("-inf")
        await super().connect()  # type: ignore[no-untyped-call]  # redis-py leaves some of its methods untyped

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read a reply; one that says that the server takes no writes is a broken connection.

        Raises:
            NotPrimary: the server takes no writes.
        """
        try:
            return await super().read_response(*args, **options)
        except RedisError as error:
            if not is_demotion(error):
                raise
            self._generation.give_up()
            await self.disconnect(nowait=True)
            if isinstance(error, RedisConnectionError):  # LOADING is one in redis-py as well
                raise
            raise NotPrimary("Redis is a replica, which takes no writes") from error

    async def ask_role(self) -> None:
        """Ask the server what it is, unless it was asked a moment ago.

        Raises:
            NotPrimary: it is a replica.
        """
        if self._generation.clock() - self._asked_s < ROLE_EVERY_S:
            return
        # INFO and not ROLE: it is needed anyway, and allowed where ROLE is not.
        await self.send_command("INFO", "replication", check_health=False)
        try:
            told = await self.read_response(disable_decoding=True)
        except ResponseError:  # no right to ask: writes will tell
            told = b""
        self._asked_s = self._generation.clock()
        if b"role:slave" in told:
            self._generation.give_up()
            await self.disconnect(nowait=True)
            raise NotPrimary("Redis is a replica, which takes no writes")


class _WatchedTcp(_Watched, BoundedTcp):
    pass


class _WatchedTls(_Watched, BoundedTls):
    pass


class _WatchedUnix(_Watched, BoundedUnix):
    pass


_WATCHED: dict[type[AbstractConnection], type[_Watched]] = {
    Connection: _WatchedTcp,
    SSLConnection: _WatchedTls,
    UnixDomainSocketConnection: _WatchedUnix,
}


class PrimaryPool(ConcurrentPool):
    """Connections to a primary, given up together when it is not one any more.

    Args:
        connection_class: how to connect, one of redis-py's own.
        retries: how often a connection is asked for anew while the address leads to a replica; the waits are 0.05, 0.1,
            … 0.8 s, then 1 s each.
        options: those of `redis.asyncio.ConnectionPool`.
    """

    def __init__(
        self, connection_class: type[AbstractConnection] = Connection, *, retries: int = 5, **options: Any
    ) -> None:
        super().__init__(_WATCHED[connection_class], generation=Generation(), **options)
        #: Why nobody gets a connection now: the address leads to a replica. None as long as it does not.
        self.refused: NotPrimary | None = None
        self._until_primary = Retry(ExponentialBackoff(cap=1, base=0.05), retries, supported_errors=(NotPrimary,))

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        """Give a connection to a server that is not known to be a replica.

        Raises:
            NotPrimary: the address leads to a replica for longer than the patience lasts.
        """
        return await self._until_primary.call_with_retry(self._get, _nothing)

    async def _get(self) -> Any:
        connection = await super().get_connection()
        try:
            await connection.ask_role()
        except NotPrimary as error:
            await self.release(connection)
            self.refused = error
            raise
        except BaseException as error:
            # If it broke, whoever gets it connects anew, with all the patience that a command has and this has not.
            if not isinstance(error, (RedisConnectionError, OSError, *connection.retry_on_error)):
                await self.release(connection)
                raise
            await connection.disconnect(nowait=True)
        self.refused = None
        return connection


async def _nothing(_error: RedisError) -> None:
    """There is nothing to clean up: the connection has been left already."""
