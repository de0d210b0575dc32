"""Planning by real processes: workers are killed, Redis is killed, and the plan is the one that it would have been."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from cli.embedded import EmbeddedServer
from jobs.words.states import State
from simulator import Behaviour, World
from tests.support.planning import plan_of_filter, plan_of_list, planned, true_verdicts, verdicts_of
from tests.support.worker_process import process

TOTAL = 6000


def world() -> World:
    return World(TOTAL, read_only=60, invoiced=60, invisible=30, missing=40, tagged={"trash": range(1, TOTAL, 2)})


def slow(page_limit: int = 50) -> Behaviour:
    return Behaviour(base_ms=25, page_limit=page_limit)


async def submit(redis: ArqRedis, way: str) -> str:
    if way == "filter":
        return await plan_of_filter(redis, tags=("trash",))
    return await plan_of_list(redis, range(1, TOTAL + 100))


def truth_of(portal: simulator.Portal, way: str) -> dict[str, set[int]]:
    ids = portal.world.select(tags=["trash"]) if way == "filter" else BitMap(range(1, TOTAL + 100))
    return true_verdicts(portal, ids)


async def undisturbed(redis: ArqRedis, server: EmbeddedServer, way: str, folder: Path) -> int:
    """Plan without any trouble; return the calls that it took."""
    async with simulator.running(world(), Behaviour(page_limit=50)) as portal:
        job_id = await submit(redis, way)
        async with process("crm-sweep", server, portal, folder):
            await planned(redis, job_id)
        await redis.flushall()
        return len(portal.truth.calls)


@pytest.mark.parametrize("way", ["list"])
async def test_workers_that_are_killed_cost_a_call_each(
    own_redis: ArqRedis, own_server: EmbeddedServer, tmp_path: Path, way: str
) -> None:
    expected = await undisturbed(own_redis, own_server, way, tmp_path)
    async with simulator.running(world(), slow()) as portal:
        job_id, truth = await submit(own_redis, way), portal.truth
        for number in (1, 2):
            async with process("crm-sweep", own_server, portal, tmp_path) as worker:
                await truth.until(lambda: len(truth.calls) > expected * number // 3 and truth.in_flight > 0, 30)  # noqa: B023
                worker.kill()
                await worker.wait()
        async with process("arq", own_server, portal, tmp_path):
            job = await planned(own_redis, job_id)
        assert job.state is State.AWAITING_APPROVAL, job.last_error
        assert await verdicts_of(own_redis, job_id) == truth_of(portal, way)
        assert expected < len(truth.calls) <= 1.2 * expected
        assert not truth.of_kind("delete")


@pytest.mark.parametrize("way", ["filter"])
async def test_redis_killed_and_started_again_under_a_survey(
    own_redis: ArqRedis, own_server: EmbeddedServer, tmp_path: Path, way: str
) -> None:
    async with simulator.running(world(), slow()) as portal:
        job_id, truth = await submit(own_redis, way), portal.truth
        async with process("crm-sweep", own_server, portal, tmp_path) as worker:
            for calls in (15, 30):
                await truth.until(lambda: len(truth.calls) > calls and truth.in_flight > 0, 30)  # noqa: B023
                os.kill(own_server.pid, signal.SIGKILL)
                own_server.stop()
                await asyncio.to_thread(own_server.start)
            job = await planned(own_redis, job_id)
            assert worker.returncode is None, "the same worker went on"
        assert job.state is State.AWAITING_APPROVAL, job.last_error
        assert await verdicts_of(own_redis, job_id) == truth_of(portal, way)
