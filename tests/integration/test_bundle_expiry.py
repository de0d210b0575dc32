"""Bundles are destroyed when their time is up, not before, and jobs are not forgotten before their bundles."""

from pathlib import Path

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.accept.submission import CanaryTerms
from jobs.bundles.errors import BundleInUse, StoreTrouble
from jobs.bundles.expiry import destroy_bundles, destroy_expired
from jobs.bundles.facts import DAY_MS, USELESS_AFTER_MS, BundleState
from jobs.bundles.names import folder, object_name
from jobs.bundles.store import BundleStore
from jobs.ledger.retention import Forgetter
from jobs.steering.control import control
from jobs.steering.retry import retry_failed
from jobs.store import keys
from jobs.view.job import read_job
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import Behaviour, World
from tests.support.keeping import keeping_settings
from tests.support.lanes import accept as plain
from tests.support.sweeping import MARKS, PORTAL, accept, ended, in_state
from tests.support.waiting import until
from worker.main import working

pytestmark = MARKS


async def age(redis: ArqRedis, job_id: str, ms: int) -> None:
    """Make a job one that ended so long ago, and its bundle due."""
    seconds, _ = await redis.time()
    ended_ms = seconds * 1000 - ms
    await redis.zadd(keys.FINISHED, {job_id: ended_ms})
    await redis.execute_command("HSET", keys.job(job_id), "finished_ms", str(ended_ms))
    await due(redis)


async def due(redis: ArqRedis) -> None:
    for member in await redis.zrange(keys.BUNDLES, 0, -1):
        await redis.zadd(keys.BUNDLES, {member: 1})


async def destroyed(redis: ArqRedis, place: Path) -> list[str]:
    looked = await destroy_expired(redis, lambda name: BundleStore.at(str(place)) if name == PORTAL else None)
    assert not any(one.trouble for one in looked)
    return [one.job_id for one in looked]


async def _is_destroyed(redis: ArqRedis, job_id: str) -> bool:
    bundle = (await read_job(redis, job_id)).bundle
    return bundle is not None and bundle.state is BundleState.DESTROYED


async def swept(redis: ArqRedis, server: EmbeddedServer, portal: simulator.Portal, place: Path) -> str:
    async with working(keeping_settings(server, portal, place, undo_days=2.0)):
        job_id = await accept(redis, range(1, 31))
        await ended(redis, job_id)
    return job_id


async def test_a_bundle_expires_so_many_days_after_the_end_of_its_job(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    async with simulator.running(World(30)) as portal:
        job_id = await swept(redis, server, portal, tmp_path)
    await age(redis, job_id, 2 * DAY_MS - 60_000)
    assert await destroyed(redis, tmp_path) == []
    assert await Forgetter().advance(redis, 1) == []
    assert (await read_job(redis, job_id)).bundle is not None
    await age(redis, job_id, 2 * DAY_MS + 1000)
    assert await destroyed(redis, tmp_path) == [job_id]
    bundle = (await read_job(redis, job_id)).bundle
    assert bundle is not None
    assert (bundle.state, bundle.expires_at) == (BundleState.DESTROYED, None)
    assert bundle.destroyed_at is not None
    assert await BundleStore.at(str(tmp_path)).names() == []
    assert await redis.zcard(keys.BUNDLES) == 0
    assert await Forgetter().advance(redis, 1) == [job_id]
    assert not [key for key in await redis.keys("*") if job_id.encode() in key]


async def test_jobs_behind_one_whose_bundle_is_kept_are_forgotten(redis: ArqRedis) -> None:
    for number in range(45):
        await plain(redis, range(1, 3), job_id=f"j{number:02}")
        await control(redis, f"j{number:02}", Event.CANCEL, by="me")
        await age(redis, f"j{number:02}", 10 * DAY_MS - number)
        if number < 42:
            await redis.execute_command("HSET", keys.job(f"j{number:02}"), "bundle", "kept")
    forgetter = Forgetter()
    forgotten = [job_id for _ in range(4) for job_id in await forgetter.advance(redis, 1)]
    assert forgotten == ["j42", "j43", "j44"]
    await redis.execute_command("HDEL", keys.job("j00"), "bundle")
    forgotten = [job_id for _ in range(4) for job_id in await forgetter.advance(redis, 1)]
    assert forgotten == ["j00"]


async def test_a_running_job_keeps_its_bundle_whatever_its_age(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    async with simulator.running(World(30)) as portal:
        async with working(keeping_settings(server, portal, tmp_path, undo_days=0.01)):
            job_id = await accept(redis, range(1, 31), canary=CanaryTerms(contacts=2, confirm=True))
            await in_state(redis, job_id, State.PAUSED)
        await due(redis)
        assert await destroyed(redis, tmp_path) == []
        with pytest.raises(BundleInUse):
            await destroy_bundles(redis, BundleStore.at(str(tmp_path)), [PORTAL], job_id)
    assert len(await BundleStore.at(str(tmp_path)).names(folder(job_id))) == 2


async def test_what_a_cancelled_job_has_written_goes_soon_and_nothing_of_it_stays(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    """Also an object that a worker put into the store and did not live to record."""
    async with simulator.running(World(300), Behaviour(page_limit=20)) as portal:
        async with working(keeping_settings(server, portal, tmp_path, requests_per_second=50.0, burst=1)):
            job_id = await accept(redis, range(1, 301))
            await portal.truth.until(lambda: len(portal.truth.of_kind("listing")) > 3)
            await control(redis, job_id, Event.CANCEL, by="me")
            job = await ended(redis, job_id)
        assert not portal.truth.of_kind("delete")
    assert job.bundle is not None
    assert job.bundle.id is not None
    await BundleStore.at(str(tmp_path)).put(object_name(job_id, job.bundle.id, 0, "ab" * 32), b"unrecorded")
    await due(redis)
    assert await destroyed(redis, tmp_path) == []
    await age(redis, job_id, USELESS_AFTER_MS + 1000)
    assert await destroyed(redis, tmp_path) == [job_id]
    assert await BundleStore.at(str(tmp_path)).names() == []


async def test_contacts_that_are_retried_after_their_bundle_has_expired_get_another_one(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    world = World(60, poisoned=[4, 9])
    async with simulator.running(world, Behaviour(poison_status=400)) as portal:
        async with working(keeping_settings(server, portal, tmp_path, undo_days=2.0)):
            job_id = await accept(redis, range(1, 61))
            job = await ended(redis, job_id)
            first = job.bundle
            assert job.counts[Outcome.FAILED] == 2
            world.poisoned.clear()
            await age(redis, job_id, 3 * DAY_MS)
            await until(lambda: _is_destroyed(redis, job_id))  # by the worker
            await retry_failed(redis, job_id, by="me")
            job = await ended(redis, job_id)
        assert job.counts[Outcome.DELETED] == 60
    assert job.bundle is not None
    assert first is not None
    assert job.bundle.id != first.id
    assert job.bundle.state is BundleState.KEPT
    assert {one.bundle_id for one in await BundleStore.at(str(tmp_path)).bundles()} == {job.bundle.id}


async def test_a_store_that_is_away_is_tried_again(redis: ArqRedis, server: EmbeddedServer, tmp_path: Path) -> None:
    async with simulator.running(World(30)) as portal:
        job_id = await swept(redis, server, portal, tmp_path)
    await age(redis, job_id, 3 * DAY_MS)

    def away(_: str) -> BundleStore:
        raise StoreTrouble("away")

    [looked] = await destroy_expired(redis, away)
    assert (looked.job_id, looked.trouble) == (job_id, "away")
    assert await destroy_expired(redis, away) == []
    await due(redis)
    assert await destroyed(redis, tmp_path) == [job_id]
