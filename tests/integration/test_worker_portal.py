"""A fault of the portal or the account stops or holds up jobs; it never burns through contact IDs."""

from typing import Any

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.view.job import Job, read_job
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import Behaviour, World
from tests.support.lanes import lapse, start_lane, take, terms
from tests.support.steering import control
from tests.support.sweeping import MARKS, accept, check_against_truth, ended, in_state, settings_of
from tests.support.waiting import until
from worker import fleet
from worker.main import working

pytestmark = MARKS


@pytest.mark.parametrize(
    ("broken", "mended", "reason"),
    [
        ({"ip_restricted": True}, {"ip_restricted": False}, "portal_forbidden"),
        ({"unpaid": "licence"}, {"unpaid": ""}, "portal_payment"),
        ({"unpaid": "tariff"}, {"unpaid": ""}, "portal_payment"),
        ({"module_denied": True}, {"module_denied": False}, "portal_forbidden"),
        ({"suspended": True}, {"suspended": False}, "portal_protocol"),
    ],
)
async def test_a_fault_of_the_account_pauses_and_a_resume_goes_on(
    redis: ArqRedis, server: EmbeddedServer, broken: dict[str, Any], mended: dict[str, Any], reason: str
) -> None:
    async with simulator.running(World(2000, read_only=10), Behaviour(base_ms=5)) as portal:
        job_id = await accept(redis, range(1, 2001))
        settings = settings_of(server, portal)
        async with working(settings):
            await portal.truth.until(lambda: len(portal.truth.deleted) > 200)
            portal.behaviour.change(broken)
            job = await in_state(redis, job_id, State.PAUSED)
            assert job.state_reason == reason
            assert job.last_error
            assert not job.counts[Outcome.FAILED]
            assert job.counts[Outcome.PENDING] > 0
            portal.behaviour.change(mended)
            await control(redis, job_id, Event.RESUME, by="test", lanes=4)
            assert (await ended(redis, job_id)).state is State.COMPLETED
        found = await check_against_truth(redis, portal, job_id)
    assert len(found[Outcome.DELETED]) == 1990
    assert not found[Outcome.PRESUMED_DELETED], "nothing was executed, so nothing is in doubt"


async def test_a_wrong_token_costs_few_calls_however_many_jobs(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(500), Behaviour(token="another")) as portal:
        jobs = [await accept(redis, range(start, start + 100)) for start in range(1, 500, 100)]
        async with working(settings_of(server, portal, token="wrong")):

            async def all_stand() -> bool:
                seen = [await read_job(redis, job_id) for job_id in jobs]
                return all(job.state_reason == "portal_auth" for job in seen)

            await until(all_stand)
        assert len(portal.truth.calls) <= 10
        async with working(settings_of(server, portal)):  # the token has been replaced
            for job_id in jobs:
                if (await read_job(redis, job_id)).state is State.PAUSED:
                    await control(redis, job_id, Event.RESUME, by="test", lanes=4)
            for job_id in jobs:
                await ended(redis, job_id)
        found = await check_against_truth(redis, portal, *jobs)
        assert len(found[Outcome.DELETED]) == 500


async def test_a_cancelled_job_does_not_hammer_a_portal_that_refuses_it(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(1000, read_only=500), Behaviour(base_ms=20)) as portal:
        job_id = await accept(redis, range(1, 1001))
        async with working(settings_of(server, portal)):
            await portal.truth.until(lambda: len(portal.truth.of_kind("delete")) > 5)
            portal.behaviour.change({"unpaid": "licence"})
            await control(redis, job_id, Event.CANCEL, by="test")
            await in_state(redis, job_id, State.CANCELLING)

            async def stands() -> bool:
                return (await read_job(redis, job_id)).state_reason == "portal_payment"

            await until(stands)
            calls = len(portal.truth.calls)
            portal.behaviour.change({"unpaid": ""})
            await control(redis, job_id, Event.CANCEL, by="test")
            job = await ended(redis, job_id)
        assert job.state is State.CANCELLED
        assert calls < 100
        await check_against_truth(redis, portal, job_id)


async def test_a_portal_that_is_away_is_waited_for(redis: ArqRedis, server: EmbeddedServer) -> None:
    world = World(1000, read_only=10)
    async with simulator.running(world) as portal:
        settings, port = settings_of(server, portal), int(portal.url.rpartition(":")[2])
    job_id = await accept(redis, range(1, 1001))
    async with working(settings):

        async def unreachable() -> Job | None:
            job = await read_job(redis, job_id)
            return job if job.state_reason == "portal_unreachable" else None

        job = await until(unreachable)
        assert job.state in {State.QUEUED, State.RUNNING}
        async with simulator.running(world, port=port) as portal:
            job = await ended(redis, job_id)
            found = await check_against_truth(redis, portal, job_id)
    assert job.state is State.COMPLETED
    assert job.requests.sent == len(portal.truth.calls), "what did not get through was no call"
    assert {outcome.value: len(ids) for outcome, ids in found.items() if ids} == {"deleted": 990, "refused": 10}


async def test_logging_in_once_serves_all_lanes(redis: ArqRedis, server: EmbeddedServer) -> None:
    behaviour = Behaviour(base_ms=1)
    async with simulator.running(World(1000), behaviour) as portal:
        job_id = await accept(redis, range(1, 1001))
        credentials = {"token": None, "username": behaviour.user_name, "password": behaviour.password}
        async with working(settings_of(server, portal, **credentials)):
            await portal.truth.until(lambda: len(portal.truth.deleted) > 100)
            portal.authentication.log_out_everywhere()
            await ended(redis, job_id)
        await check_against_truth(redis, portal, job_id)
        assert len(portal.truth.of_kind("log_in")) <= 2


async def test_a_protected_contact_stays_protected_when_its_worker_dies(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its batch was claimed as a whole, so it is in doubt like the others, although it was never sent."""
    monkeypatch.setattr(fleet, "RESCUE_SETTLE_S", 0.1)
    protected = tmp_path / "protected.txt"
    protected.write_text("5\n")
    async with simulator.running(World(20)) as portal:
        job_id = await accept(redis, range(1, 21))
        await take(await start_lane(redis, "dead"), terms(batch_size=20))
        await lapse(redis, "dead")
        async with working(settings_of(server, portal, protected_ids_file=str(protected))):
            await ended(redis, job_id)
        found = await check_against_truth(redis, portal, job_id)
    assert set(found[Outcome.PROTECTED]) == {5}
