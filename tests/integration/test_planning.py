"""A worker plans jobs on a simulated portal: what a plan says is the truth, and only what was approved is sent."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.accept.approval import ApprovalTerms
from jobs.steering.control import control
from jobs.store import keys
from jobs.view.job import read_job, with_sample
from jobs.words.errors import DigestNeeded, PlanChanged
from jobs.words.filters import Filter
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import World
from tests.support.planning import (
    departures_of,
    plan_of_filter,
    plan_of_list,
    planned,
    true_verdicts,
    verdicts_of,
)
from tests.support.sweeping import MARKS, check_against_truth, ended, settings_of
from worker.main import working

pytestmark = MARKS


async def approve(redis: ArqRedis, job_id: str, digest: str, *, by: str = "tester", **guards: Any) -> None:
    await control(redis, job_id, Event.APPROVE, by=by, terms=ApprovalTerms(digest=digest, **guards))


@pytest.mark.parametrize(
    ("ids", "way"), [(range(1, 3101), "listing"), (range(100, 140), "look_ups"), (range(1, 100_000, 37), "listing")]
)
async def test_a_plan_of_a_list_equals_the_truth(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path, ids: range, way: str
) -> None:
    protected = tmp_path / "protected.txt"
    protected.write_text("\n".join(map(str, range(7, 4000, 50))))
    world = World(3000, read_only=60, invoiced=40, invisible=30, missing=20, seed=3)
    async with simulator.running(world) as portal:
        job_id = await plan_of_list(redis, ids)
        async with working(
            settings_of(server, portal, protected_ids_file=str(protected), plan_sample=0, lookup_url_max_chars=1000)
        ):
            job = await planned(redis, job_id)
        assert job.state is State.AWAITING_APPROVAL
        assert await verdicts_of(redis, job_id) == true_verdicts(portal, ids, protected=range(7, 4000, 50))
        assert not portal.truth.of_kind("delete")
        used = "listing" if portal.truth.of_kind("look_up") == [] else "look_ups"
        assert used == way
    plan = job.plan
    assert plan is not None
    assert sum(plan.counts.values()) == job.total == len(ids)
    assert plan.portal_total == (2950 if way == "listing" else plan.portal_total)


async def test_a_filter_becomes_a_list_with_verdicts(redis: ArqRedis, server: EmbeddedServer) -> None:
    tagged: dict[str, Iterable[int]] = {"trash": range(1, 6000, 3), "vip": range(1, 6000, 33)}
    world = World(5000, read_only=60, invoiced=40, invisible=30, missing=20, tagged=tagged)
    async with simulator.running(world) as portal:
        job_id = await plan_of_filter(redis, tags=("trash",), without_tags=("vip",))
        async with working(settings_of(server, portal)):
            job = await planned(redis, job_id)
        matching = world.visible() & (world.tagged["trash"] - world.tagged["vip"])
        assert await verdicts_of(redis, job_id) == true_verdicts(portal, matching)
    assert job.state is State.AWAITING_APPROVAL
    assert job.selection.filter == Filter(tags=("trash",), without_tags=("vip",))
    assert job.total == len(matching)
    assert job.plan is not None
    assert job.plan.portal_total == len(world.visible())
    shown = (await with_sample(redis, job)).plan
    assert shown is not None
    assert shown.sample is not None
    assert len(shown.sample) == 20
    assert {contact.contact_id for contact in shown.sample} <= set(matching)
    assert all("trash" in contact.tags for contact in shown.sample)


async def test_what_is_approved_is_what_is_sent(redis: ArqRedis, server: EmbeddedServer) -> None:
    world = World(2000, read_only=60, invoiced=40, invisible=30, missing=20)
    async with simulator.running(world) as portal:
        job_id = await plan_of_list(redis, range(1, 2051))
        async with working(settings_of(server, portal)):
            job = await planned(redis, job_id)
            assert job.plan is not None
            deletable = true_verdicts(portal, range(1, 2051))["deletable"]
            with pytest.raises(DigestNeeded):
                await approve(redis, job_id, "")
            with pytest.raises(PlanChanged):
                await approve(redis, job_id, "f" * 64)
            with pytest.raises(PlanChanged):
                await approve(redis, job_id, job.plan.digest[:11])
            assert not portal.truth.of_kind("delete")
            await approve(redis, job_id, job.plan.digest[:12])
            job = await ended(redis, job_id)
        assert set(portal.truth.sent) == deletable
        await check_against_truth(redis, portal, job_id)
        assert job.counts[Outcome.DELETED] == len(deletable)
        assert job.counts[Outcome.REFUSED] == 100
        assert await departures_of(redis, job_id) == []


async def test_contacts_that_the_plan_does_not_call_deletable_are_never_sent(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    """Rights change and invoices go between the plan and its end: only what was approved may be deleted."""
    world = World(500, read_only=range(100, 120), invoiced=range(200, 220), missing=range(300, 310))
    async with simulator.running(world) as portal:
        job_id = await plan_of_list(redis, range(1, 501))
        async with working(settings_of(server, portal)):
            job = await planned(redis, job_id)
            world.read_only.clear()
            world.invoiced.clear()
            portal.truth.create(range(300, 310))
            world.read_only.update(range(10, 15))
            world.settle()
            assert job.plan is not None
            await approve(redis, job_id, job.plan.digest)
            job = await ended(redis, job_id)
        unplanned = {*range(100, 120), *range(200, 220), *range(300, 310)}
        assert not unplanned & set(portal.truth.sent)
        departed = {
            line["contact_id"]: (line["verdict"], line["outcome"], line["reason"])
            for line in await departures_of(redis, job_id)
        }
    assert departed == {
        **dict.fromkeys(range(100, 120), ("read_only", "skipped", "not_planned")),
        **dict.fromkeys(range(200, 220), ("has_invoice", "skipped", "not_planned")),
        **dict.fromkeys(range(300, 310), ("absent", "skipped", "not_planned")),
        **dict.fromkeys(range(10, 15), ("deletable", "refused", "read_only")),
    }


async def test_a_filter_that_matches_nothing_is_completed(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(50)) as portal:
        job_id = await plan_of_filter(redis, tags=("nobody",))
        async with working(settings_of(server, portal)):
            job = await planned(redis, job_id)
    assert (job.state, job.total, job.plan, job.planning) == (State.COMPLETED, 0, None, None)


async def test_a_plan_is_forgotten_with_its_job(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(50)) as portal:
        job_id = await plan_of_list(redis, range(1, 51))
        async with working(settings_of(server, portal)):
            await planned(redis, job_id)
            assert await redis.exists(keys.sample(job_id))
            await control(redis, job_id, Event.CANCEL, by="tester")
            job = await read_job(redis, job_id)
    assert job.state is State.CANCELLED
    assert not await redis.exists(keys.sample(job_id))


async def test_an_exclusion_that_leaves_nobody_out_is_told(redis: ArqRedis, server: EmbeddedServer) -> None:
    """A slip in the name of the tag to leave out would delete just those who should stay."""
    tagged: dict[str, Iterable[int]] = {"trash": range(1, 100), "vip": range(1, 10)}
    async with simulator.running(World(200, tagged=tagged)) as portal:
        right = await plan_of_filter(redis, tags=("trash",), without_tags=("VIP",))
        slip = await plan_of_filter(redis, tags=("trash",), without_tags=("vpi",))
        async with working(settings_of(server, portal)):
            plans = [(await planned(redis, job_id)).plan for job_id in (right, slip)]
    told = [{warning.code for warning in plan.warnings} if plan else None for plan in plans]
    assert told == [set(), {"tag_without_effect"}]
