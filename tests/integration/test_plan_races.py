"""Between a plan and its end: gates that open late, workers that die, portals that refuse to be asked again."""

from typing import Any

from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from cli.embedded import EmbeddedServer
from jobs.lanes.lease import rescue
from jobs.steering.control import control
from jobs.steering.steer import steer_job
from jobs.steering.switch import Switch, switch
from jobs.store import keys
from jobs.view.job import read_job
from jobs.words.outcomes import Code
from jobs.words.states import Event, State
from simulator import Behaviour, Fault, World
from tests.support.lanes import lapse, lines_of, start_lane, take, terms
from tests.support.planning import plan_of_filter, plan_of_list, planned
from tests.support.sweeping import MARKS, PORTAL, ended, settings_of
from worker.main import working

pytestmark = MARKS


async def approved(redis: ArqRedis, server: EmbeddedServer, portal: simulator.Portal, job_id: str, **more: Any) -> Any:
    """Plan a job and approve what the plan says; return the settings that it was done with."""
    settings = settings_of(server, portal, **more)
    async with working(settings):
        job = await planned(redis, job_id)
    assert job.plan
    await steer_job(redis, settings, job_id, Event.APPROVE, by="ben", digest=job.plan.digest)
    return settings


async def test_a_campaign_that_was_held_is_looked_at_again_when_it_may_go_on(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(100, tagged={"trash": range(1, 51)})) as portal:
        main = [settings_of(server, portal).portals[PORTAL]]
        await switch(redis, Switch.STOP, main, of_all=False, by="anna")
        job_id = await plan_of_filter(redis, tags=("trash",))
        settings = await approved(redis, server, portal, job_id, recheck_after_s=0.0)
        async with working(settings):
            listed = len(portal.truth.of_kind("listing"))
            other = await plan_of_filter(redis, tags=("trash",), without_tags=("vip",))
            await planned(redis, other)  # by now, the lane has looked at the held job as well
            assert (await read_job(redis, job_id)).state_reason == "stopped"
            assert len(portal.truth.of_kind("listing")) > listed
            portal.world.tagged["trash"] -= BitMap(range(1, 26))
            await switch(redis, Switch.START, main, of_all=False, by="anna")
            done = await ended(redis, job_id)
        assert set(portal.truth.sent) == set(range(26, 51))
        assert done.counts["skipped"] == 25  # type: ignore[index]


async def test_a_portal_that_refuses_to_be_asked_again_is_not_asked_without_a_rest(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(100, tagged={"trash": range(1, 51)})) as portal:
        job_id = await plan_of_filter(redis, tags=("trash",))
        settings = await approved(
            redis, server, portal, job_id, recheck_after_s=0.0, backoff_base_s=30.0, backoff_max_s=60.0
        )
        portal.faults.rules.append(Fault(fault="error", calls=["listing"], status=400, next_calls=1))
        async with working(settings):
            await portal.truth.until(lambda: portal.truth.of_kind("listing")[-1].status == 400)
            await control(redis, job_id, Event.CANCEL, by="ben")
            done = await ended(redis, job_id)
        assert (done.state, done.counts["skipped"]) == (State.CANCELLED, 50)  # type: ignore[index]
        assert done.last_error
        assert not portal.truth.sent


async def test_no_name_stays_of_a_plan_for_a_portal_that_has_moved(redis: ArqRedis, server: EmbeddedServer) -> None:
    world = World(3000, tagged={"trash": range(1, 3001)})
    async with simulator.running(world, Behaviour(page_limit=50)) as portal:
        settings = settings_of(server, portal, requests_per_second=20.0, burst=1)
        job_id = await plan_of_filter(redis, tags=("trash",))
        address = settings.portals[PORTAL].address
        await redis.execute_command("HSET", keys.job(job_id), "address", address)
        async with working(settings):
            await portal.truth.until(lambda: len(portal.truth.calls) > 5)
        moved = settings_of(server, portal, url=portal.url.replace("127.0.0.1", "localhost"))
        async with working(moved):
            done = await ended(redis, job_id)
        assert (done.state, done.state_reason) == (State.FAILED, "portal_changed")
        assert not await redis.execute_command("HEXISTS", keys.job(job_id), "survey")


async def test_what_the_plan_never_let_leave_is_not_presumed_deleted(redis: ArqRedis, server: EmbeddedServer) -> None:
    """A worker dies with a batch of which a part would never have been sent."""
    world = World(40, read_only=range(1, 5), missing=range(5, 11))
    async with simulator.running(world) as portal:
        job_id = await plan_of_list(redis, range(1, 31))
        settings = await approved(redis, server, portal, job_id)
        conditions = (await redis.execute_command("HGET", keys.job(job_id), "plan_conditions")).decode()
        dead = await start_lane(redis, "dead")
        assert (await take(dead, terms(conditions=conditions, batch_size=50))).size == 30
        await lapse(redis, "dead")
        await rescue(redis, PORTAL, 0.0)
        async with working(settings):
            await ended(redis, job_id)
        lines = {line.contact_id: (line.code, line.attempts) for line in await lines_of(redis, job_id)}
    assert {lines[one] for one in range(5, 11)} == {(Code.NOT_FOUND, 0)}
    assert {lines[one] for one in range(1, 5)} == {(Code.READ_ONLY, 0)}
    assert {lines[one][0] for one in range(11, 31)} == {Code.DELETED}


async def test_a_doubtful_contact_that_is_protected_by_now_is_left_alone_and_says_why(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    lie = Fault(fault="reset", calls=["delete"], when="before", next_calls=1)
    world = World(40, tagged={"trash": range(1, 21), "vip": range(40, 41)})
    async with simulator.running(world, Behaviour(), [lie]) as portal:
        job_id = await plan_of_filter(redis, tags=("trash",))
        settings = await approved(redis, server, portal, job_id, protected_tags=("vip",), max_attempts=3)
        async with working(settings):
            await portal.truth.until(lambda: lie.struck >= 1)
            portal.world.tagged["vip"] |= BitMap(range(1, 6))
            await redis.execute_command("HSET", keys.job(job_id), "survey_due_ms", "1")
            done = await ended(redis, job_id)
        lines = {line.contact_id: line.code for line in await lines_of(redis, job_id)}
    assert not done.counts["failed"]  # type: ignore[index]
    gone = {one for one in range(1, 21) if one not in portal.world.alive}
    assert {lines[one] for one in set(range(1, 6)) - gone} <= {Code.PROTECTED_TAG}
    assert {lines[one] for one in gone} <= {Code.DELETED, Code.PRESUMED_DELETED}
