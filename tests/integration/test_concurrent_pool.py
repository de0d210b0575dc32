"""A connection that cannot be opened holds up nobody but whoever asked for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from cli.embedded import EmbeddedServer
from config.redis_url import RedisUrl
from jobs.store import primary
from jobs.store.connection import connect
from tests.support.plain_redis import plain_redis

#: Redis is asked for a database before the first command, so opening a connection takes an answer.
DATABASE = 1


@dataclass
class Door:
    """An address that leads to Redis, or takes connections and never answers.

    Attributes:
        swallowing: whether it does not answer those that come now.
        arrived: counts those it did not answer.
    """

    port: int = 0
    swallowing: bool = True
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    @property
    def url(self) -> RedisUrl:
        return RedisUrl(f"redis://127.0.0.1:{self.port}/{DATABASE}")


@contextlib.asynccontextmanager
async def door_to(server: EmbeddedServer) -> AsyncIterator[Door]:
    door, tasks = Door(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            if door.swallowing:
                door.arrived.release()
                await reader.read(-1)
            else:
                await _forward_both_ways(server, reader, writer)
        finally:
            writer.transport.abort()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    door.port = listener.sockets[0].getsockname()[1]
    try:
        yield door
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


async def _forward_both_ways(
    server: EmbeddedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    behind, to_server = await asyncio.open_unix_connection(server.url.address.socket_path)
    back = asyncio.create_task(_forward(behind, writer))
    try:
        await _forward(reader, to_server)
    finally:
        to_server.close()
        back.cancel()
        await asyncio.gather(back, return_exceptions=True)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 20):
        writer.write(data)


async def test_who_comes_later_does_not_wait_for_one_that_hangs(server: EmbeddedServer) -> None:
    async with door_to(server) as door:
        redis = connect(door.url, patience_s=0)
        hanging = asyncio.ensure_future(redis.ping())
        async with asyncio.timeout(30):
            await door.arrived.acquire()
            door.swallowing = False
            assert await redis.ping()
        assert not hanging.done()
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        # What was given up half open is opened anew.
        async with asyncio.timeout(30):
            assert all(await asyncio.gather(*(redis.ping() for _ in range(3))))
        await redis.aclose(close_connection_pool=True)


async def test_nine_that_hang_do_so_at_the_same_time(server: EmbeddedServer) -> None:
    async with door_to(server) as door:
        redis = connect(door.url, patience_s=0)
        hanging = [asyncio.ensure_future(redis.ping()) for _ in range(9)]
        async with asyncio.timeout(30):
            for _ in hanging:
                await door.arrived.acquire()
        for one in hanging:
            one.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        await redis.aclose(close_connection_pool=True)


async def test_a_connection_that_broke_between_two_commands_is_opened_anew(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart of the server: the question about its role must not fail where the command would not have."""
    monkeypatch.setattr(primary, "ROLE_EVERY_S", 0.0)
    redis, admin = connect(server.url, patience_s=0), plain_redis(server.url)
    try:
        for _ in range(5):
            assert await redis.ping()
            await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert await redis.incr("commands") >= 1
    finally:
        await redis.aclose(close_connection_pool=True)
        await admin.aclose(close_connection_pool=True)
