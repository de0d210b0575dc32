"""Connections to Redis on which nothing waits forever, and which report immediately if TLS is the problem.

A server that hangs keeps its connections: the kernel answers for it, and a reply never comes. So every write to a
connection and every read from it has a time limit. A connection on which a reply was given up is closed: the reply may
still come, and must not be taken for the reply to another command.
"""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError

from jobs.store.tls import Tls

#: A server on the same network answers in milliseconds. One that has not even begun the TLS handshake after this time
#: is asked whether it speaks plain Redis: it may be waiting for the end of what it takes for a line.
_TLS_DOUBT_S = 1.0
#: Time limit for that question.
_TLS_PROBE_S = 3.0

#: What servers say of a client's certificate, as OpenSSL names it.
_REFUSED = re.compile(r"ALERT_(CERTIFICATE_|BAD_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")


class RedisStalled(RedisError):
    """The server did not answer a command in time; whether the command was carried out is not known."""


class TlsWanted(RedisError):
    """The server speaks TLS, but the address does not say so."""


class TlsUnknown(RedisError):
    """The address says TLS, but the server does not speak it."""


def untrusted_certificate(error: BaseException | None) -> str | None:
    """Return why the certificate of Redis is not trusted, or None if something else went wrong.

    Args:
        error: what redis-py raised.
    """
    for one in causes(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return one.verify_message.partition(",")[0]
    return None


def refuses_client_certificate(error: BaseException | None) -> bool:
    """Check whether Redis refused the certificate of this client, or wants one and got none.

    Args:
        error: what redis-py raised.
    """
    return any(isinstance(one, ssl.SSLError) and _REFUSED.search(one.reason or "") for one in causes(error))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came from: redis-py rewords errors, but keeps them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error that was raised twice can be its own cause
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


class Bounded(AbstractConnection):
    """A connection with a time limit on every read and write.

    Args:
        stall_s: how long the server may take to send one reply or to accept one command, in seconds.
    """

    def __init__(self, *, stall_s: float, **options: Any) -> None:
        super().__init__(**options)
        self._stall_s = stall_s
        self._is_stalled = False
        #: Whether the owner has given it up while it was in use.
        self._is_abandoned = False

    async def connect(self) -> None:
        """Connect.

        Raises:
            redis.exceptions.RedisError: the server did not answer in time, does not speak TLS, …
        """
        self._is_stalled = False
        try:
            await super().connect()  # type: ignore[no-untyped-call]  # redis-py leaves some of its methods untyped
        except RedisConnectionError as error:
            # redis-py turns every error while it connects into this very class, and would try again.
            if type(error) is not RedisConnectionError or not isinstance(error.__cause__, RedisError):
                raise
            cause = error.__cause__
        else:
            self._send_nothing_once_closed()
            return
        raise cause  # not in the handler, where it would forget what it came from

    def _send_nothing_once_closed(self) -> None:
        """Have the system drop what the server has not received when the connection is closed.

        A command is sent again over another connection. By default, the first one could still arrive after that, and
        after whatever followed on it: a portal that was stopped by then would be started again.
        """
        opened = self._writer.get_extra_info("socket") if self._writer else None
        if opened is not None and opened.family != socket.AF_UNIX:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def is_quiet(self) -> bool:
        """Check whether it is open, and nothing has come that no command asked for."""
        reader: Any = self._reader
        writer = self._writer
        if reader is None or writer is None or writer.transport.is_closing() or reader.at_eof():
            return False
        return not reader._buffer  # noqa: SLF001 - nothing public tells without waiting

    def abandon(self) -> None:
        """Break the connection, whoever is using it: to them it looks as if the server had closed it."""
        self._is_abandoned = True
        if self._writer is not None:
            self._writer.transport.abort()

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read one reply.

        Raises:
            RedisStalled: none came in time; the connection is closed.
        """
        # A timer of the event loop: asyncio.timeout, five times as expensive, would be a good part of a reply's cost.
        timer = asyncio.get_running_loop().call_later(self._stall_s, self._stall)
        try:
            return await super().read_response(*args, **options)
        except (RedisConnectionError, OSError):
            if not self._is_stalled:
                raise
        finally:
            timer.cancel()
        raise self._stalled()

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Write a command, after connecting if necessary.

        Raises:
            redis.exceptions.ConnectionError: the connection was broken since it was last used.
            RedisStalled: the server did not accept it in time; the connection is closed.
        """
        if not self.is_connected:
            await self.connect()
        elif self._writer is not None and self._writer.transport.is_closing():
            # uvloop would raise a RuntimeError. It is not opened again here: what it was watching would be forgotten.
            await self.disconnect(nowait=True)
            raise RedisConnectionError("the connection is closed")
        timer = asyncio.get_running_loop().call_later(self._stall_s, self._stall)
        try:
            await super().send_packed_command(command, check_health)
        except (RedisConnectionError, OSError):
            if not self._is_stalled:
                raise
        else:
            return
        finally:
            timer.cancel()
        raise self._stalled()

    def pack_command(self, *args: Any) -> list[bytes]:
        """Pack a command: in C if it can be, and otherwise, or if an argument is refused, as redis-py does."""
        if isinstance(args[0], str) and " " not in args[0]:
            with contextlib.suppress(TypeError):
                return [hiredis.pack_command(args)]
        return super().pack_command(*args)

    def _stall(self) -> None:
        """Break the connection: whoever waits for the server has waited too long."""
        self._is_stalled = True
        if self._writer is not None:
            self._writer.transport.abort()

    def _stalled(self) -> RedisStalled:
        return RedisStalled(f"no answer within {self._stall_s:g} s")


class BoundedTcp(Bounded, Connection):
    """A bounded connection in plain text, which detects that the server wants TLS."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._has_answered = False

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read one reply.

        Raises:
            TlsWanted: the server speaks only TLS.
        """
        try:
            reply = await super().read_response(*args, **options)
        except (RedisConnectionError, InvalidResponse) as error:
            # A TLS port hangs up on plain text, or answers with bytes that are not a reply. In redis-py, a few replies,
            # such as that of a wrong password, are kinds of connection errors.
            is_reply = type(error) not in {RedisConnectionError, InvalidResponse}
            is_new = not (self._has_answered or self._is_abandoned or is_reply)
            if is_new and await _speaks_tls(self.host, self.port):
                raise TlsWanted("the server speaks TLS") from None
            raise
        self._has_answered = True
        return reply


class BoundedTls(Bounded, SSLConnection):
    """A bounded connection over TLS, which detects that the server does not speak it.

    Args:
        tls: whom it trusts, and what it shows of itself; the server's certificate has to match the host.
    """

    def __init__(self, *, tls: Tls, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {"host": self.host, "port": self.port, "ssl": self._tls.context()}

    async def _connect(self) -> None:
        connecting = asyncio.ensure_future(super()._connect())  # type: ignore[no-untyped-call]
        try:
            await asyncio.wait({connecting}, timeout=_TLS_DOUBT_S)
            if (not connecting.done() or _is_no_tls(connecting)) and await _speaks_plain(self.host, self.port):
                raise TlsUnknown("the server speaks no TLS")
            await connecting
        finally:
            connecting.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await connecting


class BoundedUnix(Bounded, UnixDomainSocketConnection):
    """A bounded connection over a Unix socket."""

    async def _connect(self) -> None:
        # redis-py would already log in here, and then once more.
        async with asyncio.timeout(self.socket_connect_timeout):
            self._reader, self._writer = await asyncio.open_unix_connection(self.path)


def _is_no_tls(connecting: "asyncio.Future[None]") -> bool:
    """Check whether a handshake has failed for a reason other than a certificate."""
    if connecting.cancelled() or not connecting.done():
        return False
    error = connecting.exception()
    return isinstance(error, (ssl.SSLError, ConnectionResetError)) and not isinstance(
        error, ssl.SSLCertVerificationError
    )


async def _speaks_plain(host: str, port: int) -> bool:
    """Ask a server in plain text: only one that speaks plain Redis sends a reply."""
    return (await _ask(host, port, b"PING\r\n")).startswith((b"+", b"-"))


async def _speaks_tls(host: str, port: int) -> bool:
    """Try a TLS handshake. Nothing is sent over the connection, so any certificate is accepted."""
    anybody = ssl.create_default_context()
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_TLS_PROBE_S):
            _, writer = await asyncio.open_connection(host, port, ssl=anybody)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True


async def _ask(host: str, port: int, question: bytes) -> bytes:
    try:
        async with asyncio.timeout(_TLS_PROBE_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(question)
                return await reader.read(16)
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return b""
