"""Plans of scheduled jobs on a simulated portal: approved without a person, or waiting for one with a reason."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from config.settings import Settings, WorkerConfig
from jobs.schedules.keeper import Keeper
from jobs.schedules.policy import Hold
from jobs.schedules.start import start_by_hand
from jobs.schedules.view import read_schedules
from jobs.steering.steer import steer_job
from jobs.steering.switch import Switch, switch
from jobs.view.job import Job, read_job
from jobs.words.errors import SecondPerson
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import World
from tests.conftest import settings_for
from tests.support.planning import planned
from tests.support.scheduling import DAY_MS, NOON_MS, jobs_of, schedule, shown, started
from tests.support.sweeping import EAGER, MARKS, check_against_truth, ended, in_state, portal_settings
from worker.main import working

pytestmark = MARKS

FIRST = "daily-20261126T1200Z"
TRASH = range(10, 60)
#: Enough for all that is tagged.
LIMITS: dict[str, Any] = {"max_contacts": 50, "max_share": 0.1}


@asynccontextmanager
async def scene(
    server: EmbeddedServer,
    *,
    trash: Iterable[int] = TRASH,
    guards: dict[str, Any] | None = None,
    world: dict[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[tuple[simulator.Portal, Settings]]:
    """Run a portal with 500 contacts, and a worker that plans and deletes but keeps no schedules."""
    async with simulator.running(World(500, tagged={"trash": trash}, **(world or {}))) as portal:
        settings = settings_for(
            server,
            portal_settings(portal, **(guards or {})),
            worker=WorkerConfig(**EAGER),
            schedules=(schedule(**LIMITS | changes),),
        )
        async with working(settings.model_copy(update={"schedules": ()})):
            yield portal, settings


async def decided(redis: ArqRedis, keeper: Keeper, at_ms: int = NOON_MS) -> Job:
    """Wait until the plan of the first job stands, and have the schedule's keeper decide."""
    await planned(redis, FIRST)
    await keeper.look(at_ms)
    return await read_job(redis, FIRST)


async def test_what_is_within_the_limits_is_deleted_without_a_person(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with scene(server) as (portal, settings):
        await started(redis, settings)
        await planned(redis, FIRST)
        await asyncio.gather(*(Keeper(redis, settings).look(NOON_MS + 1) for _ in range(10)))
        job = await ended(redis, FIRST)
        await check_against_truth(redis, portal, FIRST)
        assert set(portal.truth.deleted) == set(TRASH)
    assert [(action.by, action.action) for action in job.actions] == [
        ("schedule daily", "submit"),
        ("schedule daily", "approve"),
    ]
    assert (job.state, job.counts[Outcome.DELETED]) == (State.COMPLETED, 50)
    assert (await shown(redis, settings)).waits_for is None


@pytest.mark.parametrize(
    ("changes", "hold"),
    [
        ({"max_contacts": 49}, Hold.MAX_CONTACTS),
        ({"max_share": 0.099}, Hold.MAX_SHARE),
        ({"max_contacts": 0, "max_share": 0}, Hold.NOT_AUTOMATIC),
        ({"filter": {"tags": ["trash"], "without_tags": ["vpi"]}}, Hold.WARNINGS),
        ({"guards": {"max_share": 0.05}}, Hold.WARNINGS),
        ({"guards": {"second_person_above": 49}}, Hold.SECOND_PERSON),
    ],
)
async def test_what_is_not_waits_for_a_person_and_says_why(
    redis: ArqRedis, server: EmbeddedServer, changes: dict[str, Any], hold: Hold
) -> None:
    async with scene(server, **changes) as (portal, settings):
        keeper = await started(redis, settings)
        job = await decided(redis, keeper)
        await keeper.look(NOON_MS + 1)
        assert (job.state, job.state_reason) == (State.AWAITING_APPROVAL, "approval")
        assert not portal.truth.of_kind("delete")
    view = await shown(redis, settings)
    assert (view.waits_for, bool(view.explanation)) == (hold, True)


async def test_a_person_approves_what_waits(redis: ArqRedis, server: EmbeddedServer) -> None:
    """The second person, too: a schedule submitted it, so any person will do."""
    async with scene(server, guards={"second_person_above": 10}) as (portal, settings):
        job = await decided(redis, await started(redis, settings))
        assert job.plan
        await steer_job(redis, settings, FIRST, Event.APPROVE, by="cli:me", digest=job.plan.digest)
        await ended(redis, FIRST)
        assert set(portal.truth.deleted) == set(TRASH)


async def test_whoever_started_it_by_hand_is_no_second_person(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with scene(server, guards={"second_person_above": 10}) as (_, settings):
        job_id = await start_by_hand(redis, settings, "daily", by="cli:me")
        job = await planned(redis, job_id)
        assert job.plan
        await Keeper(redis, settings).look()
        assert (await shown(redis, settings)).waits_for == Hold.SECOND_PERSON
        with pytest.raises(SecondPerson):
            await steer_job(redis, settings, job_id, Event.APPROVE, by="cli:me", digest=job.plan.digest)


async def test_while_deletions_are_stopped_nothing_is_approved(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with scene(server) as (portal, settings):
        portals = list(settings.portals.values())
        await switch(redis, Switch.STOP, portals, of_all=True, by="cli:me")
        keeper = await started(redis, settings)
        assert (await decided(redis, keeper)).state is State.AWAITING_APPROVAL
        assert (await shown(redis, settings)).waits_for == Hold.STOPPED
        await switch(redis, Switch.START, portals, of_all=True, by="cli:me")
        await keeper.look(NOON_MS + 1)
        await ended(redis, FIRST)
        assert set(portal.truth.deleted) == set(TRASH)


async def test_a_guard_that_came_after_the_plan_holds(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with scene(server) as (portal, settings):
        await started(redis, settings)
        stricter = settings_for(server, portal_settings(portal, max_share=0.05), schedules=settings.schedules)
        await decided(redis, Keeper(redis, stricter))
        view = await shown(redis, stricter)
    assert view.waits_for == Hold.GUARD
    assert view.explanation
    assert "max_share" in view.explanation


async def test_a_filter_that_was_changed_since_the_plan_lets_it_wait(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with scene(server) as (_, settings):
        await started(redis, settings)
        changed = settings.model_copy(update={"schedules": (schedule(**LIMITS, filter={"tags": ["other"]}),)})
        await decided(redis, Keeper(redis, changed))
    assert (await shown(redis, changed)).waits_for == Hold.SCHEDULE_CHANGED


async def test_a_plan_without_anything_to_delete_needs_nobody(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with scene(server, world={"read_only": TRASH}, max_contacts=0, max_share=0) as (portal, settings):
        await decided(redis, await started(redis, settings))
        job = await ended(redis, FIRST)
        assert not portal.truth.of_kind("delete")
    assert (job.state, job.counts[Outcome.REFUSED]) == (State.COMPLETED, 50)


async def test_a_filter_that_matches_nothing_is_done_at_once(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with scene(server, trash=()) as (_, settings):
        await started(redis, settings)
        job = await ended(redis, FIRST)
    assert (job.state, job.total) == (State.COMPLETED, 0)


async def test_a_plan_that_expired_unattended_makes_room_for_the_next_job(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with scene(server, max_contacts=0, max_share=0) as (_, settings):
        keeper = await started(redis, settings)
        assert (await decided(redis, keeper)).plan
        await keeper.look(NOON_MS + DAY_MS)
        assert (await jobs_of(redis), (await shown(redis, settings)).skipped) == ([FIRST], 1)
        await keeper.look(NOON_MS + 4 * DAY_MS)  # later than plan_valid_h
        assert await jobs_of(redis) == ["daily-20261130T1200Z", FIRST]
        job = await in_state(redis, FIRST, State.CANCELLED)
    assert (job.actions[-1].by, job.actions[-1].action) == ("schedule daily", "cancel")
    assert job.counts[Outcome.SKIPPED] == 50


async def test_workers_keep_their_schedules_by_themselves(redis: ArqRedis, server: EmbeddedServer) -> None:
    """Two workers as users run them; nobody passes the time in, so the start is by hand."""
    async with scene(server) as (portal, settings), working(settings), working(settings):
        job_id = await start_by_hand(redis, settings, "daily", by="cli:me")
        job = await ended(redis, job_id)
        await check_against_truth(redis, portal, job_id)
        assert set(portal.truth.deleted) == set(TRASH)

        [view] = await read_schedules(redis, settings.schedules)
        assert view.waits_for is None
    assert [(action.by, action.action) for action in job.actions] == [
        ("cli:me", "submit"),
        ("schedule daily", "approve"),
    ]


async def test_a_look_that_goes_wrong_does_not_end_the_looking(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    """Neither a bug nor an outage: the next look does what this one did not."""
    wrong: list[Exception] = [ConnectionError("away"), ValueError("a bug")]
    look = Keeper.look

    async def sometimes(keeper: Keeper) -> None:
        if wrong:
            raise wrong.pop()
        await look(keeper)

    monkeypatch.setattr(Keeper, "look", sometimes)
    async with scene(server) as (portal, settings), working(settings):
        await ended(redis, await start_by_hand(redis, settings, "daily", by="cli:me"))
        assert set(portal.truth.deleted) == set(TRASH)
    events = [msgspec.json.decode(line)["event"] for line in log.getvalue().splitlines()]
    assert "schedules_failed" in events
    assert "redis_away" in events
