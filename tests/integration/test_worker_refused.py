"""A worker on a Redis that refuses for a while: its log says why, without a traceback, and the ledger stays true."""

import io
import json

import pytest

import simulator
from cli.embedded import EmbeddedServer
from jobs.view.job import read_job
from jobs.words.states import State
from simulator import World
from tests.support.plain_redis import plain_redis
from tests.support.refusing import WAYS
from tests.support.sweeping import MARKS, accept, check_against_truth, ended, settings_of
from tests.support.waiting import until
from worker import fleet
from worker.main import working

pytestmark = MARKS

CHOSEN = ["out of memory", "replica", "cannot save", "no right to scripts"]


@pytest.mark.parametrize("way", CHOSEN)
async def test_the_log_says_why_and_the_ledger_stays_true(
    private_server: EmbeddedServer, log: io.StringIO, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    refusing, reason = WAYS[way]
    # This portal answers within milliseconds.
    monkeypatch.setattr(fleet, "RESCUE_SETTLE_S", 1.0)
    redis = plain_redis(private_server.url)
    await redis.flushall()
    async with (
        simulator.running(World(3000)) as portal,
        working(settings_of(private_server, portal, batch_size_start=5, batch_size_max=5)),
    ):
        job_id = await accept(redis, range(1, 3001))

        async def has_begun() -> bool:
            return (await read_job(redis, job_id)).state is State.RUNNING

        async def is_told() -> bool:
            lines = [json.loads(line) for line in log.getvalue().splitlines()]
            return any(line["event"] == "redis_away" and line["error"] == reason.word for line in lines)

        await until(has_begun)
        async with refusing(private_server, redis):
            await until(is_told, timeout_s=40)
        await ended(redis, job_id)
        await check_against_truth(redis, portal, job_id)
    await redis.aclose(close_connection_pool=True)
    assert "Traceback" not in log.getvalue()
    assert "cannot be reached" not in log.getvalue()
