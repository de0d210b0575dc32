"""TLS in front of servers that speak none, on a port where they are also spoken to in plain text.

The server in the wheel has no TLS. Those who see the first byte of a handshake here get TLS; Sentinels and replicas,
which have to use the same address, get plain text.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.forwarder import exchange

_HANDSHAKE = b"\x16"


@asynccontextmanager
async def tls_front(port: int, tls: ssl.SSLContext) -> AsyncIterator[int]:
    """Listen on a free loopback port, forward to another one, and yield the port."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(sock: socket.socket) -> None:
        try:
            is_tls = await _first_byte(sock) == _HANDSHAKE
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=tls if is_tls else None)
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            try:
                await exchange(reader, writer, *await asyncio.open_connection("127.0.0.1", port))
            finally:
                transport.abort()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            sock.close()

    async def accept() -> None:
        while True:
            sock, _ = await loop.sock_accept(listener)
            sock.setblocking(False)
            task = asyncio.create_task(serve(sock))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        accepting = asyncio.create_task(accept())
        try:
            yield listener.getsockname()[1]
        finally:
            for task in (accepting, *tasks):
                task.cancel()
            await asyncio.gather(accepting, *tasks, return_exceptions=True)


async def _first_byte(sock: socket.socket) -> bytes:
    """Wait for the first byte, and leave it where it is."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sock, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sock)
    return sock.recv(1, socket.MSG_PEEK)
