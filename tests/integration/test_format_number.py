"""A version leaves data alone whose form it does not know, and tells the next one which form its own has."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.worker import Worker
from redis.exceptions import OutOfMemoryError

import simulator
import web.server
from cli.embedded import EmbeddedServer
from config.redis_url import RedisUrl
from config.settings import RedisConfig, Settings
from jobs.store import keys
from jobs.store.format_number import FORMAT, check_format
from jobs.store.server_check import UnsuitableServer
from simulator import World
from tests.conftest import settings_for
from tests.support.browsing import settings_with
from tests.support.serving import serving
from tests.support.sweeping import MARKS, settings_of
from worker.main import worker_options, working

pytestmark = MARKS

NEWER = FORMAT + 1


async def test_whoever_comes_first_leaves_the_number(redis: ArqRedis) -> None:
    await asyncio.gather(*(check_format(redis) for _ in range(5)))
    assert await redis.get(keys.FORMAT) == b"%d" % FORMAT
    assert await redis.ttl(keys.FORMAT) == -1


async def test_of_two_versions_that_come_first_one_gives_way(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one's number arrives between our looking and our writing."""
    look = redis.get

    async def look_and_be_late(name: str) -> Any:
        found = await look(name)
        await redis.set(keys.FORMAT, NEWER, nx=True)
        return found

    monkeypatch.setattr(redis, "get", look_and_be_late)
    with pytest.raises(UnsuitableServer):
        await check_format(redis)
    assert await look(keys.FORMAT) == b"%d" % NEWER


@pytest.mark.parametrize(
    ("found", "shown"), [(b"%d" % NEWER, str(NEWER)), (b"0", "0"), (b"one", "unknown"), (b"", "unknown")]
)
async def test_another_number_is_refused_with_what_to_do(redis: ArqRedis, found: bytes, shown: str) -> None:
    await redis.set(keys.FORMAT, found)
    with pytest.raises(UnsuitableServer, match=rf"data of format {shown}, .*knows format {FORMAT} only: install"):
        await check_format(redis)
    assert await redis.get(keys.FORMAT) == found


async def test_it_costs_one_round_trip(redis: ArqRedis) -> None:
    await check_format(redis)
    await redis.config_resetstat()
    await check_format(redis)
    stats = await redis.info("commandstats")
    assert stats["cmdstat_get"]["calls"] == 1
    assert "cmdstat_set" not in stats


async def test_a_full_server_can_still_be_read(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise OutOfMemoryError

    monkeypatch.setattr(redis, "set", full)
    await check_format(redis)
    await redis.execute_command("SET", keys.FORMAT, NEWER)
    with pytest.raises(UnsuitableServer):
        await check_format(redis)


async def test_a_worker_does_nothing_with_data_of_a_newer_version(redis: ArqRedis, server: EmbeddedServer) -> None:
    await redis.set(keys.FORMAT, NEWER)
    async with simulator.running(World(1)) as portal:
        settings = settings_of(server, portal)
        with pytest.raises(UnsuitableServer):
            async with working(settings):
                pytest.fail("it works")
        worker = Worker(**worker_options(settings), handle_signals=False)
        with pytest.raises(UnsuitableServer):
            await worker.async_run()
        await worker.pool.aclose(close_connection_pool=True)
    assert await redis.exists(keys.QUEUE, keys.JOBS) == 0


async def test_the_api_is_not_ready_for_data_of_a_newer_version(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with serving(settings_with(server), redis) as api:
        assert (await api.json("GET", "/readyz"))["ready"]
        await redis.set(keys.FORMAT, NEWER)
        [finding] = (await api.json("GET", "/readyz", status=503))["findings"]
    assert finding["reason"] == "unsuitable"
    assert "docs/upgrading.md" in finding["message"]


async def test_the_api_does_not_start_with_data_of_a_newer_version(redis: ArqRedis, server: EmbeddedServer) -> None:
    await redis.set(keys.FORMAT, NEWER)
    with pytest.raises(UnsuitableServer):
        await web.server.serve(settings_for(server), "127.0.0.1", 0, lambda _url: pytest.fail("it listens"))


async def test_an_api_that_waits_for_redis_ends_when_it_finds_data_of_a_newer_version(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.server, "_ASK_EVERY_S", 0.05)
    await redis.set(keys.FORMAT, NEWER)
    socket, listens = tmp_path / "redis.sock", asyncio.Event()
    settings = Settings(portals={}, redis=RedisConfig(url=RedisUrl(f"unix://{socket}")))
    api = asyncio.create_task(web.server.serve(settings, "127.0.0.1", 0, lambda _url: listens.set()))
    async with asyncio.timeout(20):
        await listens.wait()
        assert not api.done()
        socket.symlink_to(server.url.address.socket_path or "")
        with pytest.raises(UnsuitableServer):
            await api
