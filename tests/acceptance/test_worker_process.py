"""Workers as real processes: told to stop, killed, and with Redis killed under them. The ledger stays true."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.store import keys
from jobs.view.job import read_job
from jobs.words.outcomes import Outcome
from jobs.words.states import State
from simulator import Behaviour, World
from tests.support.sweeping import accept, by_outcome, check_against_truth, ended
from tests.support.waiting import until
from tests.support.worker_process import COMMANDS, process

#: Leases that do not lapse although the machine is busy.
UNHURRIED = {"CRM_SWEEP_WORKER__LEASE_TTL_S": "30"}


@pytest.mark.parametrize("command", COMMANDS)
async def test_told_to_stop_it_finishes_its_batches_and_another_one_goes_on(
    own_redis: ArqRedis, own_server: EmbeddedServer, tmp_path: Path, command: str
) -> None:
    async with simulator.running(World(3000, read_only=30), Behaviour(base_ms=150)) as portal:
        job_id = await accept(own_redis, range(1, 3001), lanes=2)
        async with process(command, own_server, portal, tmp_path, UNHURRIED) as worker:
            truth = portal.truth
            await truth.until(lambda: len(truth.deleted) > 200 and truth.in_flight == 2, 30)
            worker.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                await worker.wait()
        found = await by_outcome(own_redis, job_id)
        assert found[Outcome.DELETED] == portal.truth.deleted, "every answer was recorded"
        assert await own_redis.execute_command("HGET", keys.job(job_id), "inflight") == b"0"
        portal.behaviour.change({"base_ms": 0})
        async with process(command, own_server, portal, tmp_path, UNHURRIED):
            assert (await ended(own_redis, job_id)).state is State.COMPLETED
        found = await check_against_truth(own_redis, portal, job_id)
        assert not found[Outcome.PRESUMED_DELETED]
        assert not portal.truth.sent_again
    assert len(found[Outcome.DELETED]) == 2970


async def test_killed_in_the_middle_it_costs_a_lease_and_no_contact(
    own_redis: ArqRedis, own_server: EmbeddedServer, tmp_path: Path
) -> None:
    async with simulator.running(World(3000, read_only=30), Behaviour(base_ms=150)) as portal:
        job_id = await accept(own_redis, range(1, 3001), lanes=2)
        truth = portal.truth
        async with process("crm-sweep", own_server, portal, tmp_path) as worker:
            await truth.until(lambda: len(truth.deleted) > 200 and truth.in_flight == 2, 30)
            worker.kill()
            await worker.wait()
        largest = max(call.contact_count for call in truth.of_kind("delete"))
        portal.behaviour.change({"base_ms": 0})
        async with process("arq", own_server, portal, tmp_path):
            assert (await ended(own_redis, job_id)).state is State.COMPLETED
        found = await check_against_truth(own_redis, portal, job_id)
    # Besides the batch in flight, each of the two lanes may hold one whose answer was on its way to Redis.
    assert len(found[Outcome.PRESUMED_DELETED]) <= 2 * 2 * largest
    assert len(found[Outcome.DELETED] | found[Outcome.PRESUMED_DELETED]) == 2970


async def test_the_only_driving_worker_is_killed_and_an_idle_one_goes_on(
    own_redis: ArqRedis, own_server: EmbeddedServer, tmp_path: Path
) -> None:
    """With the lease that operators have by default, and a lifeline that is far too late."""
    usual = {"CRM_SWEEP_WORKER__LEASE_TTL_S": "3", "CRM_SWEEP_WORKER__LIFELINE_S": "30"}
    async with simulator.running(World(1000, read_only=30), Behaviour(base_ms=60_000)) as portal:
        truth = portal.truth
        async with process("crm-sweep", own_server, portal, tmp_path, usual) as driving:
            await has_listeners(own_redis, 1)
            job_id = await accept(own_redis, range(1, 1001), lanes=2)
            await truth.until(lambda: truth.in_flight == 2, 30)
            async with process("crm-sweep", own_server, portal, tmp_path, usual):
                await has_listeners(own_redis, 2)
                driving.kill()
                await driving.wait()
                killed_s, calls = time.monotonic(), len(truth.calls)
                portal.behaviour.change({"base_ms": 0})
                await truth.until(lambda: len(truth.calls) > calls, 30)
                assert time.monotonic() - killed_s < 20, "long before the lifeline"
                assert (await ended(own_redis, job_id)).state is State.COMPLETED
        found = await check_against_truth(own_redis, portal, job_id)
    assert len(found[Outcome.DELETED] | found[Outcome.PRESUMED_DELETED]) == 970


async def has_listeners(redis: ArqRedis, count: int) -> None:
    """Wait until so many workers listen for new work."""

    async def listening() -> bool:
        return int((await redis.pubsub_numsub(keys.NUDGE))[0][1]) == count

    await until(listening, 30)


async def test_redis_killed_and_started_again_under_a_running_job(
    own_redis: ArqRedis, own_server: EmbeddedServer, tmp_path: Path
) -> None:
    async with simulator.running(World(3000, read_only=30), Behaviour(base_ms=100)) as portal:
        job_id = await accept(own_redis, range(1, 3001), lanes=2)
        truth = portal.truth
        async with process("crm-sweep", own_server, portal, tmp_path) as worker:
            await truth.until(lambda: len(truth.deleted) > 200 and truth.in_flight == 2, 30)
            os.kill(own_server.pid, signal.SIGKILL)
            own_server.stop()
            own_server.start()
            portal.behaviour.change({"base_ms": 5})
            assert (await ended(own_redis, job_id)).state is State.COMPLETED
            assert worker.returncode is None, "the same worker went on"
        await check_against_truth(own_redis, portal, job_id)


async def test_a_second_signal_does_not_wait(own_redis: ArqRedis, own_server: EmbeddedServer, tmp_path: Path) -> None:
    async with simulator.running(World(100), Behaviour(base_ms=600_000)) as portal:
        job_id = await accept(own_redis, range(1, 101), lanes=1)
        async with process("crm-sweep", own_server, portal, tmp_path) as worker:
            await portal.truth.until(lambda: portal.truth.in_flight > 0, 30)
            worker.send_signal(signal.SIGTERM)

            async with asyncio.timeout(15):
                while worker.returncode is None:
                    worker.send_signal(signal.SIGTERM)
                    await asyncio.wait({asyncio.ensure_future(worker.wait())}, timeout=0.5)
        assert (await read_job(own_redis, job_id)).counts[Outcome.PENDING] == 100
