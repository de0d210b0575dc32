"""Asks Sentinels which server is the primary.

A Sentinel that was cut off from the others goes on naming the old primary. Each fail-over has a higher number than the
one before it, the configuration epoch, so an answer with a lower epoch than the highest seen is never followed.

New connections ask all Sentinels at once, unless one has just confirmed the primary. If none can be asked, the primary
that is known stays so: it may be well, and its role is checked on each new connection.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from config.redis_url import Endpoint
from jobs.store.bounds import RedisStalled, TlsUnknown, TlsWanted, causes, untrusted_certificate

#: How long a Sentinel may take to answer, seconds, connecting included.
ANSWER_S = 1.5

#: A primary that a Sentinel has confirmed counts as such for this long, seconds.
FRESH_S = 1.0

#: Once one Sentinel has answered, the others have this long to name a newer primary, seconds.
_GRACE_S = 0.3

#: A Sentinel that did not answer is not asked by itself again for this long, seconds.
_REST_S = 10.0


class NoSentinel(RedisConnectionError):
    """No Sentinel names the primary; the message has what each of them did instead."""


class UnknownToSentinels(RedisError):
    """No Sentinel that answers knows the primary's name."""


class SentinelLogin(RedisError):
    """The Sentinels do not accept the user name or password."""


class SentinelRights(RedisError):
    """The Sentinels do not let this user ask for the primary."""


@dataclass(frozen=True, slots=True)
class Named:
    """A primary, as a Sentinel names it.

    Attributes:
        at: where it listens, with the host as the Sentinel announces it.
        epoch: number of the fail-over that made it the primary.
        is_moving: whether a fail-over is under way.
    """

    at: Endpoint
    epoch: int
    is_moving: bool = False


class Sentinel:
    """One Sentinel, and the connection to it, which stays open between two questions.

    Args:
        at: where it listens.
        connection: a bounded connection to it.
        service: what it calls the primary.
    """

    def __init__(self, at: Endpoint, connection: AbstractConnection, service: str) -> None:
        self.at = at
        self.rests_until_s = float("-inf")
        self._connection = connection
        self._service = service
        self._lock = asyncio.Lock()

    async def ask(self) -> Named:
        """Ask which server is the primary.

        Raises:
            redis.exceptions.RedisError: it does not answer, does not know, or refuses.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(ANSWER_S):
                    if self._connection.is_connected:
                        try:
                            return await self._ask()
                        except RedisConnectionError:
                            pass  # it was restarted since the last question
                    return await self._ask()
            except TimeoutError:
                raise RedisStalled(f"no answer within {ANSWER_S:g} s") from None

    async def close(self) -> None:
        """Close the connection."""
        async with self._lock:
            await self._connection.disconnect(nowait=True)

    async def _ask(self) -> Named:
        connection = self._connection
        try:
            # The address first: during a fail-over, a Sentinel already has the new epoch with the old address.
            questions = [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service), ("SENTINEL", "MASTER", self._service)]
            await connection.send_packed_command(connection.pack_commands(questions))
            address = await connection.read_response()
            if address is None:
                raise UnknownToSentinels(self._service)
            told = await connection.read_response()
        except BaseException:  # there may be something left to read
            await connection.disconnect(nowait=True)
            raise
        return _named(address, told)


class Sentinels:
    """All Sentinels that are configured, and what is known of the primary.

    Args:
        sentinels: in the order in which they are asked.
        moved: called when another server has become the primary, before anybody is told its address.
        clock: seconds on a clock that only goes forward.
    """

    def __init__(
        self, sentinels: Sequence[Sentinel], moved: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.all = tuple(sentinels)
        #: The primary as far as is known, None before the first answer.
        self.known: Named | None = None
        self._moved = moved
        self._clock = clock
        self._fresh_until_s = float("-inf")
        self._is_doubted = False
        self._next = 0
        self._asking: asyncio.Task[RedisError | None] | None = None

    async def primary(self) -> Named:
        """Return the primary, and ask all Sentinels for it unless it was confirmed a moment ago.

        Raises:
            NoSentinel: no Sentinel answers, and no primary is known from before.
            UnknownToSentinels: none of those that answer knows the name.
            SentinelLogin, SentinelRights: they refuse to tell.
            jobs.store.bounds.TlsWanted, jobs.store.bounds.TlsUnknown: they speak TLS, or do not, unlike the address.
        """
        if self.known is not None and self._clock() < self._fresh_until_s:
            return self.known
        # All callers share one question, and its failure: none waits for another one's turn.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())
        asking = self._asking
        try:
            failure = await asyncio.shield(asking)
        except asyncio.CancelledError:
            if asking.cancelled() and not _is_cancelled():
                raise RedisConnectionError("the client has been closed") from None
            raise
        if self.known is None:
            raise failure or NoSentinel("no answer")
        return self.known

    def doubt(self, named: Named) -> None:
        """Take note that a server does not work as the primary, so that the next caller asks for it again."""
        if self.known is not None and named.at == self.known.at:
            self._fresh_until_s = float("-inf")
            self._is_doubted = True

    async def look(self) -> None:
        """Ask one Sentinel, another one each time, whether the primary is still the same."""
        now_s = self._clock()
        order = [*self.all[self._next :], *self.all[: self._next]]
        for sentinel in sorted(order, key=lambda one: one.rests_until_s > now_s):
            try:
                named = await sentinel.ask()
            except (RedisError, OSError):
                sentinel.rests_until_s = self._clock() + _REST_S
                continue
            self._next = (self.all.index(sentinel) + 1) % len(self.all)
            self._learn(named)
            return

    async def survey(self) -> list[Named | RedisError | OSError]:
        """Ask every Sentinel, and return its answer or what prevented one, in the order of `all`."""
        answers = await asyncio.gather(*(sentinel.ask() for sentinel in self.all), return_exceptions=True)
        return [answer if isinstance(answer, Named) else _expected(answer) for answer in answers]

    async def close(self) -> None:
        """Close the connections, and end a question that is being asked."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        for sentinel in self.all:
            await sentinel.close()

    async def _ask_all(self) -> RedisError | None:
        """Ask all Sentinels, learn the newest answer, and return why there is none."""
        asked = {asyncio.create_task(sentinel.ask()): sentinel for sentinel in self.all}
        pending: set[asyncio.Task[Named]] = set(asked)
        answers: list[Named] = []
        failures: dict[Endpoint, RedisError | OSError] = {}
        try:
            while pending:
                done, pending = await asyncio.wait(
                    pending, timeout=_GRACE_S if answers else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    if (error := task.exception()) is None:
                        answers.append(task.result())
                    else:
                        failures[asked[task].at] = _expected(error)
                if not done:
                    break
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        if not answers:
            return _why_none({sentinel.at: failures[sentinel.at] for sentinel in self.all})
        # Of two names with the same epoch, the one that is known, or the other one if that does not work.
        at = self.known.at if self.known is not None else None
        self._learn(max(answers, key=lambda named: (named.epoch, (named.at == at) is not self._is_doubted)))
        return None

    def _learn(self, named: Named) -> None:
        known = self.known
        if known is not None:
            if named.epoch < known.epoch:
                return  # of a Sentinel that was cut off
            is_settled = not (self._is_doubted or known.is_moving)
            if named.at != known.at and named.epoch == known.epoch and is_settled:
                return  # another name for the same server, such as its address
        self._fresh_until_s = self._clock() + FRESH_S
        self.known = named
        self._is_doubted = False
        if known is not None and named.at != known.at:
            self._moved()


def in_brief(error: BaseException) -> str:
    """Return why a Sentinel did not name the primary, in a few words."""
    words: dict[type[BaseException] | tuple[type[BaseException], ...], str] = {
        UnknownToSentinels: "does not know the name",
        AuthenticationError: "does not accept the user name or password",
        NoPermissionError: "does not let this user ask",
        TlsWanted: "speaks TLS",
        TlsUnknown: "does not speak TLS",
        (RedisStalled, RedisTimeoutError, TimeoutError): "does not answer in time",
    }
    for kinds, brief in words.items():
        if isinstance(error, kinds):
            return brief
    if (why := untrusted_certificate(error)) is not None:
        return f"has a certificate that is not trusted ({why})"
    for cause in causes(error):
        if isinstance(cause, ssl.SSLError):
            return f"cannot be reached over TLS ({cause.reason})"
        if isinstance(cause, OSError) and cause.errno is not None:
            # Those of a name that cannot be resolved are negative.
            return (os.strerror(cause.errno) if cause.errno > 0 else cause.strerror or "is unknown").lower()
    return "does not answer" if isinstance(error, RedisConnectionError) else "answers with an error"


def _why_none(failures: dict[Endpoint, RedisError | OSError]) -> RedisError:
    """Return the error for callers: the one that a person can correct, if no Sentinel was right."""
    told = ", ".join(f"{at} {in_brief(error)}" for at, error in failures.items())
    kinds: list[tuple[type[RedisError], type[RedisError]]] = [
        (UnknownToSentinels, UnknownToSentinels),
        (AuthenticationError, SentinelLogin),
        (NoPermissionError, SentinelRights),
        (TlsWanted, TlsWanted),
        (TlsUnknown, TlsUnknown),
    ]
    for kind, raised in kinds:
        if any(isinstance(error, kind) for error in failures.values()):
            return raised(told)
    failure = NoSentinel(told)
    # Of a certificate, and what is wrong with it, the cause tells more.
    failure.__cause__ = max(failures.values(), key=lambda error: untrusted_certificate(error) is not None)
    return failure


def _named(address: Any, told: Any) -> Named:
    """Read the replies to the two questions."""
    try:
        host, port = address
        state = dict(zip(told[::2], told[1::2], strict=True))
        at = Endpoint(host.decode(), int(port))
        return Named(at, int(state[b"config-epoch"]), b"failover_in_progress" in state[b"flags"].split(b","))
    except (TypeError, ValueError, KeyError, AttributeError):
        raise RedisConnectionError("this is no answer of a Sentinel") from None


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _expected(error: BaseException) -> RedisError | OSError:
    """Return an error of the connection or the server; anything else is a bug, and raised."""
    if isinstance(error, RedisError | OSError):
        return error
    raise error
