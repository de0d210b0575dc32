"""Many clients that each send the same request again as soon as they have an answer, and how long they waited.

A raw `asyncio.Protocol` that only looks for the end of the answer: a client library would end up measuring itself.
"""

import asyncio
import re
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class Polled:
    """The result of one round."""

    polls: int
    elapsed_s: float
    p50_ms: float
    p99_ms: float

    @property
    def polls_per_s(self) -> float:
        """Answers per second, all clients together."""
        return self.polls / self.elapsed_s


class _Client(asyncio.Protocol):
    """One connection; keeps one request in flight until it is told to stop."""

    def __init__(self, request: bytes, until_s: float, waits_s: list[float]) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._until_s = until_s
        self._waits_s = waits_s
        self._got = b""
        self._asked_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, separator, body = self._got.partition(b"\r\n\r\n")
        if not separator:
            return
        length = _LENGTH.search(head + b"\r\n")
        if length is None or len(body) < int(length[1]):
            return
        now_s = time.perf_counter()
        self._waits_s.append(now_s - self._asked_s)
        self._got = b""
        if not head.startswith(b"HTTP/1.1 200"):
            self.over.set_exception(RuntimeError(head.split(b"\r\n", 1)[0].decode()))
            self._transport.close()
        elif now_s < self._until_s:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio passes it
        if not self.over.done():
            self.over.set_result(None)

    def _ask(self) -> None:
        self._asked_s = time.perf_counter()
        self._transport.write(self._request)


async def poll(url: str, *, clients: int, seconds: float) -> Polled:
    """Poll a URL over many connections for a while.

    Args:
        url: what to request.
        clients: connections, each with one request in flight.
        seconds: how long.

    Raises:
        RuntimeError: an answer was not 200.
    """
    address = urlsplit(url)
    request = f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
    waits_s: list[float] = []
    started_s = time.perf_counter()
    loop = asyncio.get_running_loop()
    connected = [
        await loop.create_connection(
            lambda: _Client(request, started_s + seconds, waits_s), address.hostname or "", address.port or 80
        )
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.over for _, client in connected))
    elapsed_s = time.perf_counter() - started_s
    waits_s.sort()
    return Polled(
        polls=len(waits_s),
        elapsed_s=elapsed_s,
        p50_ms=waits_s[len(waits_s) // 2] * 1000,
        p99_ms=waits_s[len(waits_s) * 99 // 100] * 1000,
    )
