"""A Redis that could lose parts of the ledger is refused, or warned about."""

from collections.abc import AsyncIterator, Iterator

import pytest
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from cli.embedded import EmbeddedServer
from config.redis_url import RedisUrl
from jobs.connection import UnsuitableServer, check_server, connect


@pytest.fixture(scope="module")
def private_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server whose settings these tests may change."""
    with EmbeddedServer(tmp_path_factory.mktemp("private"), fsync="always") as server:
        yield server


@pytest.fixture
async def private(private_server: EmbeddedServer) -> AsyncIterator[ArqRedis]:
    redis = connect(private_server.url, patience_s=0)
    await redis.config_set("maxmemory-policy", "noeviction")
    await redis.config_set("appendonly", "yes")
    await redis.config_set("appendfsync", "always")
    yield redis
    await redis.aclose(close_connection_pool=True)


async def test_the_embedded_server_is_suitable_as_it_is(private: ArqRedis) -> None:
    assert await check_server(private) == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
async def test_a_server_that_evicts_is_refused_with_what_to_do(private: ArqRedis, policy: str) -> None:
    await private.config_set("maxmemory-policy", policy)
    with pytest.raises(UnsuitableServer, match=rf"maxmemory-policy {policy}.*CONFIG SET maxmemory-policy noeviction"):
        await check_server(private)


@pytest.mark.parametrize("fsync", ["everysec", "no"])
async def test_losing_the_last_second_is_warned_about(private: ArqRedis, fsync: str) -> None:
    await private.config_set("appendfsync", fsync)
    [warning] = await check_server(private)
    assert "appendfsync always" in warning


async def test_keeping_nothing_on_disk_is_warned_about(private: ArqRedis) -> None:
    await private.config_set("appendonly", "no")
    [warning] = await check_server(private)
    assert "appendonly yes" in warning


async def test_a_server_that_hides_its_settings_is_warned_about(private: ArqRedis) -> None:
    await private.execute_command("ACL", "SETUSER", "blind", "on", "nopass", "~*", "+@all", "-config")
    await private.execute_command("AUTH", "blind", "x")
    try:
        [warning] = await check_server(private)
        assert "maxmemory-policy noeviction" in warning
    finally:
        await private.connection_pool.disconnect()
        await private.acl_deluser("blind")


async def test_a_server_that_is_not_there_is_an_error_of_the_connection() -> None:
    redis = connect(RedisUrl("redis://127.0.0.1:1/0"), patience_s=0)
    with pytest.raises((RedisError, OSError)):
        await check_server(redis)
    await redis.aclose(close_connection_pool=True)


async def test_a_server_that_is_too_old_is_refused(private: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    async def old(_section: str) -> dict[str, str]:
        return {"redis_version": "6.0.16"}

    monkeypatch.setattr(private, "info", old)
    with pytest.raises(UnsuitableServer, match=r"6\.0\.16 is too old"):
        await check_server(private)
