"""A newer version may add fields without a new format number: this one reads past them, and leaves them in place."""

import msgspec
import pytest
from arq.connections import ArqRedis
from arq.constants import job_key_prefix

import simulator
from cli.embedded import EmbeddedServer
from jobs.lanes.wake import wake_lanes
from jobs.steering.control import control
from jobs.store import keys
from jobs.view.backlog import read_backlog
from jobs.view.job import list_jobs, read_job
from jobs.view.portal import read_portals
from jobs.view.why import explain
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import World
from tests.support.sweeping import MARKS, PORTAL, accept, check_against_truth, ended, settings_of
from tests.support.write_watch import meddle
from worker.main import working

pytestmark = MARKS

ADDED = {"mood": "sunny", "n:forgiven": "0", "a_newer_thing_ms": "1795712984000"}


async def add_to(redis: ArqRedis, key: str) -> None:
    for name, value in ADDED.items():
        await meddle(redis, "HSET", key, name, value)


async def test_a_job_and_a_portal_with_more_fields_are_shown_and_carried_out(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(100, read_only=7)) as portal:
        settings = settings_of(server, portal)
        job_id = await accept(redis, range(1, 101), lanes=0)
        for key in (keys.job(job_id), keys.portal(PORTAL), keys.stats(PORTAL)):
            await add_to(redis, key)
        shown = await read_job(redis, job_id)
        assert (await list_jobs(redis)).jobs == [shown]
        assert (await explain(redis, settings, job_id)).constraint == "no_worker"
        assert [view.name for view in await read_portals(redis, settings.portals.values())] == [PORTAL]
        assert PORTAL in (await read_backlog(redis)).portals
        await control(redis, job_id, Event.PAUSE, by="me")
        await control(redis, job_id, Event.RESUME, by="me")
        await wake_lanes(redis, PORTAL, 2)
        async with working(settings):
            assert (await ended(redis, job_id)).counts[Outcome.DELETED] == 93
        await check_against_truth(redis, portal, job_id)
    left = await redis.execute_command("HMGET", keys.job(job_id), *ADDED)
    assert left == [value.encode() for value in ADDED.values()]


async def test_a_message_with_more_parts_is_taken_in(redis: ArqRedis, server: EmbeddedServer) -> None:
    await redis.enqueue_job("delete_contacts", _job_id="by-newer", portal=PORTAL, contact_ids=[1, 2, 3])
    message = msgspec.json.decode(await redis.get(job_key_prefix + "by-newer"))
    await redis.set(job_key_prefix + "by-newer", msgspec.json.encode({**message, "priority": 5, "trace": {"id": "x"}}))
    async with simulator.running(World(3)) as portal, working(settings_of(server, portal)):
        assert (await ended(redis, "by-newer")).counts[Outcome.DELETED] == 3


@pytest.mark.parametrize("state", [State.QUEUED, State.PAUSED])
async def test_a_reason_that_this_version_does_not_know_is_shown_as_it_is(
    redis: ArqRedis, server: EmbeddedServer, state: State
) -> None:
    async with simulator.running(World(3)) as portal:
        settings = settings_of(server, portal)
        job_id = await accept(redis, [1, 2, 3], lanes=0)
        if state is State.PAUSED:
            await control(redis, job_id, Event.PAUSE, by="me")
        await meddle(redis, "HSET", keys.job(job_id), "state_reason", "full_moon")
        job = await read_job(redis, job_id)
        assert job.state is state
        why = await explain(redis, settings, job_id)
        if state is State.PAUSED:
            assert (job.state_reason, why.state_reason) == ("full_moon", "full_moon")
            assert why.explanation
            await control(redis, job_id, Event.RESUME, by="me")
        await wake_lanes(redis, PORTAL, 1)
        async with working(settings):
            assert (await ended(redis, job_id)).counts[Outcome.DELETED] == 3
