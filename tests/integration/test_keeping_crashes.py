"""Workers that die while a bundle is made: after every step, before and after it is recorded."""

import itertools
import random

import pytest
from arq.connections import ArqRedis
from obstore.store import MemoryStore

import simulator
from jobs.bundles.manifest import KeptObject
from jobs.bundles.reader import read_records
from jobs.bundles.store import BundleStore
from jobs.lanes import presence
from jobs.ledger.items import Call
from jobs.store import keys
from jobs.view.job import read_job
from simulator import Behaviour, World
from simulator.participation import Case, Opportunity
from tests.support.bundles import IDENTITIES, records_in
from tests.support.keeping import Process, links_in, links_of
from tests.support.lanes import accept
from tests.support.planning import true_verdicts
from tests.support.sweeping import MARKS, PORTAL

pytestmark = MARKS

TOTAL = 240


def world() -> World:
    deals = [Opportunity(number, f"Deal {number % 4}", 7 * number) for number in range(1, 13)]
    cases = [Case(number, f"Case {number}") for number in range(1, 9)]
    for number, case in enumerate(cases, 1):
        case.members.update([number, 20 * number])
    return World(
        TOTAL, varied=True, read_only=[9], invoiced=[10], missing=range(50, 60), opportunities=deals, cases=cases
    )


async def forget_keeper(redis: ArqRedis, job_id: str) -> None:
    """Let any worker take the next step."""
    await redis.execute_command("HDEL", keys.job(job_id), "keeper")


async def ids_in(store: BundleStore, kept: KeptObject) -> list[int]:
    """Return the contact IDs in one object."""
    return [record.contact["id"] for record in await read_records(store, kept, IDENTITIES)]


async def finish(redis: ArqRedis, portal: simulator.Portal, store: BundleStore, first: int = 0) -> int:
    """Have undisturbed workers take all steps that are left; return how many there were."""
    process, steps = Process(redis, portal, store, f"last{first}"), 0
    while (batch := await process.take(Call.SURVEY)) is not None:
        assert await process.record(batch, await process.step(batch))
        steps += 1
        [job_id] = [one.decode() for one in await redis.zrange(keys.JOBS, 0, 0)]
        job = await read_job(redis, job_id)
        assert job.bundle is not None
        if job.bundle.state == "kept":
            break
    await process.die()
    return steps


async def check(redis: ArqRedis, portal: simulator.Portal, store: BundleStore, job_id: str) -> None:
    """Check that the bundle is complete and true, and that PUTs are handed out now."""
    manifest, records = await records_in(store, job_id)
    found = {record.contact["id"]: record for record in records}
    assert len(found) == len(records)
    assert set(found) == true_verdicts(portal, range(1, TOTAL + 50))["deletable"]
    assert all(links_in(record) == links_of(portal.world, one) for one, record in found.items())
    assert [kept.part for kept in manifest.objects] == list(range(len(manifest.objects)))
    assert not portal.truth.of_kind("delete")
    process = Process(redis, portal, store, "sender")
    assert await process.take(Call.PUT) is not None
    await process.die()


@pytest.mark.parametrize("recorded", [False, True], ids=["before it is recorded", "after"])
async def test_a_worker_dies_at_every_step(redis: ArqRedis, recorded: bool) -> None:
    """Each step is the last one of its worker. Some end a slice, so that checkpoints are where they may be."""
    async with simulator.running(world(), Behaviour(page_limit=50)) as portal:
        store = BundleStore(MemoryStore())
        job_id = await accept(redis, range(1, TOTAL + 50), undo=True)
        whole = await finish(redis, portal, store)
        await check(redis, portal, store, job_id)
        for dies_at in range(whole + 3):
            await redis.flushall()
            store = BundleStore(MemoryStore())
            job_id = await accept(redis, range(1, TOTAL + 50), undo=True)
            victim = Process(redis, portal, store, "victim")
            for step in range(dies_at + 1):
                batch = await victim.take()
                if batch is None:
                    break
                stepped = await victim.step(batch, is_last=step % 3 == 2)
                if step == dies_at and not recorded:
                    break
                assert await victim.record(batch, stepped)
                bundle = (await read_job(redis, job_id)).bundle
                if bundle is not None and bundle.state == "kept":
                    break
            await victim.die()
            await forget_keeper(redis, job_id)  # nobody has to wait for the dead
            bundle = (await read_job(redis, job_id)).bundle
            if bundle is None or bundle.state != "kept":
                await finish(redis, portal, store)
            await check(redis, portal, store, job_id)


async def test_workers_take_turns_and_die_at_random(redis: ArqRedis) -> None:
    rng = random.Random(7)
    async with simulator.running(world(), Behaviour(page_limit=20)) as portal:
        store = BundleStore(MemoryStore())
        job_id = await accept(redis, range(1, TOTAL + 50), undo=True)
        names = iter(range(10_000))
        workers = [Process(redis, portal, store, f"w{next(names)}") for _ in range(3)]
        for _ in range(400):
            at = rng.randrange(3)
            await forget_keeper(redis, job_id)  # the worst order of turns
            batch = await workers[at].take()
            assert batch is not None
            stepped = await workers[at].step(batch, is_last=rng.random() < 0.3)
            dies = rng.random() < 0.15
            if not dies or rng.random() < 0.5:
                assert await workers[at].record(batch, stepped)
            if dies:
                await workers[at].die()
                workers[at] = Process(redis, portal, store, f"w{next(names)}")
            bundle = (await read_job(redis, job_id)).bundle
            if bundle is not None and bundle.state == "kept":
                break
        else:
            raise AssertionError("the bundle is not finished after 400 steps")
        for worker in workers:
            await worker.die()
        await check(redis, portal, store, job_id)


async def test_what_another_worker_has_written_meanwhile_is_not_written_again(redis: ArqRedis) -> None:
    async with simulator.running(world(), Behaviour(page_limit=20)) as portal:
        store = BundleStore(MemoryStore())
        job_id = await accept(redis, range(1, TOTAL + 50), undo=True)
        one, other = Process(redis, portal, store, "one"), Process(redis, portal, store, "other")
        for turn, (worker, steps) in enumerate(((one, 6), (other, 7), (one, 1), (other, 1))):
            for step in range(steps):
                await forget_keeper(redis, job_id)
                batch = await worker.take()
                assert batch is not None
                stepped = await worker.step(batch, is_last=turn > 0 and step == steps - 1)
                assert await worker.record(batch, stepped)
        await one.die()
        await other.die()
        await finish(redis, portal, store)
        await check(redis, portal, store, job_id)


@pytest.mark.parametrize("steps", range(0, 49, 6))
async def test_a_page_is_not_lost_whose_contacts_are_asked_about_one_by_one(redis: ArqRedis, steps: int) -> None:
    """There are so many opportunities that asking each contact for its own takes fewer calls."""
    deals = [Opportunity(one, f"Deal {one}", one % 40 + 1 if one < 200 else 0) for one in range(1, 401)]
    few = World(40, opportunities=deals, missing=[3])
    async with simulator.running(few, Behaviour(page_limit=8)) as portal:
        store = BundleStore(MemoryStore())
        job_id = await accept(redis, range(1, 41), undo=True)
        victim = Process(redis, portal, store, "victim")
        for step in range(steps):
            batch = await victim.take()
            assert batch is not None
            assert await victim.record(batch, await victim.step(batch, is_last=step == steps - 1))
        await victim.die()
        await forget_keeper(redis, job_id)
        await finish(redis, portal, store)
        assert len(portal.truth.of_kind("opportunities")) < 60
        _, records = await records_in(store, job_id)
        found = {record.contact["id"]: record for record in records}
        assert len(records) == len(found) == 39
        assert {one: links_in(record) for one, record in found.items()} == {one: links_of(few, one) for one in found}


async def test_the_border_of_a_segment_within_a_page_loses_nothing(redis: ArqRedis) -> None:
    border = 65_536
    sparse = World(border + 400, missing=range(1, border - 300))
    ids = range(1, border + 401)
    async with simulator.running(sparse, Behaviour(page_limit=90)) as portal:
        for dies_at, flushes in itertools.product((5, 6, 7, 8), (False, True)):
            await redis.flushall()
            store = BundleStore(MemoryStore())
            job_id = await accept(redis, ids, undo=True)
            victim = Process(redis, portal, store, "victim")
            for step in range(dies_at):
                batch = await victim.take()
                assert batch is not None
                assert await victim.record(batch, await victim.step(batch, is_last=flushes and step == dies_at - 1))
            await victim.die()
            await forget_keeper(redis, job_id)
            await finish(redis, portal, store)
            manifest, records = await records_in(store, job_id)
            found = [record.contact["id"] for record in records]
            assert found == list(range(border - 300, border + 401))
            assert {kept.segment for kept in manifest.objects} == {0, 1}
            for kept in manifest.objects:
                assert {one <= border for one in await ids_in(store, kept)} == {kept.segment == 0}


async def test_the_steps_of_a_bundle_are_left_to_the_worker_that_has_read(redis: ArqRedis) -> None:
    """Two workers do not read the same twice, unless one of them falls silent."""
    async with simulator.running(world(), Behaviour(page_limit=50)) as portal:
        store = BundleStore(MemoryStore())
        job_id = await accept(redis, range(1, TOTAL + 50), undo=True)
        one, other = Process(redis, portal, store, "one"), Process(redis, portal, store, "other")
        for name in ("one", "other"):
            await presence.beat(redis, name, [PORTAL], {PORTAL: "same"})
        batch = await one.take()
        assert batch is not None
        assert await one.record(batch, await one.step(batch))
        assert await other.take() is None
        batch = await one.take()
        assert batch is not None
        assert await one.record(batch, await one.step(batch, is_last=True))
        batch = await other.take()
        assert batch is not None, "a slice has ended: anybody can go on"
        assert await other.record(batch, await other.step(batch))
        assert await one.take() is None
        await presence.leave(redis, "other", {PORTAL: "same"})
        batch = await one.take()
        assert batch is not None, "the other one has died"
        assert await one.record(batch, await one.step(batch))
        await presence.beat(redis, "other", [PORTAL], {PORTAL: "same"})
        assert await other.take() is None
        await redis.execute_command("HSET", keys.job(job_id), "keeper_until_ms", 1)
        assert await other.take() is not None, "the first one has been silent for too long"
        await one.die()
        await other.die()
