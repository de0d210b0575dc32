"""A store of bundles that is away, full or refuses: the job pauses, says what to do, and loses nothing."""

import shutil
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from obstore.store import MemoryStore

import simulator
from cli.embedded import EmbeddedServer
from jobs.bundles.errors import StoreTrouble
from jobs.bundles.store import BundleStore
from jobs.steering.control import control
from jobs.store import keys
from jobs.view.job import read_job
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State
from simulator import Behaviour, World
from tests.support.bundles import records_in
from tests.support.keeping import Process, keeping_settings, kept_of
from tests.support.lanes import accept
from tests.support.sweeping import MARKS, ended, in_state
from tests.support.sweeping import accept as submit
from worker.main import working

pytestmark = MARKS


async def test_a_store_that_cannot_be_written_pauses_the_job(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    place = tmp_path / "undo"
    place.write_text("no directory")
    async with simulator.running(World(300)) as portal:
        async with working(keeping_settings(server, portal, place)):
            job_id = await submit(redis, range(1, 301))
            job = await in_state(redis, job_id, State.PAUSED)
            assert job.state_reason == StateReason.UNDO_STORE
            assert "undo store cannot be used" in (job.last_error or "")
            assert not portal.truth.of_kind("delete")
            place.unlink()
            place.mkdir()
            await control(redis, job_id, Event.RESUME, by="me")
            await ended(redis, job_id)
        assert len(portal.truth.deleted) == 300
    assert len((await kept_of(place, job_id))[1]) == 300


async def test_a_store_that_goes_away_midway_pauses_the_job_and_it_goes_on(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    """The directory is replaced by a file while the first pages are read."""
    (place := tmp_path / "undo").mkdir()
    async with simulator.running(World(300), Behaviour(page_limit=50)) as portal:
        settings = keeping_settings(server, portal, place, requests_per_second=40.0, burst=1)
        async with working(settings):
            job_id = await submit(redis, range(1, 301))
            await portal.truth.until(lambda: len(portal.truth.of_kind("listing")) > 2)
            shutil.rmtree(place)
            place.write_text("gone")
            job = await in_state(redis, job_id, State.PAUSED)
            assert job.state_reason == StateReason.UNDO_STORE
            assert not portal.truth.of_kind("delete")
            place.unlink()
            place.mkdir()
            await control(redis, job_id, Event.RESUME, by="me")
            await ended(redis, job_id)
    assert len((await kept_of(place, job_id))[1]) == 300


class Moody(BundleStore):
    """A store in memory that refuses some of what is put into it."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.refusals = 0

    async def put(self, name: str, data: bytes) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StoreTrouble("the undo store cannot be written: no space left on device")
        await super().put(name, data)


@pytest.mark.parametrize("refused_from", range(3, 10))
async def test_whatever_write_is_refused_nothing_is_lost_or_kept_twice(redis: ArqRedis, refused_from: int) -> None:
    """Every third step ends a slice. From some step on, two writes are refused: objects, or the manifest."""
    async with simulator.running(World(200), Behaviour(page_limit=40)) as portal:
        store = Moody()
        job_id = await accept(redis, range(1, 201), undo=True)
        worker = Process(redis, portal, store, "worker")
        troubles = 0
        for step in range(60):
            if step == refused_from:
                store.refusals = 2
            batch = await worker.take()
            if batch is None:
                job = await read_job(redis, job_id)
                assert (job.state, job.state_reason) == (State.PAUSED, StateReason.UNDO_STORE)
                assert "no space left" in (job.last_error or "")
                troubles += 1
                await control(redis, job_id, Event.RESUME, by="me")
                continue
            assert await worker.record(batch, await worker.step(batch, is_last=step % 3 == 2))
            if await redis.execute_command("HGET", keys.job(job_id), "bundle") == b"kept":
                break
        await worker.die()
        assert troubles == 2
        manifest, records = await records_in(store, job_id)
        assert [record.contact["id"] for record in records] == list(range(1, 201))
        assert sum(kept.contacts for kept in manifest.objects) == 200


async def test_a_bundle_whose_objects_are_lost_on_the_way_is_made_again(redis: ArqRedis) -> None:
    """The first object goes while the second one is read: without it, the bundle must not count as kept."""
    async with simulator.running(World(200), Behaviour(page_limit=40)) as portal:
        store = Moody()
        job_id = await accept(redis, range(1, 201), undo=True)
        worker = Process(redis, portal, store, "worker")
        pauses = 0
        while await redis.execute_command("HGET", keys.job(job_id), "bundle") != b"kept":
            batch = await worker.take()
            if batch is None:
                job = await read_job(redis, job_id)
                assert (job.state, job.state_reason) == (State.PAUSED, StateReason.UNDO_STORE)
                assert "undo store has lost" in (job.last_error or "")
                pauses += 1
                await control(redis, job_id, Event.RESUME, by="me")
                continue
            assert await worker.record(batch, await worker.step(batch, is_last=True))
            if not pauses:
                await store.delete((await store.names())[:1])
        await worker.die()
        assert pauses == 1
        assert len((await records_in(store, job_id))[1]) == 200
        assert not portal.truth.of_kind("delete")


async def test_a_portal_without_undo_settings_pauses_a_job_that_keeps_records(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    async with simulator.running(World(30)) as portal:
        settings = keeping_settings(server, portal, tmp_path, undo="off", undo_store="", undo_recipients=())
        async with working(settings):
            job_id = await submit(redis, range(1, 31), undo=True)
            job = await in_state(redis, job_id, State.PAUSED)
        assert job.state_reason == StateReason.UNDO_STORE
        assert "has no undo_store" in (job.last_error or "")
        assert not portal.truth.of_kind("delete")
