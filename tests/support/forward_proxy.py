"""An HTTP proxy as companies have: it opens tunnels (CONNECT), forwards other calls, and can ask for credentials.

Run as its own process, `python -m tests.support.forward_proxy [USER:PASSWORD]` prints `listening on http://…`, then
one line per request.
"""

import asyncio
import base64
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.forwarder import exchange, listening


@dataclass
class ForwardProxy:
    """A running proxy, and how it behaves.

    Attributes:
        credentials: `user:password` that it asks for; empty lets every caller in.
        refuses: status with which it answers every request; 0 does what it is asked.
        swallows: status that it returns in place of the answer to a forwarded call; 0 passes the answer on.
        swallowed: numbers of the calls for which it does so, counted from 1; empty for all.
        page: what its own answers say.
        breaks_off: closes the connection without an answer.
        asked: the first line of each request.
        heads: each request's head as it arrived.
        sent_on: how many calls it has forwarded.
    """

    url: str = ""
    credentials: str = ""
    refuses: int = 0
    swallows: int = 0
    swallowed: frozenset[int] = frozenset()
    page: bytes = b"<html><body>This is the proxy speaking.</body></html>"
    breaks_off: bool = False
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    sent_on: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, which carries one request or one tunnel."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        self.asked.append(first)
        self.heads.append(head)
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        expected = f"Basic {base64.b64encode(self.credentials.encode()).decode()}"
        if self.breaks_off:
            return
        if self.refuses:
            await self._answer(writer, self.refuses)
        elif self.credentials and headers.get("proxy-authorization") != expected:
            await self._answer(writer, 407, 'Proxy-Authenticate: Basic realm="company"\r\n')
        elif method == "CONNECT":
            await self._tunnel(target, reader, writer)
        else:
            await self._send_on(method, target, headers, body, writer)

    async def _tunnel(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = target.rpartition(":")
        try:
            from_portal, to_portal = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            await self._answer(writer, 502)
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await exchange(reader, writer, from_portal, to_portal)

    async def _send_on(
        self, method: str, target: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> None:
        self.sent_on += 1
        number = self.sent_on
        parts = urlsplit(target)
        try:
            from_portal, to_portal = await asyncio.open_connection(parts.hostname, parts.port or 80)
        except OSError:
            await self._answer(writer, 502)
            return
        kept = {name: value for name, value in headers.items() if not name.startswith("proxy-")} | {
            "connection": "close",
            "via": "1.1 test-proxy",
        }
        path = parts._replace(scheme="", netloc="").geturl() or "/"
        head = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
        to_portal.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
        try:
            if self.swallows and (not self.swallowed or number in self.swallowed):
                await from_portal.readuntil(b"\r\n\r\n")  # the portal has done what it was asked
                await self._answer(writer, self.swallows)
            else:
                await _forward_one(from_portal, writer)
        finally:
            to_portal.close()

    async def _answer(self, writer: asyncio.StreamWriter, status: int, more: str = "") -> None:
        head = f"HTTP/1.1 {status} Proxy\r\n{more}Content-Type: text/html\r\nContent-Length: {len(self.page)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + self.page)
        await writer.drain()


@asynccontextmanager
async def forward_proxy(credentials: str = "", tls: ssl.SSLContext | None = None) -> AsyncIterator[ForwardProxy]:
    """Run a proxy on a free port."""
    proxy = ForwardProxy(credentials=credentials)
    async with listening(proxy.serve, tls=tls) as port:
        proxy.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        yield proxy


async def _forward_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward one answer: its length is given, or it ends with the connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    length = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), None)
    body = await (reader.read() if length is None else reader.readexactly(length))
    first, _, rest = head.partition(b"\r\n")
    writer.write(first + b"\r\nConnection: close\r\n" + rest + body)
    await writer.drain()


async def _main() -> None:
    async with forward_proxy(sys.argv[1] if len(sys.argv) > 1 else "") as proxy:
        sys.stdout.write(f"listening on {proxy.url}\n")
        sys.stdout.flush()
        told = 0
        while True:
            await asyncio.sleep(0.02)
            for line in proxy.asked[told:]:
                sys.stdout.write(f"{line}\n")
                told += 1
            sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
