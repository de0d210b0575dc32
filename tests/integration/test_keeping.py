"""A job that keeps a bundle: nothing is deleted whose record is not kept, and the record is what was there."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from cli.embedded import EmbeddedServer
from jobs.accept.approval import ApprovalTerms
from jobs.accept.submission import CanaryTerms
from jobs.bundles.facts import BundleState
from jobs.steering.control import control
from jobs.words.filters import Filter
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import Behaviour, World
from simulator.participation import Case, Opportunity
from tests.support.keeping import calls_before_the_first_put, keeping_settings, kept_of, links_in, links_of
from tests.support.planning import plan_of_filter, planned, true_verdicts
from tests.support.sweeping import MARKS, accept, check_against_truth, ended, in_state
from worker.main import working

pytestmark = MARKS


@pytest.mark.parametrize(
    ("ids", "way"), [(range(1, 2501), "listing"), ([700, 1401], "look_ups")], ids=["listing", "look-ups"]
)
async def test_records_of_a_list_are_kept_before_anything_is_deleted(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path, ids: Sequence[int], way: str
) -> None:
    world = World(5400, varied=True, read_only=30, invoiced=20, missing=20, invisible=10, seed=5)
    async with simulator.running(world) as portal:
        links = {contact_id: links_of(world, contact_id) for contact_id in ids}
        deletable = true_verdicts(portal, ids)["deletable"]
        async with working(keeping_settings(server, portal, tmp_path)):
            job_id = await accept(redis, ids)
            job = await ended(redis, job_id)
        await check_against_truth(redis, portal, job_id)
        before = calls_before_the_first_put(portal)
        assert set(portal.truth.sent) == set(portal.truth.deleted) == deletable
    manifest, records = await kept_of(tmp_path, job_id)
    assert set(records) == deletable
    assert {contact_id: links_in(record) for contact_id, record in records.items()} == {
        contact_id: links[contact_id] for contact_id in records
    }
    assert all("tags" in record.contact for record in records.values() if way == "look_ups")
    assert ("listing" if before.count("listing") > 1 else "look_ups") == way
    assert (manifest.job, manifest.portal, manifest.total) == (job_id, "main", len(ids))
    assert job.bundle is not None
    assert (job.bundle.state, job.bundle.contacts) == (BundleState.KEPT, len(deletable))
    assert job.bundle.bytes == manifest.stored_bytes == sum(kept.stored_bytes for kept in manifest.objects)
    assert job.bundle.expires_at is not None
    assert job.planning is None


async def test_a_record_is_what_the_listing_gave(redis: ArqRedis, server: EmbeddedServer, tmp_path: Path) -> None:
    """By the listing and by look-ups, the record of a contact is the same."""
    by_way = []
    for ids in (range(1, 301), [7]):
        world = World(300, varied=True, missing=[299])
        async with simulator.running(world) as portal, working(keeping_settings(server, portal, tmp_path)):
            job_id = await accept(redis, ids)
            await ended(redis, job_id)
        by_way.append((await kept_of(tmp_path, job_id))[1][7])
    listed, looked_up = by_way
    assert looked_up.contact.pop("tags", []) == listed.contact.pop("tags", [])
    assert listed == looked_up
    assert len(listed.contact) >= 20


async def test_a_filter_s_job_keeps_what_still_matches(redis: ArqRedis, server: EmbeddedServer, tmp_path: Path) -> None:
    """What does not match any more when its record would be kept is left alone, like at a late start."""
    world = World(3000, tagged={"trash": range(1, 2001), "vip": range(100, 120)}, read_only=[5], invoiced=[6])
    async with simulator.running(world) as portal:
        settings = keeping_settings(server, portal, tmp_path, protected_tags=("vip",))
        async with working(settings):
            job_id = await plan_of_filter(redis, Filter(tags=("trash",)))
            job = await planned(redis, job_id)
            assert job.plan is not None
            world.tagged["trash"] -= BitMap(range(10, 20))
            world.tagged["vip"].update(range(200, 203))
            world.settle()
            await control(redis, job_id, Event.APPROVE, by="me", terms=ApprovalTerms(digest=job.plan.digest))
            job = await ended(redis, job_id)
        left_alone = {5, 6, *range(10, 20), *range(100, 120), *range(200, 203)}
        assert set(portal.truth.deleted) == set(range(1, 2001)) - left_alone
        await check_against_truth(redis, portal, job_id)
    _, records = await kept_of(tmp_path, job_id)
    assert set(records) == set(portal.truth.deleted)
    assert job.counts[Outcome.SKIPPED] == 10
    assert job.counts[Outcome.PROTECTED] == 23


async def test_a_contact_that_comes_after_the_bundle_is_not_deleted(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    world = World(500, missing=range(110, 130), read_only=range(50, 60))
    async with simulator.running(world) as portal:
        async with working(keeping_settings(server, portal, tmp_path)):
            job_id = await accept(redis, range(1, 501), canary=CanaryTerms(contacts=5, confirm=True))
            job = await in_state(redis, job_id, State.PAUSED)
            assert job.bundle is not None
            assert job.bundle.state is BundleState.KEPT
            portal.truth.create(range(110, 130))
            world.read_only.clear()
            world.settle()
            await control(redis, job_id, Event.RESUME, by="me")
            job = await ended(redis, job_id)
        assert not set(portal.truth.sent) & {*range(110, 130), *range(50, 60)}
        await check_against_truth(redis, portal, job_id)
    assert job.counts[Outcome.SKIPPED] == 30
    assert job.counts[Outcome.DELETED] == 470


async def test_opportunities_with_the_same_title_are_all_read(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    """Their listing has no order without ties, so its pages overlap and leave gaps."""
    deals = [Opportunity(number, f"Deal {number % 3}", number % 40 + 1) for number in range(1, 61)]
    cases = [Case(number, "Case") for number in range(1, 31)]
    for number, case in enumerate(cases):
        case.members.update([number % 40 + 1, number % 7 + 1])
    world = World(40, opportunities=deals, cases=cases)
    async with simulator.running(world, Behaviour(page_limit=10)) as portal:
        links = {contact_id: links_of(world, contact_id) for contact_id in range(1, 41)}
        async with working(keeping_settings(server, portal, tmp_path)):
            job_id = await accept(redis, range(1, 41))
            await ended(redis, job_id)
    _, records = await kept_of(tmp_path, job_id)
    assert {contact_id: links_in(record) for contact_id, record in records.items()} == links


async def test_many_jobs_that_take_turns_do_not_make_a_worker_forget_what_it_has_read(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    async with simulator.running(World(600), Behaviour(page_limit=100)) as portal:
        async with working(keeping_settings(server, portal, tmp_path)):
            jobs = [await accept(redis, range(first, 601, 30)) for first in range(1, 31)]
            for job_id in jobs:
                await ended(redis, job_id)
        calls = len(portal.truth.of_kind("opportunities"))
        assert calls == len(jobs), "each bundle has its links read once"
        assert len(portal.truth.deleted) == 600
    for job_id in jobs:
        assert len((await kept_of(tmp_path, job_id))[1]) == 20
