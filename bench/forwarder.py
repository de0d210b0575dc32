"""A listener between client and server that forwards bytes, redirects new connections, or swallows what it receives."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

Handle: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Connect: TypeAlias = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@dataclass
class Forwarder:
    """A running forwarder.

    Attributes:
        connect: opens a connection to the server behind it. Called for each new connection; open ones stay where they
            are. None swallows everything and never answers.
        port: where clients connect, on loopback.
        swallowed: counts the connections that were swallowed.
    """

    connect: Connect | None
    port: int = 0
    swallowed: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        if self.connect is None:
            self.swallowed.release()
            await reader.read(-1)
        else:
            await exchange(reader, writer, *await self.connect())


@asynccontextmanager
async def forwarding(connect: Connect | None, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Forwarder]:
    """Run a forwarder on a free loopback port.

    Args:
        connect: see `Forwarder.connect`.
        tls: certificate and key, for clients that speak TLS to a server that does not.
    """
    forwarder = Forwarder(connect)
    async with listening(forwarder.handle, tls=tls) as forwarder.port:
        yield forwarder


@asynccontextmanager
async def listening(
    handle: Handle, *, tls: ssl.SSLContext | None = None, path: Path | None = None
) -> AsyncIterator[int]:
    """Listen, serve each connection in its own task, and end all of them when the block is left.

    Args:
        handle: serves one connection, which is closed afterwards. It is no error if the other side goes away.
        tls: certificate and key.
        path: of a Unix socket; without it, a free loopback port is used.

    Yields:
        The port; 0 for a Unix socket.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    if path is not None:
        listener = await asyncio.start_unix_server(serve, path, ssl=tls)
    else:
        listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield 0 if path is not None else int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


async def exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    behind: asyncio.StreamReader,
    to_server: asyncio.StreamWriter,
) -> None:
    """Forward both ways until either side has ended, and close the connection to the server."""
    ways = [asyncio.create_task(forward(reader, to_server)), asyncio.create_task(forward(behind, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        to_server.close()  # first: if this task is cancelled again while it waits below, nothing after that runs
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward everything that is read until the stream ends or either side is gone."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 20):
            writer.write(data)
            await writer.drain()
