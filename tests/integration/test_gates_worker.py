"""Gates with a worker and a portal: what the portal was sent, and when a held job goes on."""

from typing import Any

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from cli.embedded import EmbeddedServer
from config.settings import Settings
from jobs.accept.submission import submission_for
from jobs.accept.submit import submit
from jobs.steering.limits import set_limits
from jobs.steering.steer import steer_job
from jobs.steering.switch import Switch, switch
from jobs.store.times import server_ms
from jobs.view.job import Job, read_job
from jobs.view.portal import read_portal
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import Fault, World
from tests.support.sweeping import MARKS, PORTAL, check_against_truth, ended, in_state, portal_settings, settings_of
from tests.support.waiting import until
from worker.main import working

pytestmark = MARKS


async def queue(redis: ArqRedis, settings: Settings, ids: Any) -> str:
    return (await submit(redis, submission_for(settings.portal(PORTAL), BitMap(ids), by="me"))).job_id


async def held_by(redis: ArqRedis, job_id: str, reason: str) -> Job:
    async def look() -> Job | None:
        job = await read_job(redis, job_id)
        return job if job.state_reason == reason else None

    return await until(look)


async def until_deleted(redis: ArqRedis, job_id: str, contacts: int) -> None:
    async def look() -> bool:
        return (await read_job(redis, job_id)).counts[Outcome.DELETED] == contacts

    await until(look)


async def test_closed_windows_hold_a_job_until_they_are_opened_once(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(300)) as simulated:
        settings = settings_of(server, simulated, windows="24/7 off", timezone="Europe/Berlin")
        async with working(settings):
            job_id = await queue(redis, settings, range(1, 201))
            job = await held_by(redis, job_id, "outside_window")
            assert (job.state, job.requests.sent) == (State.QUEUED, 0)
            soon_ms = server_ms(await redis.time()) + 600_000
            await set_limits(redis, settings.portal(PORTAL), by="me", open_until_ms=soon_ms)
            assert (await ended(redis, job_id)).counts[Outcome.DELETED] == 200
            await check_against_truth(redis, simulated, job_id)


async def test_a_stop_outlives_the_worker_and_a_start_wakes_the_lanes(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(300)) as simulated:
        settings = settings_of(server, simulated)
        portals = [settings.portal(PORTAL)]
        await switch(redis, Switch.STOP, portals, of_all=True, by="me")
        async with working(settings):
            job_id = await queue(redis, settings, range(1, 201))
            await held_by(redis, job_id, "stopped")
        async with working(settings):
            assert not simulated.truth.sent
            await switch(redis, Switch.START, portals, of_all=True, by="me")
            assert (await ended(redis, job_id)).counts[Outcome.DELETED] == 200


async def test_no_more_than_the_cap_is_sent_and_protected_contacts_do_not_count(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Any
) -> None:
    protected = tmp_path / "protected.txt"
    protected.write_text("".join(f"{contact_id}\n" for contact_id in range(1, 31)))
    async with simulator.running(World(300)) as simulated:
        settings = settings_of(server, simulated, max_contacts_per_day=120, protected_ids_file=protected)
        async with working(settings):
            job_id = await queue(redis, settings, range(1, 301))
            assert (await held_by(redis, job_id, "daily_cap")).waits_until
            await until_deleted(redis, job_id, 120)
            assert len(simulated.truth.sent) == 120
            assert (await read_job(redis, job_id)).counts[Outcome.PROTECTED] == 30
            portal = await read_portal(redis, settings.portal(PORTAL))
            assert (portal.sent_today, portal.max_contacts_per_day) == (120, 120)
            await steer_job(redis, settings, job_id, Event.CANCEL, by="me")
            assert (await ended(redis, job_id)).counts[Outcome.SKIPPED] == 150
            await check_against_truth(redis, simulated, job_id)


async def test_a_retry_is_cut_to_what_the_cap_leaves(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(100), faults=[Fault(fault="error", call_numbers=[1])]) as simulated:
        settings = settings_of(server, simulated, max_contacts_per_day=70, max_concurrency=1)
        async with working(settings):
            job_id = await queue(redis, settings, range(1, 51))
            await until_deleted(redis, job_id, 20)
            await held_by(redis, job_id, "daily_cap")
            assert (await read_portal(redis, settings.portal(PORTAL))).sent_today == 70
            await steer_job(redis, settings, job_id, Event.CANCEL, by="me")
            job = await ended(redis, job_id)
            assert (job.state, job.counts[Outcome.DELETED]) == (State.CANCELLED, 20)
            await check_against_truth(redis, simulated, job_id)


async def test_a_name_that_has_moved_sends_nothing_to_its_new_address(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(100)) as old, simulator.running(World(100)) as new:
        before, after = settings_of(server, old), settings_of(server, new)
        job_id = await queue(redis, before, range(1, 101))
        async with working(after):
            job = await in_state(redis, job_id, State.PAUSED)
            assert job.state_reason == "portal_changed"
        assert not new.truth.sent
        async with working(before):
            await steer_job(redis, before, job_id, Event.RESUME, by="me")
            assert (await ended(redis, job_id)).counts[Outcome.DELETED] == 100
        assert len(old.truth.deleted) == 100


async def test_approval_begins_the_cooling_off_of_the_portal(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(100)) as simulated:
        settings = settings_of(server, simulated, approval_above=1, cooling_off_s=3600)
        async with working(settings):
            job_id = await queue(redis, settings, range(1, 101))
            await steer_job(redis, settings, job_id, Event.APPROVE, by="me")
            job = await held_by(redis, job_id, "cooling_off")
            assert job.waits_until
            await steer_job(redis, settings, job_id, Event.CANCEL, by="me")
            assert (await ended(redis, job_id)).counts[Outcome.SKIPPED] == 100
        assert not simulated.truth.sent


@pytest.mark.parametrize("plain", [True, False])
async def test_a_request_above_the_size_of_a_job_is_a_failed_job_through_arq(
    redis: ArqRedis, server: EmbeddedServer, plain: bool
) -> None:
    async with simulator.running(World(10)) as simulated:
        settings = settings_of(server, simulated, max_contacts_per_job=2)
        assert portal_settings(simulated).max_contacts_per_job == 0
        await redis.enqueue_job("delete_contacts", _job_id="large", portal=PORTAL, contact_ids=[1, 2, 3])
        if plain:
            async with working(settings):
                job = await in_state(redis, "large", State.FAILED)
        else:
            with pytest.raises(Exception, match="not possible"):
                await steer_job(redis, settings, "large", Event.PAUSE, by="me")
            job = await read_job(redis, "large")
        assert job.last_error
        assert "at most 2 in one job" in job.last_error
        assert not simulated.truth.sent
