"""Workers and commands with an address that names Sentinels: the primary dies, and a job goes on to its end."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

import simulator
from config.redis_url import RedisUrl
from jobs.store.connection import connect
from jobs.words.outcomes import Outcome
from jobs.words.states import State
from simulator import Behaviour, World
from tests.support.home import Home
from tests.support.sentinels import sentinel_group
from tests.support.sweeping import by_outcome, ended
from tests.support.worker_process import COMMANDS, process

pytestmark = pytest.mark.timeout(120)


@dataclass
class Behind:
    """A Redis that Sentinels know."""

    url: RedisUrl


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_job_survives_its_primary(tmp_path: Path, command: str) -> None:
    async with sentinel_group(replicas=1) as group, simulator.running(World(2000), Behaviour(base_ms=100)) as portal:
        home = Home(tmp_path, group.url())
        home.configure(main={"url": portal.url})
        listed = home.ids(*range(1, 2001))
        submitted = await asyncio.to_thread(home.cli, "submit", listed, "--portal", "main", "--yes")
        assert submitted.code == 0, submitted.stderr
        job_id = submitted.stdout.strip()
        async with process(command, Behind(RedisUrl(group.url())), portal, tmp_path) as worker:
            await portal.truth.until(lambda: len(portal.truth.deleted) > 200, 30)
            await group.primary.kill()
            new = await group.promoted(since=group.primary)
            deleted = len(portal.truth.deleted)
            await portal.truth.until(lambda: len(portal.truth.deleted) > deleted, 15)
            portal.behaviour.change({"base_ms": 0})
            redis = connect(RedisUrl(f"redis://127.0.0.1:{new.port}/0"))
            assert (await ended(redis, job_id)).state is State.COMPLETED
            assert worker.returncode is None, "the same worker went on"
        status = json.loads((await asyncio.to_thread(home.cli, "status", job_id, "--json")).stdout)
        assert sum(status["counts"].values()) == status["total"] == 2000
        # What was written last can be lost here: nobody has waited for the replica.
        assert (await by_outcome(redis, job_id))[Outcome.DELETED] <= portal.truth.deleted
        assert len(portal.truth.deleted) == 2000
        await redis.aclose(close_connection_pool=True)


async def test_check_shows_the_primary_and_every_sentinel(tmp_path: Path) -> None:
    async with sentinel_group(replicas=1) as group, simulator.running(World(10)) as portal:
        home = Home(tmp_path, group.url())
        home.configure(main={"url": portal.url})

        async def redis_findings() -> list[tuple[str, str]]:
            checked = await asyncio.to_thread(home.cli, "check", "--json")
            assert checked.code == 0, checked.stdout
            found = json.loads(checked.stdout)["findings"]
            return [(one["level"], one["message"]) for one in found if one["about"] == "redis"]

        (_, server), (_, sentinels), (level, warning) = await redis_findings()
        assert group.url() in server
        assert server.endswith(", 1 connected replica")
        assert sentinels == f"3 of 3 Sentinels name 127.0.0.1:{group.primary.port} as the primary (configuration 0)"
        assert (level, warning.partition(" (")[0]) == ("warning", "a fail-over can lose the last claims")
        await group.sentinels[1].kill()
        _, (_, sentinels), *warnings = await redis_findings()
        assert sentinels.startswith("2 of 3 Sentinels name ")
        lost = f"Sentinel 127.0.0.1:{group.sentinels[1].port} connection refused; bring it back, or take it out of "
        assert any(message.startswith(lost) for _, message in warnings)
