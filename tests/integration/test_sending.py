"""What is sent piece by piece arrives as it was, and a reader that stalls is noticed, however small the pieces are."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from web.http.sending import PIECE, ReaderStalled, cut, send

SMALL_BUFFER = 4096


@asynccontextmanager
async def answering(
    write: Callable[[web.Request, web.StreamResponse], Awaitable[None]],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Let a handler write an answer; yield the connection of a client that has asked for it and not read anything."""

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        response = web.StreamResponse()
        await response.prepare(request)
        await write(request, response)
        return response

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, runner.addresses[0])
        reader, writer = await asyncio.open_connection(sock=sock, limit=SMALL_BUFFER)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        yield reader, writer
        writer.transport.abort()
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("size", [100, PIECE // 4, PIECE // 4 + 1, PIECE + 1])
async def test_a_reader_that_stalls_is_noticed(size: int) -> None:
    noticed: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def write(request: web.Request, response: web.StreamResponse) -> None:
        sent = 0
        try:
            while True:
                await send(request, response, b"x" * size, 0.2)
                await asyncio.sleep(0)
                sent += size
        except ReaderStalled:
            noticed.set_result(sent)
            cut(request)

    async with answering(write), asyncio.timeout(20):
        assert await noticed < 1_000_000, "so much was kept for a reader that takes nothing"


async def test_pieces_of_any_size_arrive_in_order() -> None:
    chance = random.Random(3)
    sizes = [0, 1, PIECE // 4, PIECE // 4 + 1, PIECE, PIECE + 1, 3 * PIECE]
    pieces = [chance.randbytes(chance.choice(sizes)) for _ in range(60)]

    async def write(request: web.Request, response: web.StreamResponse) -> None:
        for piece in pieces:
            await send(request, response, piece, 20.0)

    async with answering(write) as (reader, _), asyncio.timeout(20):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read(-1) == b"".join(pieces)
