"""A worker runs jobs to their end on a simulated portal: the ledger is what really happened."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.store.keys import QUEUE
from jobs.view.job import read_job
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import Behaviour, World
from tests.support.steering import control
from tests.support.sweeping import MARKS, accept, by_outcome, check_against_truth, ended, in_state, settings_of
from tests.support.waiting import until
from worker.main import working

pytestmark = MARKS


def counts(found: dict[Outcome, Any]) -> dict[str, int]:
    return {outcome.value: len(ids) for outcome, ids in found.items() if ids}


@pytest.mark.parametrize("answer_format", ["json", "xml"])
async def test_the_ledger_equals_the_truth_contact_by_contact(
    redis: ArqRedis, server: EmbeddedServer, answer_format: str
) -> None:
    world = World(2000, read_only=60, invoiced=40, invisible=30, missing=20)
    async with simulator.running(world) as portal:
        job_id = await accept(redis, range(1, 2101))
        async with working(settings_of(server, portal, answer_format=answer_format)):
            job = await ended(redis, job_id)
        assert (job.state, job.progress, job.state_reason) == (State.COMPLETED, 1.0, None)
        found = await check_against_truth(redis, portal, job_id)
    assert counts(found) == {"deleted": 1850, "not_found": 150, "refused": 100}
    assert not found[Outcome.DELETED] & (world.read_only | world.invoiced | world.invisible)


async def test_look_ups_are_few(redis: ArqRedis, server: EmbeddedServer) -> None:
    """Each batch leaves something open, and what is left open is looked up together."""
    async with simulator.running(World(2000, read_only=200)) as portal:
        job_id = await accept(redis, range(1, 2001))
        async with working(settings_of(server, portal, max_concurrency=1)):
            await ended(redis, job_id)
        assert len(portal.truth.of_kind("delete")) == 40
        assert len(portal.truth.of_kind("look_up")) <= 5


async def test_protected_contacts_never_reach_the_wire(redis: ArqRedis, server: EmbeddedServer, tmp_path: Path) -> None:
    protected = tmp_path / "protected.txt"
    protected.write_text("\n".join(str(one) for one in [*range(5, 1000, 10), 5000]))
    async with simulator.running(World(1000)) as portal:
        job_id = await accept(redis, range(1, 1001))
        async with working(settings_of(server, portal, protected_ids_file=str(protected))):
            await ended(redis, job_id)
        found = await check_against_truth(redis, portal, job_id)
        assert not portal.truth.sent & found[Outcome.PROTECTED]
    assert counts(found) == {"deleted": 900, "protected": 100}
    assert set(found[Outcome.PROTECTED]) == set(range(5, 1000, 10))


@pytest.mark.parametrize("poison_status", [400, 500])
async def test_a_poisoned_contact_holds_up_nobody_else(
    redis: ArqRedis, server: EmbeddedServer, poison_status: Any
) -> None:
    world = World(500, poisoned=[77, 78, 333])
    async with simulator.running(world, Behaviour(poison_status=poison_status)) as portal:
        job_id = await accept(redis, range(1, 501))
        async with working(settings_of(server, portal, max_attempts=2)):
            job = await ended(redis, job_id)
        found = await check_against_truth(redis, portal, job_id)
    assert counts(found) == {"deleted": 497, "failed": 3}
    assert set(found[Outcome.FAILED]) == {77, 78, 333}
    assert job.last_error


async def test_cancelling_in_the_middle_skips_the_rest_and_accounts_for_what_was_sent(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(5000, read_only=500), Behaviour(base_ms=20)) as portal:
        job_id = await accept(redis, range(1, 5001))
        async with working(settings_of(server, portal)):
            await portal.truth.until(lambda: len(portal.truth.deleted) > 500)
            assert await control(redis, job_id, Event.CANCEL, by="test") in {State.CANCELLING, State.CANCELLED}
            job = await ended(redis, job_id)
        assert job.state is State.CANCELLED
        found = await check_against_truth(redis, portal, job_id)
    assert len(found[Outcome.SKIPPED]) > 0
    assert len(found[Outcome.DELETED]) > 500
    assert not found[Outcome.PENDING]


async def test_a_pause_is_a_fact_when_nothing_is_in_flight_and_a_resume_goes_on(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(3000), Behaviour(base_ms=20)) as portal:
        job_id = await accept(redis, range(1, 3001))
        async with working(settings_of(server, portal)):
            await portal.truth.until(lambda: len(portal.truth.deleted) > 300)
            assert await control(redis, job_id, Event.PAUSE, by="test") in {State.PAUSING, State.PAUSED}
            job = await in_state(redis, job_id, State.PAUSED)
            assert job.state_reason == "operator"
            calls = len(portal.truth.calls)
            assert portal.truth.in_flight == 0
            # A lane that is woken now finds nothing to do.
            await redis.enqueue_job("drive_lane", "main", _job_id="woken in vain")
            await until(lambda: _gone(redis, "woken in vain"))
            assert len(portal.truth.calls) == calls
            await control(redis, job_id, Event.RESUME, by="test", lanes=4)
            assert (await ended(redis, job_id)).state is State.COMPLETED
        found = await check_against_truth(redis, portal, job_id)
    assert counts(found) == {"deleted": 3000}


async def _gone(redis: ArqRedis, arq_job_id: str) -> bool:
    return await redis.zscore(QUEUE, arq_job_id) is None


async def test_two_workers_keep_to_the_limit_together_and_share_the_work(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(4000, read_only=50), Behaviour(base_ms=5, per_contact_ms=0.1)) as portal:
        settings = settings_of(server, portal, max_concurrency=3)
        jobs = [await accept(redis, range(start, 4001, 2)) for start in (1, 2)]
        async with working(settings), working(settings):
            for job_id in jobs:
                await ended(redis, job_id)
        await check_against_truth(redis, portal, *jobs)
        assert 2 <= portal.truth.peak_in_flight <= 3
        assert not portal.truth.sent_again


async def test_jobs_of_two_portals_do_not_wait_for_each_other(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(200)) as portal, simulator.running(World(200)) as closed:
        closed.behaviour.change({"in_maintenance": True})
        settings = settings_of(server, portal)
        other = settings.portals["main"].model_copy(update={"name": "other", "url": closed.url})
        settings = settings.model_copy(update={"portals": {**settings.portals, "other": other}})
        async with working(settings):
            stuck = await accept(redis, range(1, 201), portal="other")
            await until(lambda: _reason(redis, stuck, "push_back"))
            job_id = await accept(redis, range(1, 201))
            await ended(redis, job_id)
            closed.behaviour.change({"in_maintenance": False})
            await ended(redis, stuck)
        assert len(closed.truth.deleted) == len(portal.truth.deleted) == 200


async def _reason(redis: ArqRedis, job_id: str, reason: str) -> bool:
    return (await read_job(redis, job_id)).state_reason == reason


async def test_a_lost_queue_is_survived_thanks_to_the_lifeline(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(3000), Behaviour(base_ms=5)) as portal:
        settings = settings_of(server, portal)
        short = settings.worker.model_copy(update={"slice_s": 1.0})
        async with working(settings.model_copy(update={"worker": short})):
            job_id = await accept(redis, range(1, 3001))
            await redis.delete(QUEUE)
            await portal.truth.until(lambda: len(portal.truth.deleted) > 500)
            await redis.delete(QUEUE)
            await ended(redis, job_id)
        await check_against_truth(redis, portal, job_id)


async def test_a_worker_that_stops_finishes_its_batches_and_leaves_no_doubt(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(2000), Behaviour(base_ms=100)) as portal:
        settings = settings_of(server, portal)
        job_id = await accept(redis, range(1, 2001))
        async with working(settings):
            await portal.truth.until(lambda: len(portal.truth.deleted) > 200 and portal.truth.in_flight > 0)
        assert portal.truth.in_flight == 0
        found = await by_outcome(redis, job_id)
        assert found[Outcome.DELETED] == portal.truth.deleted, "what was in flight was recorded"
        job = await read_job(redis, job_id)
        assert (job.state, job.state_reason) == (State.RUNNING, "no_worker")
        portal.behaviour.change({"base_ms": 0})
        async with working(settings):
            await ended(redis, job_id)
        found = await check_against_truth(redis, portal, job_id)
        assert not portal.truth.sent_again
    assert counts(found) == {"deleted": 2000}


async def test_many_small_jobs_all_end(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(1000, read_only=20)) as portal:
        async with working(settings_of(server, portal, max_concurrency=2)):
            starts = range(1, 1001, 25)
            jobs = await asyncio.gather(*(accept(redis, range(start, start + 25)) for start in starts))
            for job_id in jobs:
                await ended(redis, job_id)
        await check_against_truth(redis, portal, *jobs)
        assert not portal.truth.sent_again


async def test_garbage_in_the_queue_stops_no_worker(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(100)) as portal, working(settings_of(server, portal)):
        await redis.zadd(QUEUE, {b"\xff\xfe": 1})
        job_id = await accept(redis, range(1, 101))
        assert (await ended(redis, job_id)).state is State.COMPLETED
        await until(lambda: _dropped(redis, b"\xff\xfe"))


async def _dropped(redis: ArqRedis, member: bytes) -> bool:
    return await redis.zscore(QUEUE, member) is None
