"""What puts the last claims at risk in a fail-over is warned about."""

from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis

from config.settings import RedisUrl
from jobs.store import replicas
from jobs.store.connection import connect
from jobs.store.replicas import Replicas, check_replicas, read_replicas, replicas_in_words
from jobs.store.server_check import check_server
from tests.support.sentinels import SentinelGroup, sentinel_group
from tests.support.waiting import until


@pytest.fixture
async def group() -> AsyncIterator[SentinelGroup]:
    async with sentinel_group(sentinels=1, options={"maxmemory-policy": "noeviction"}) as group:
        yield group


@pytest.fixture
async def redis(group: SentinelGroup) -> AsyncIterator[ArqRedis]:
    redis = connect(RedisUrl(group.url()), patience_s=0)
    yield redis
    await redis.aclose(close_connection_pool=True)


async def test_each_risk_has_its_warning(
    group: SentinelGroup, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "_SILENT_S", 60)  # a busy machine can keep a replica from saying anything for seconds
    assert await read_replicas(redis) == Replicas(connected=2, behind=0, min_to_write=0)
    [may_lose] = await check_server(redis)
    assert may_lose.startswith("a fail-over can lose the last claims (redis.min_replicas is 0)")
    more, alone = await check_replicas(redis, 1)
    assert more.startswith("Redis has 2 connected replicas, but redis.min_replicas is 1: a fail-over could promote one")
    assert more.endswith("set redis.min_replicas to 2")
    assert "set `min-replicas-to-write 1` and `min-replicas-max-lag 10`" in alone
    await redis.config_set("min-replicas-to-write", "1")
    assert await check_replicas(redis, 2) == []
    [fewer] = await check_replicas(redis, 3)
    assert fewer.startswith("Redis has 2 connected replicas, but redis.min_replicas is 3: nothing is deleted")
    await redis.config_set("min-replicas-max-lag", "0")  # switches it off
    [alone] = await check_replicas(redis, 2)
    assert "min-replicas-to-write 0" in alone
    for replica in group.replicas:
        await replica.kill()

    async def gone() -> list[str]:
        return [warning for warning in await check_replicas(redis, 0) if "has no connected replica" in warning]

    assert await until(gone)


async def test_what_the_server_does_not_tell_is_said(redis: ArqRedis) -> None:
    await redis.execute_command("ACL", "SETUSER", "default", "-config")
    _, unknown = await check_replicas(redis, 1)
    assert unknown.startswith("Redis does not report whether it accepts writes without replicas")
    await redis.execute_command("ACL", "SETUSER", "default", "-info")
    assert await check_replicas(redis, 1) == []


async def test_a_single_server_is_asked_for_nothing(redis: ArqRedis, group: SentinelGroup) -> None:
    alone = connect(RedisUrl(f"redis://127.0.0.1:{group.primary.port}/0"), patience_s=0)
    assert await check_replicas(alone, 0) == []
    await alone.aclose(close_connection_pool=True)


def test_replicas_are_counted_in_words() -> None:
    assert replicas_in_words(Replicas(1, 0, None)) == "1 connected replica"
    assert replicas_in_words(Replicas(0, 2, None)) == "0 connected replicas, 2 being brought up to date"
