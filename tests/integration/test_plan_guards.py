"""Guards around plans: what is not approved, or not as it was approved, never leaves."""

from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr
from pyroaring import BitMap

import simulator
from cli.embedded import EmbeddedServer
from config.settings import Portal, Settings
from jobs.accept.submission import submission_for
from jobs.accept.submit import submit
from jobs.plan.verdicts import pack
from jobs.steering.control import control as steer
from jobs.steering.steer import steer_job
from jobs.store import keys
from jobs.view.job import Job, read_job, with_sample
from jobs.words.errors import BlastRadius, PlanChanged, PlanRequired, SecondPerson
from jobs.words.filters import Filter
from jobs.words.outcomes import Outcome
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State
from jobs.words.verdicts import VerdictCode
from simulator import World
from tests.support.planning import departures_of, plan_of_filter, plan_of_list, planned
from tests.support.sweeping import MARKS, PORTAL, accept, ended, in_state, settings_of
from tests.support.waiting import until
from worker.main import working

pytestmark = MARKS


async def approve(redis: ArqRedis, settings: Settings, job: Job, *, by: str = "ben") -> None:
    """Approve a job's plan as command line, API and page do."""
    assert job.plan
    await steer_job(redis, settings, job.id, Event.APPROVE, by=by, digest=job.plan.digest)


async def plan_is_made(redis: ArqRedis, settings: Settings, job_id: str) -> Job:
    async with working(settings):
        return await planned(redis, job_id)


def portal_with(**guards: Any) -> Portal:
    return Portal(name=PORTAL, url="http://127.0.0.1", token=SecretStr("t"), **guards)


@pytest.mark.parametrize(("guards", "contacts"), [({"plan_required": True}, 1), ({"plan_above": 5}, 6)])
def test_the_door_refuses_jobs_without_a_plan(guards: dict[str, Any], contacts: int) -> None:
    portal, ids = portal_with(**guards), BitMap(range(1, contacts + 1))
    with pytest.raises(PlanRequired):
        submission_for(portal, ids, by="me")
    assert submission_for(portal, ids, by="me", plan=True).plan
    assert submission_for(portal, BitMap(), by="me", selection=Filter(everything=True)).plan


async def test_a_plan_can_be_approved_only_until_it_expires(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(30)) as portal:
        settings = settings_of(server, portal, plan_valid_h=1.0)
        job = await plan_is_made(redis, settings, await plan_of_list(redis, range(1, 31)))
        assert (job.state, job.state_reason) == (State.AWAITING_APPROVAL, StateReason.APPROVAL)
        await redis.execute_command("HSET", keys.job(job.id), "plan_expires_ms", "1")
        assert (await read_job(redis, job.id)).state_reason == StateReason.PLAN_EXPIRED
        with pytest.raises(PlanChanged, match="expired"):
            await approve(redis, settings, job)
        assert 0 < await redis.pttl(keys.sample(job.id)) <= 3_600_000
        assert not portal.truth.of_kind("delete")


async def test_a_plan_above_the_share_cannot_be_approved(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(100)) as portal:
        settings = settings_of(server, portal, max_share=0.3)
        job = await plan_is_made(redis, settings, await plan_of_list(redis, range(1, 32)))
        assert job.plan
        assert "blast_radius" in {warning.code for warning in job.plan.warnings}
        with pytest.raises(BlastRadius):
            await approve(redis, settings, job)
        fits = await plan_is_made(redis, settings, await plan_of_list(redis, range(1, 31)))
        await approve(redis, settings, fits)


async def test_another_person_has_to_approve(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(100)) as portal:
        settings = settings_of(server, portal, second_person_above=10)
        made = submission_for(settings.portals[PORTAL], BitMap(range(1, 21)), by="anna", plan=True)
        job = await plan_is_made(redis, settings, (await submit(redis, made)).job_id)
        with pytest.raises(SecondPerson):
            await approve(redis, settings, job, by="anna")
        await approve(redis, settings, job, by="ben")
        # Without a plan as well: the size alone makes it wait.
        made = submission_for(settings.portals[PORTAL], BitMap(range(1, 21)), by="anna")
        accepted = await submit(redis, made)
        assert accepted.state is State.AWAITING_APPROVAL
        with pytest.raises(SecondPerson):
            await steer_job(redis, settings, accepted.job_id, Event.APPROVE, by="anna")
        few = submission_for(settings.portals[PORTAL], BitMap(range(1, 11)), by="anna")
        assert (await submit(redis, few)).state is State.QUEUED


@pytest.mark.parametrize("change", ["protected", "cap", "tags"])
async def test_other_conditions_than_those_of_the_plan_pause_the_job(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path, change: str
) -> None:
    protected = tmp_path / "protected.txt"
    protected.write_text("7\n")
    before: dict[str, Any] = {"protected_ids_file": str(protected)}
    after: dict[str, Any] = dict(before)
    async with simulator.running(World(40)) as portal:
        settings = settings_of(server, portal, **before)
        job = await plan_is_made(redis, settings, await plan_of_list(redis, range(1, 31)))
        await approve(redis, settings, job)
        if change == "protected":
            protected.write_text("7\n8\n")
        elif change == "cap":
            after["max_contacts_per_day"] = 1000
        else:
            after["protected_tags"] = ("vip",)
        async with working(settings_of(server, portal, **after)):
            paused = await in_state(redis, job.id, State.PAUSED)
            assert paused.state_reason == StateReason.PLAN_CHANGED
        assert not portal.truth.sent
        protected.write_text("7\n")
        async with working(settings):
            await steer(redis, job.id, Event.RESUME, by="ben")
            done = await ended(redis, job.id)
        assert done.counts[Outcome.DELETED] == 29
        assert 7 not in portal.truth.sent


@pytest.mark.parametrize("tampered", ["verdicts", "segments"])
async def test_what_is_stored_is_compared_with_what_was_approved(
    redis: ArqRedis, server: EmbeddedServer, tampered: str
) -> None:
    async with simulator.running(World(40, read_only=range(1, 5))) as portal:
        settings = settings_of(server, portal)
        job = await plan_is_made(redis, settings, await plan_of_list(redis, range(1, 31)))
        other = await accept(redis, range(2, 32), portal="elsewhere")
        if tampered == "verdicts":
            await redis.execute_command("HSET", keys.verdicts(job.id), "0", pack(bytes([VerdictCode.DELETABLE]) * 30))
        else:
            await redis.execute_command(
                "HSET", keys.segments(job.id), "0", await redis.execute_command("HGET", keys.segments(other), "0")
            )
        await approve(redis, settings, job)
        async with working(settings):
            paused = await in_state(redis, job.id, State.PAUSED)
        assert paused.state_reason == StateReason.PLAN_CHANGED
        assert paused.last_error
        assert not portal.truth.sent
        assert paused.counts[Outcome.PENDING] == 30


async def test_a_late_start_leaves_alone_what_does_not_match_any_more(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(3000, tagged={"trash": range(1, 3001, 2)})) as portal:
        settings = settings_of(server, portal, recheck_after_s=0.0)
        job = await plan_is_made(redis, settings, await plan_of_filter(redis, tags=("trash",)))
        untagged, tagged = range(1, 101, 2), range(2, 102, 2)
        portal.world.tagged["trash"] -= BitMap(untagged)
        portal.world.tagged["trash"] |= BitMap(tagged)
        await approve(redis, settings, job)
        async with working(settings):
            done = await ended(redis, job.id)
        assert set(portal.truth.sent) == set(range(101, 3001, 2))
        assert done.counts[Outcome.SKIPPED] == 50
        departed = await departures_of(redis, job.id)
        assert {line["contact_id"] for line in departed} == set(untagged)
        assert {(line["outcome"], line["reason"]) for line in departed} == {("skipped", "no_longer_selected")}


async def test_a_plan_that_is_young_is_not_listed_again(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(300, tagged={"trash": range(1, 301, 2)})) as portal:
        settings = settings_of(server, portal)
        job = await plan_is_made(redis, settings, await plan_of_filter(redis, tags=("trash",)))
        listed = len(portal.truth.of_kind("listing"))
        await approve(redis, settings, job)
        async with working(settings):
            await ended(redis, job.id)
        assert len(portal.truth.of_kind("listing")) == listed


@pytest.mark.parametrize("kind", ["filter", "listing", "look_ups"])
async def test_protected_tags_are_found_while_planning_and_before_sending(
    redis: ArqRedis, server: EmbeddedServer, kind: str
) -> None:
    tagged = {"trash": BitMap(range(1, 2001)), "VIP": BitMap(range(10, 40))}
    async with simulator.running(World(2000, tagged=dict(tagged))) as portal:
        settings = settings_of(server, portal, protected_tags=("vip",), plan_sample=0)
        ids = range(1, 1501) if kind == "listing" else range(1, 60)
        if kind == "filter":
            job_id = await plan_of_filter(redis, tags=("trash",))
        else:
            job_id = await plan_of_list(redis, ids)
        job = await plan_is_made(redis, settings, job_id)
        assert job.plan
        assert job.plan.counts["protected"] == 30  # type: ignore[index]
        portal.world.tagged["VIP"] |= BitMap(range(40, 45))
        await approve(redis, settings, job)
        async with working(settings):
            done = await ended(redis, job.id)
        assert not set(portal.truth.sent) & set(range(10, 45))
        assert done.counts[Outcome.PROTECTED] == 35
        assert {line["contact_id"] for line in await departures_of(redis, job.id)} == set(range(40, 45))


async def test_a_planning_job_can_be_cancelled_and_leaves_no_personal_data(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(3000)) as portal:
        job_id = await plan_of_filter(redis, everything=True)
        portal.behaviour.change({"base_ms": 200.0})
        async with working(settings_of(server, portal)):

            async def is_under_way() -> bool:
                return bool(await redis.execute_command("HEXISTS", keys.job(job_id), "survey"))

            await until(is_under_way)
            await steer(redis, job_id, Event.CANCEL, by="me")
            done = await ended(redis, job_id)
        assert (done.state, done.plan) == (State.CANCELLED, None)
        assert (await with_sample(redis, done)).plan is None
        assert not await redis.execute_command("HEXISTS", keys.job(job_id), "survey")
        assert not await redis.exists(keys.sample(job_id))
