"""Redis behind Sentinel: clients find the primary, follow it, and are never sent back to an old one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from arq.connections import ArqRedis

from bench.forwarder import forwarding
from config.settings import RedisUrl
from jobs.store.connection import connect
from jobs.store.primary import NotPrimary
from jobs.store.sentinel_pool import SentinelPool
from tests.support.sentinels import SentinelGroup, Server, sentinel_group
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(90)

#: Far more than is needed, for a machine that is busy; what matters is the order of events.
GOES_ON_S = 15.0


@pytest.fixture
async def group() -> AsyncIterator[SentinelGroup]:
    async with sentinel_group() as group:
        yield group


@asynccontextmanager
async def client_of(group: SentinelGroup, *, stall_s: float = 60.0) -> AsyncIterator[ArqRedis]:
    """Connect so that a command without an answer would hang for long."""
    redis = connect(RedisUrl(group.url()), patience_s=120, stall_s=stall_s)
    try:
        yield redis
    finally:
        await redis.aclose(close_connection_pool=True)


async def served_by(redis: ArqRedis) -> int:
    """Return the port of the server that answers."""
    return int((await redis.info("server"))["tcp_port"])


def answers(redis: ArqRedis, server: Server) -> Callable[[], Awaitable[bool]]:
    async def is_it() -> bool:
        return await served_by(redis) == server.port

    return is_it


async def test_a_client_goes_on_when_the_primary_is_killed_and_does_not_go_back_to_it(group: SentinelGroup) -> None:
    async with client_of(group) as redis:
        await redis.set("key", "before")
        await replicated(group)
        await group.primary.kill()
        waiting = asyncio.ensure_future(redis.set("key", "after"))
        new = await group.promoted(since=group.primary)
        async with asyncio.timeout(GOES_ON_S):
            await waiting
        assert await served_by(redis) == new.port
        await group.primary.start()
        async with asyncio.timeout(GOES_ON_S):
            assert await redis.get("key") == b"after"
            assert await served_by(redis) == new.port


async def test_commands_in_flight_leave_a_frozen_primary_at_once(group: SentinelGroup) -> None:
    """Nothing breaks on its own here: the kernel of a frozen machine keeps its connections."""
    async with client_of(group) as redis:
        await asyncio.gather(*(redis.ping() for _ in range(5)))
        await replicated(group)
        group.primary.freeze()
        reading = [asyncio.ensure_future(redis.incr("count")) for _ in range(5)]
        new_ones = [asyncio.ensure_future(redis.incr("count")) for _ in range(5)]  # these have to connect first
        new = await group.promoted(since=group.primary)
        async with asyncio.timeout(GOES_ON_S):
            assert sorted(await asyncio.gather(*reading, *new_ones)) == list(range(1, 11))
            assert await served_by(redis) == new.port
        group.primary.resume()


async def test_a_promotion_by_hand_is_noticed_by_a_client_that_only_reads(group: SentinelGroup) -> None:
    async with client_of(group) as redis:
        await redis.get("key")
        new = await group.promote()
        assert await until(answers(redis, new), GOES_ON_S)


async def test_a_subscription_moves_with_the_primary(group: SentinelGroup) -> None:
    async with client_of(group) as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe("crm-sweep:news")
        assert (await pubsub.get_message(timeout=10))["type"] == "subscribe"
        listening = asyncio.ensure_future(anext(message async for message in pubsub.listen() if is_news(message)))
        group.primary.freeze()
        await group.promoted(since=group.primary)

        async def heard() -> bool:
            await redis.publish("crm-sweep:news", "hello")
            return listening.done()

        assert await until(heard, timeout_s=GOES_ON_S)
        assert (await listening)["data"] == b"hello"
        group.primary.resume()


def is_news(message: dict[str, object]) -> bool:
    return message["type"] == "message"


async def test_a_sentinel_that_was_cut_off_sends_nobody_back(group: SentinelGroup) -> None:
    """It was away during the fail-over, and there is nobody left who could tell it about that."""
    cut_off, *others = group.sentinels
    async with client_of(group) as redis:
        await redis.set("key", "value")
        await replicated(group)
        await cut_off.kill()
        rest = SentinelGroup(group.primary, group.replicas, others)
        new = await rest.promote()
        assert await until(answers(redis, new), GOES_ON_S)
        for sentinel in others:
            await sentinel.kill()
        await cut_off.start()
        assert await group.primary_port() == group.primary.port
        pool = redis.connection_pool
        assert isinstance(pool, SentinelPool)
        assert (await pool.sentinels.all[0].ask()).at.port == group.primary.port
        await pool.sentinels.look()
        assert pool.sentinels.known is not None
        assert pool.sentinels.known.at.port == new.port
        async with new.client() as admin:
            await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        async with asyncio.timeout(GOES_ON_S):
            assert await redis.get("key") == b"value"
            assert await served_by(redis) == new.port


async def test_the_primary_is_used_on_while_no_sentinel_answers(group: SentinelGroup) -> None:
    async with client_of(group) as redis:
        await redis.set("key", "value")
        for sentinel in group.sentinels:
            await sentinel.kill()
        async with group.primary.client() as admin:
            await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        async with asyncio.timeout(GOES_ON_S):
            assert await redis.get("key") == b"value"


async def test_a_client_that_is_closed_leaves_no_task_and_no_connection(group: SentinelGroup) -> None:
    before = asyncio.all_tasks()

    async def are_alone() -> bool:
        """Whether nobody is connected but who asks."""
        return set(await connections(group)) == {1}

    assert await until(are_alone)
    async with client_of(group) as redis:
        await asyncio.gather(*(redis.ping() for _ in range(3)))
        pool = redis.connection_pool
        assert isinstance(pool, SentinelPool)
        await pool.sentinels.look()
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before
    assert await until(are_alone)


async def connections(group: SentinelGroup) -> list[int]:
    """Count the clients of each process that are neither servers nor Sentinels, this question included."""
    return [await _of(server) for server in (*group.servers, *group.sentinels)]


async def _of(server: Server) -> int:
    async with server.client() as client:
        told = await client.execute_command("CLIENT", "LIST")
    names = [dict(pair.split("=", 1) for pair in line.split()) for line in str(told).splitlines()]
    return sum(name["name"] == "" and name["flags"] == "N" for name in names)


async def replicated(group: SentinelGroup) -> None:
    """Wait until the replicas have what was written so far."""
    async with group.primary.client() as admin:
        await admin.set("marker", "1")
        assert await admin.wait(len(group.replicas), 20_000) == len(group.replicas)


async def test_a_command_that_is_sent_again_does_not_reach_a_replica_either() -> None:
    """The connection is opened again in the middle of a command, where no pool looks at it."""
    async with sentinel_group(replicas=1, sentinels=1, down_after_ms=600_000) as group:
        primary, [replica] = group.primary, group.replicas
        async with forwarding(lambda: asyncio.open_connection("127.0.0.1", primary.port)) as address:
            redis = connect(RedisUrl(f"redis://127.0.0.1:{address.port}/0"), patience_s=0, stall_s=60)
            try:
                await redis.set("key", "value")
                await replicated(group)
                reading = asyncio.ensure_future(redis.xread({"stream": "$"}, block=0))
                assert await until(blocked_client(primary))
                address.connect = lambda: asyncio.open_connection("127.0.0.1", replica.port)
                await primary.kill()
                with pytest.raises(NotPrimary):
                    await asyncio.wait_for(reading, GOES_ON_S)
            finally:
                await redis.aclose(close_connection_pool=True)


def blocked_client(server: Server) -> Callable[[], Awaitable[bool]]:
    async def is_blocked() -> bool:
        async with server.client() as client:
            return bool((await client.info("clients"))["blocked_clients"])

    return is_blocked
