"""One request on the wire and its answer. Decides nothing about what the answer means to the API."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeAlias

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.tracing import Trace
from yarl import URL

from config.authorities import read_authorities
from config.portal import Portal
from worker.failure_table import Flaw
from worker.failures import CAUGHT, decide_exception, decide_flaw
from worker.portal_answers import Failure

#: A thousand contacts with every field are about 610 kB.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
#: Connecting takes a network's round trips, not a portal's work.
MAX_CONNECT_S = 10.0
#: nginx closes an idle connection after 65 s; dropping it well before avoids sending into a closing one.
KEEPALIVE_S = 30.0
#: A portal whose system does not even acknowledge a request for this long is out of reach.
UNACKNOWLEDGED_S = 4.0


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """A complete answer of any status."""

    status: int
    body: bytes
    #: The headers of this name, joined with commas.
    retry_after: str | None
    elapsed_s: float
    #: When the portal answered, by its own clock.
    date: str | None = None
    #: Whether a proxy read the call and the answer, and may have given the answer itself.
    read_by_proxy: bool = False


#: Asked whether a request may leave, right before it does.
MaySend: TypeAlias = Callable[[], Awaitable[bool]]


class MayNotSend(Exception):
    """The caller must no longer make the call; nothing was sent."""


class CancelledUnsent(asyncio.CancelledError):
    """The call was cancelled before its request left."""


async def always() -> bool:
    """Let a call be sent at any time."""
    return True


@dataclass(slots=True)
class _Leaving:
    """A request on its way to the wire.

    Attributes:
        may_send: asked once the connection is there, which can be long after the call began.
        has_left: whether the portal may have received something of it.
    """

    may_send: MaySend
    has_left: bool = False


_leaving: ContextVar[_Leaving] = ContextVar("leaving")


class _NotConnectedError(Exception):
    """Something went wrong before the call was sent; `cause` says what."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause
        super().__init__()


class _Connector(aiohttp.TCPConnector):
    """A connector that marks the errors that occur before a call is sent, and asks whether it may be sent at all.

    Their classes alone do not tell: a proxy that closes the connection while it opens a tunnel causes the same error as
    a portal that closes it during a call.

    To open a connection takes seconds if packets are lost. So the question comes last: what follows is the request.
    """

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 -- aiohttp's signature
    ) -> Connection:
        """Get a connection from the pool, or open one."""
        try:
            connection = await super().connect(req, traces, timeout)
        except TimeoutError:
            raise  # the session turns it into an error of its own
        except CAUGHT as error:
            raise _NotConnectedError(error) from None
        leaving = _leaving.get()
        try:
            if not await leaving.may_send():
                raise MayNotSend
            # The answer may have taken its time.
            if connection.protocol is None or not connection.protocol.is_connected():
                raise _NotConnectedError(aiohttp.ServerDisconnectedError())
        except BaseException:
            connection.close()
            raise
        leaving.has_left = True
        return connection


class Exchange:
    """The HTTP session with one portal.

    It keeps no cookies (the portal sets one that would let a call run as another user), follows no redirects, uses
    neither `.netrc` nor any proxy that the portal's settings do not name or allow, and never sends anything twice.

    Args:
        portal: its address, its timeout, and the way there.
    """

    def __init__(self, portal: Portal) -> None:
        self._base_url = portal.url
        self._timeout_s = portal.request_timeout_s
        self._timeout = _timeout(portal.request_timeout_s)
        self._tls_ca_file = portal.tls_ca_file
        self._proxy = portal.proxy_on_the_way()
        # Inside a tunnel a proxy sees nothing.
        self._read_by_proxy = self._proxy is not None and not portal.url.startswith("https:")
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        body: bytes | None = None,
        deleting: bool = False,
        timeout_s: float | None = None,
        may_send: MaySend = always,
    ) -> RawAnswer | Failure:
        """Send one request and read the whole answer.

        Args:
            method: HTTP method.
            target: path and query below the base address, already encoded.
            headers: headers of this request, in addition to those of the session.
            body: body of the request.
            deleting: whether the portal may delete something when it receives this.
            timeout_s: timeout of this call, if it must be shorter than usual.
            may_send: asked right before the request leaves, when the connection is there.

        Raises:
            MayNotSend: it said no; nothing was sent.
            CancelledUnsent: the task was cancelled before that.
        """
        session = self._session or self._open()
        leaving = _Leaving(may_send)
        _leaving.set(leaving)
        started = asyncio.get_running_loop().time()
        status: int | None = None
        try:
            async with session.request(
                method,
                URL(self._base_url + target, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=self._timeout if timeout_s is None else _timeout(min(timeout_s, self._timeout_s)),
                **self._through_proxy(),
            ) as response:
                status = response.status
                answer = await _read_bounded(response)
        except (_NotConnectedError, *CAUGHT) as error:
            return decide_exception(
                error.cause if isinstance(error, _NotConnectedError) else error,
                status=status,
                elapsed_s=_since(started),
                deleting=deleting,
                proxy=(self._proxy.host, self._proxy.port) if self._proxy else None,
                connecting=not leaving.has_left,
            )
        except asyncio.CancelledError as error:
            if leaving.has_left:
                raise
            raise CancelledUnsent from error
        if answer is None:
            return decide_flaw(Flaw.TOO_LARGE, status=status, elapsed_s=_since(started), deleting=deleting)
        return RawAnswer(
            status,
            answer,
            ", ".join(response.headers.getall("Retry-After", ())) or None,
            _since(started),
            date=response.headers.get("Date"),
            read_by_proxy=self._read_by_proxy,
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _through_proxy(self) -> dict[str, Any]:
        """Return the options of a request that goes through the proxy; none without a proxy."""
        if self._proxy is None:
            return {}
        # The credentials go to the proxy alone: with the request that opens a tunnel, not with those inside it. Without
        # a tunnel, they are among the headers of the call, and the proxy removes them.
        tunnelled = not self._read_by_proxy and self._proxy.authorization
        return {
            "proxy": URL(self._proxy.url),
            "proxy_headers": {"Proxy-Authorization": self._proxy.authorization} if tunnelled else None,
        }

    def _open(self) -> aiohttp.ClientSession:
        headers = {
            "User-Agent": f"crm-sweep/{version('crm-sweep')}",
            # Answers are small; compressing them would only cost the portal work.
            "Accept-Encoding": "identity",
        }
        if self._proxy is not None and self._read_by_proxy:
            # A look-up answered from a proxy's cache would report an earlier state.
            headers["Cache-Control"] = "no-cache"
            if self._proxy.authorization:
                headers["Proxy-Authorization"] = self._proxy.authorization
        session = aiohttp.ClientSession(
            # The lanes' leases limit concurrency; a second limit here would only make calls time out while waiting.
            connector=_Connector(
                limit=0, keepalive_timeout=KEEPALIVE_S, ssl=self._trusting(), socket_factory=self._socket
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers=headers,
        )
        # aiohttp treats PUT as idempotent and sends it again after a reset. To us a second PUT is a second attempt that
        # the ledger must know about. There is no public switch; a test makes sure that one call is one request.
        session._retry_connection = False  # noqa: SLF001
        self._session = session
        return session

    def _socket(self, address: AddrInfoType) -> socket.socket:
        """Return a socket that soon gives up sending what the other side does not acknowledge.

        By default the system goes on for many minutes, even after the connection was closed or the process has ended.
        After a broken network a PUT would arrive when its contacts have been looked up and decided. How long the portal
        takes for an answer does not matter here.
        """
        family, kind, protocol, _, _ = address
        opened = socket.socket(family, kind, protocol)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
            patience_s = min(UNACKNOWLEDGED_S, self._timeout_s)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(patience_s * 1000))
        return opened

    def _trusting(self) -> ssl.SSLContext | bool:
        """Return the authorities to trust; True stands for the system's."""
        if self._tls_ca_file is None:
            return True
        return ssl.create_default_context(cadata=read_authorities(self._tls_ca_file))


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """Read the decompressed body; return None if it is larger than `MAX_ANSWER_BYTES`."""
    blocks: list[bytes] = []
    size = 0
    while block := await response.content.readany():
        size += len(block)
        if size > MAX_ANSWER_BYTES:
            response.close()
            return None
        blocks.append(block)
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def _timeout(total_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, connect=min(MAX_CONNECT_S, total_s / 2))


def _since(started: float) -> float:
    return asyncio.get_running_loop().time() - started
