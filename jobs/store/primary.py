"""Leaves a Redis server that is no longer the primary.

Behind a fixed address (a managed service, a virtual address, a proxy), a fail-over turns the old primary into a replica
and moves the address, while connections to the old one stay up: it refuses writes and answers reads with stale data. So
a connection whose server says that it accepts no writes counts as broken, and with it all others of its pool. New ones
follow the address. A process that only reads would never be refused anything, so each connection asks its server for
its role before its first command, and regularly from then on.

Where Sentinels know the primary, each connection asks them where to connect (jobs/store/sentinel_pool.py).

To callers all of this looks like a broken connection, which they must handle anyway: the command is sent again, within
the patience of the client. That is safe because any command may be sent twice (jobs/store/connection.py).
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, MasterDownError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobs.store.bounds import Bounded, BoundedTcp, BoundedTls, BoundedUnix, RedisStalled
from jobs.store.concurrent_pool import ConcurrentPool
from jobs.store.sentinel import Named, Sentinels

#: How often a connection in use asks its server for its role, seconds: reads can be out of date for this long.
ROLE_EVERY_S = 1.0

#: All connections of a pool are given up at most this often, seconds, however many replies call for it.
GIVE_UP_EVERY_S = 1.0

_CLASSES = (ReadOnlyError, MasterDownError, BusyLoadingError)

#: At the beginning, or after "…: -" if the error comes from a script on Redis 6.
_WORDS = re.compile(r"(^|: -)(READONLY|MASTERDOWN|UNBLOCKED) ")


class NotPrimary(RedisConnectionError):
    """The server accepts no writes: it is a replica, or became one while the connection was open."""


def is_demotion(error: BaseException) -> bool:
    """Check whether an error means that the server is not the primary, or not for now.

    Args:
        error: what redis-py raised, or an error among a pipeline's replies; a script's error as well.
    """
    if isinstance(error, _CLASSES):
        return True
    if not isinstance(error, ResponseError):
        return False
    # redis-py puts the command before the server's own text.
    return bool(_WORDS.search(str(error).rpartition(" of pipeline caused error: ")[2].lstrip("('\"")))


class _BrokeEarly(RedisError):
    """The connection broke before it could be used; the cause says how."""


class Generation:
    """Which connections of a pool can still be used: those made since the others were given up.

    Args:
        clock: seconds on a clock that only goes forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.number = 0
        self.clock = clock
        self._given_up_s = float("-inf")

    def give_up(self) -> None:
        """Let no connection that exists now be used again; one in use is closed when it is next taken from the pool."""
        if self.clock() - self._given_up_s >= GIVE_UP_EVERY_S:
            self.begin()

    def begin(self) -> None:
        """Like `give_up`, but also if it happened only a moment ago: the primary is known to be another server."""
        self._given_up_s = self.clock()
        self.number += 1


class Watched(Bounded):
    """A connection that notices when its server is no longer the primary.

    Args:
        generation: of its pool.
        sentinels: who tells where the primary is; None if the address does.
    """

    def __init__(self, *, generation: Generation, sentinels: Sentinels | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._generation = generation
        self._sentinels = sentinels
        self._named: Named | None = None
        self._born = generation.number
        self._asked_s = float("-inf")
        #: Whether it is logging in and asking for the role, or broke while it did.
        self.is_greeting = False
        #: Ends an attempt to connect.
        self._limit: asyncio.Timeout | None = None

    async def connect(self) -> None:
        """Connect, or reconnect if the connections of this generation were given up."""
        if self.is_connected and self._born == self._generation.number:
            return
        if self.is_connected:
            await self.disconnect(nowait=True)
        await super().connect()

    async def on_connect(self) -> None:
        """Log in, and make sure that the server is the primary before anything else is sent.

        Raises:
            NotPrimary: it is a replica.
        """
        self._asked_s = float("-inf")
        self.is_greeting = True
        try:
            await super().on_connect()
            await self.ask_role()
        except RedisError:
            self._doubt()
            raise
        self.is_greeting = False

    def is_ready(self) -> bool:
        """Check whether a command can be sent at once: nothing has to be asked, opened or read before."""
        return (
            self._born == self._generation.number
            and self._generation.clock() - self._asked_s < ROLE_EVERY_S
            and self.is_quiet()
        )

    def abandon(self) -> None:
        """Break the connection, whoever is using or opening it, because the primary is another server."""
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.reschedule(0)
        super().abandon()

    async def _connect(self) -> None:
        self.is_greeting = False
        if self._sentinels is not None:
            self._named = await self._sentinels.primary()
            self.host, self.port = self._named.at
        self._is_abandoned = False
        self._born = self._generation.number
        try:
            async with asyncio.timeout(None) as self._limit:
                await super()._connect()  # type: ignore[no-untyped-call, safe-super]  # of the transport, mixed in below
        except OSError:
            self._doubt()
            raise
        finally:
            self._limit = None
        if self._is_abandoned:  # in the very moment in which it was connected
            await self.disconnect(nowait=True)
            raise RedisConnectionError("another server has become the primary")

    def _doubt(self) -> None:
        if self._sentinels is not None and self._named is not None:
            self._sentinels.doubt(self._named)

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read a reply; if it says that the server accepts no writes, the connection counts as broken.

        Raises:
            NotPrimary: the server accepts no writes.
        """
        try:
            return await super().read_response(*args, **options)
        except RedisError as error:
            if not is_demotion(error):
                raise
            await self._leave()
            if isinstance(error, RedisConnectionError):  # LOADING is one in redis-py as well
                raise
            raise NotPrimary("Redis is a replica, which accepts no writes") from error

    async def ask_role(self) -> None:
        """Ask the server for its role, unless it was asked a moment ago.

        Raises:
            NotPrimary: it is a replica.
        """
        if self._generation.clock() - self._asked_s < ROLE_EVERY_S:
            return
        # INFO instead of ROLE: it is needed anyway, and allowed where ROLE is not.
        await self.send_command("INFO", "replication", check_health=False)
        try:
            told = await self.read_response(disable_decoding=True)
        except ResponseError:  # no right to ask: writes will tell
            told = b""
        self._asked_s = self._generation.clock()
        if b"role:slave" in told:
            await self._leave()
            raise NotPrimary("Redis is a replica, which accepts no writes")

    async def _leave(self) -> None:
        self._generation.give_up()
        self._doubt()
        await self.disconnect(nowait=True)


class WatchedTcp(Watched, BoundedTcp):
    """A watched connection in plain text."""


class WatchedTls(Watched, BoundedTls):
    """A watched connection over TLS."""


class WatchedUnix(Watched, BoundedUnix):
    """A watched connection over a Unix socket."""


class PrimaryPool(ConcurrentPool):
    """Connections to a primary, given up together when it no longer is one.

    Args:
        connection_class: how to connect.
        retries: how often a connection is requested again while the address leads to a replica; the waits are 0.05,
            0.1, … 0.8 s, then 1 s each.
        options: of the connections.
    """

    def __init__(self, connection_class: type[Watched], *, retries: int, **options: Any) -> None:
        self.generation = Generation()
        super().__init__(connection_class, generation=self.generation, **options)
        #: Why no caller gets a connection now: the address leads to a replica. None while it does not.
        self.refused: NotPrimary | None = None
        self._until_primary = Retry(
            ExponentialBackoff(cap=1, base=0.05), retries, supported_errors=(NotPrimary, _BrokeEarly)
        )

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        """Return a connection to a server that is not known to be a replica.

        Raises:
            NotPrimary: the address has led to a replica for longer than the patience lasts.
        """
        available: Sequence[Any] = self._available_connections
        if available and available[-1].is_ready():
            return self.get_available_connection()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        try:
            return await self._until_primary.call_with_retry(self._get, _nothing)
        except _BrokeEarly as error:
            cause = error.__cause__ or error
        raise cause  # not in the handler, where it would forget what it came from

    async def ensure_connection(self, connection: Any) -> None:
        """Connect, if need be. One that breaks while it logs in is opened again, within the patience."""
        try:
            await super().ensure_connection(connection)
        except Exception as error:
            if connection.is_greeting and _is_break(error, connection):
                raise _BrokeEarly from error
            raise

    async def _get(self) -> Any:
        try:
            connection = await super().get_connection()
        except NotPrimary as error:
            self.refused = error
            raise
        try:
            await connection.ask_role()
        except NotPrimary as error:
            await self.release(connection)
            self.refused = error
            raise
        except BaseException as error:
            # A broken one is reconnected by the command that gets it, which has the patience that is missing here.
            if not isinstance(error, (RedisConnectionError, OSError, *connection.retry_on_error)):
                await self.release(connection)
                raise
            await connection.disconnect(nowait=True)
        self.refused = None
        return connection


def _is_break(error: Exception, connection: Any) -> bool:
    """Check whether an error says no more than that a connection broke, and is worth another try."""
    # In redis-py, a wrong password and a server that loads its data are connection errors as well.
    kinds = {RedisConnectionError, RedisTimeoutError, RedisStalled} & set(connection.retry_on_error)
    return type(error) in kinds or isinstance(error, OSError)


async def _nothing(_error: RedisError) -> None:
    """Do nothing: the connection has already been closed."""
