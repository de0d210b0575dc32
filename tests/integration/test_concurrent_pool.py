"""A connection that cannot be opened holds up only the caller that asked for it."""

import asyncio

import pytest

from bench.forwarder import Forwarder, forwarding
from cli.embedded import EmbeddedServer
from config.redis_url import RedisUrl
from jobs.store import primary
from jobs.store.connection import connect
from tests.support.plain_redis import plain_redis

#: A database is selected before the first command, so opening a connection needs an answer.
DATABASE = 1


def address_of(door: Forwarder) -> RedisUrl:
    return RedisUrl(f"redis://127.0.0.1:{door.port}/{DATABASE}")


async def test_later_callers_do_not_wait_for_one_that_hangs(server: EmbeddedServer) -> None:
    async with forwarding(None) as door:
        redis = connect(address_of(door), patience_s=0)
        hanging = asyncio.ensure_future(redis.ping())
        async with asyncio.timeout(30):
            await door.swallowed.acquire()
            door.connect = lambda: asyncio.open_unix_connection(server.url.address.socket_path)
            assert await redis.ping()
        assert not hanging.done()
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        # What was abandoned half open is opened again.
        async with asyncio.timeout(30):
            assert all(await asyncio.gather(*(redis.ping() for _ in range(3))))
        await redis.aclose(close_connection_pool=True)


async def test_nine_that_hang_do_so_at_the_same_time() -> None:
    async with forwarding(None) as door:
        redis = connect(address_of(door), patience_s=0)
        hanging = [asyncio.ensure_future(redis.ping()) for _ in range(9)]
        async with asyncio.timeout(30):
            for _ in hanging:
                await door.swallowed.acquire()
        for one in hanging:
            one.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        await redis.aclose(close_connection_pool=True)


async def test_a_connection_that_broke_between_two_commands_is_opened_again(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart of the server: the check of its role must not fail where the command would not have failed."""
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
