"""What a pool does when it is told of another primary, whatever its connections are doing."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import WatchError

from bench.forwarder import forwarding
from cli.embedded import EmbeddedServer
from config.redis_url import Endpoint
from config.settings import RedisUrl
from jobs.store.connection import connect
from jobs.store.primary import Watched
from jobs.store.sentinel import Named
from jobs.store.sentinel_pool import SentinelPool
from tests.support.told_sentinel import Told
from tests.support.waiting import until


@pytest.fixture
def black_hole() -> Iterator[Endpoint]:
    """Yield an address that does not even refuse connections, like that of a machine that was cut off."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]  # the kernel drops those for which there is no room
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield Endpoint(*listener.getsockname())
        for one in waiting:
            one.close()


async def test_an_attempt_to_connect_is_given_up_at_once(server: EmbeddedServer, black_hole: Endpoint) -> None:
    async with forwarding(lambda: asyncio.open_unix_connection(server.url.address.socket_path)) as door:
        redis = connect(RedisUrl("redis+sentinel://127.0.0.1:1/ledger"), patience_s=60)
        pool = redis.connection_pool
        assert isinstance(pool, SentinelPool)
        pool.connection_kwargs["socket_connect_timeout"] = 600
        told = Told(0, Named(black_hole, 1))
        pool.sentinels.all = (told,)
        asking = asyncio.ensure_future(redis.ping())

        async def connecting() -> bool:
            return any(isinstance(one, Watched) and one._limit for one in pool._in_use_connections)

        assert await until(connecting)
        told.answer = Named(Endpoint("127.0.0.1", door.port), 2)
        await pool.sentinels.look()
        assert await asyncio.wait_for(asking, 15)
        await redis.aclose(close_connection_pool=True)


async def test_what_is_sent_over_a_connection_that_was_given_up_is_sent_again(server: EmbeddedServer) -> None:
    redis = connect(server.url, patience_s=5)
    connection = await redis.connection_pool.get_connection()
    assert isinstance(connection, Watched)
    connection.abandon()
    await asyncio.sleep(0.05)  # until the event loop has closed it
    with pytest.raises(RedisConnectionError):
        await connection.send_command("PING")
    await redis.connection_pool.release(connection)
    async with redis.pipeline(transaction=True) as pipe:
        await pipe.watch("anything")
        watching: Any = pipe.connection
        watching.abandon()
        await asyncio.sleep(0.05)
        with pytest.raises(WatchError):  # not sent again: nobody watches any more
            await pipe.exists("anything")
    assert await redis.ping()
    await redis.aclose(close_connection_pool=True)


def test_on_uvloop_which_raises_errors_of_its_own_it_is_the_same(server: EmbeddedServer) -> None:
    uvloop.run(test_what_is_sent_over_a_connection_that_was_given_up_is_sent_again(server))


async def test_a_client_that_is_closed_while_it_asks_says_so(server: EmbeddedServer) -> None:
    async with forwarding(None) as silent:
        redis = connect(RedisUrl(f"redis+sentinel://127.0.0.1:{silent.port}/ledger"), patience_s=-5)
        asking = asyncio.ensure_future(redis.ping())
        async with asyncio.timeout(15):
            await silent.swallowed.acquire()
        await redis.aclose(close_connection_pool=True)
        with pytest.raises(RedisConnectionError, match="closed"):
            await asking
        await redis.aclose(close_connection_pool=True)
