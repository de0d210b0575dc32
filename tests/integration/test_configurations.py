"""Workers with different configurations of one portal: a fault holds only those with the configuration that met it."""

import asyncio
import contextlib

import pytest
from arq.connections import ArqRedis

import simulator
import worker.fleet
from cli.embedded import EmbeddedServer
from config.portal import Portal
from jobs.lanes import presence
from jobs.store import keys
from jobs.view.job import Job, read_job
from jobs.view.portal import read_portal
from jobs.words.errors import IllegalMove
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import Behaviour, World
from tests.conftest import settings_for
from tests.support.steering import control
from tests.support.sweeping import MARKS, PORTAL, accept, check_against_truth, ended, in_state, settings_of
from tests.support.waiting import until
from worker.fingerprint import fingerprint_of
from worker.fleet import Fleet
from worker.main import working

pytestmark = MARKS


def refused(portal: simulator.Portal) -> int:
    """Return how many calls the portal has answered with 401."""
    return sum(call.status == 401 for call in portal.truth.calls)


async def all_held(redis: ArqRedis, jobs: list[str], reason: str) -> list[Job]:
    """Wait until every job is held for a reason."""

    async def look() -> list[Job] | None:
        seen = [await read_job(redis, job_id) for job_id in jobs]
        return seen if all(job.state_reason == reason for job in seen) else None

    return await until(look)


async def test_workers_restarted_with_the_right_token_go_on_with_what_waits(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(400), Behaviour(base_ms=1)) as portal:
        jobs = [await accept(redis, range(start, start + 100)) for start in (1, 101, 201, 301)]
        async with working(settings_of(server, portal, token="wrong", max_concurrency=1)):
            await all_held(redis, jobs, "portal_auth")
        paused = [job_id for job_id in jobs if (await read_job(redis, job_id)).state is State.PAUSED]
        waiting = [job_id for job_id in jobs if job_id not in paused]
        assert len(portal.truth.calls) == len(paused) <= 2
        async with working(settings_of(server, portal)):
            for job_id in waiting:
                assert (await ended(redis, job_id)).state is State.COMPLETED
            for job_id in paused:
                assert (await read_job(redis, job_id)).state is State.PAUSED
                await control(redis, job_id, Event.RESUME, by="test", lanes=4)
                assert (await ended(redis, job_id)).state is State.COMPLETED
        await check_against_truth(redis, portal, *jobs)


async def test_lanes_that_start_together_wait_for_one_fingerprint(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes 16 MiB and 50 ms of a core: eight of them would delay the first call, and use more memory than it."""
    derived: list[str] = []

    def derive(portal: Portal) -> str:
        derived.append(portal.name)
        if len(derived) == 1:
            raise OSError("a list of authorities that cannot be read now")
        return fingerprint_of(portal)

    monkeypatch.setattr(worker.fleet, "fingerprint_of", derive)
    settings = settings_for(server, Portal.model_validate({"name": PORTAL, "url": "http://127.0.0.1:9", "token": "t"}))
    driven = Fleet(settings, redis)._prepare(settings.portal(PORTAL))
    failed = await asyncio.gather(*(driven.fingerprint() for _ in range(8)), return_exceptions=True)
    assert [type(error) for error in failed] == [OSError] * 8
    given = await asyncio.gather(*(driven.fingerprint() for _ in range(8)))
    assert set(given) == {fingerprint_of(settings.portal(PORTAL))}
    assert len(derived) == 2
    await driven.client.close()


async def test_an_old_worker_beside_a_new_one_stops_nothing(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(1500), Behaviour(base_ms=5)) as portal:
        old, new = settings_of(server, portal, token="old"), settings_of(server, portal)
        await presence.beat(redis, "about to drive", [PORTAL], {PORTAL: fingerprint_of(new.portal(PORTAL))})
        first = await accept(redis, range(1, 501))
        async with working(old):
            await portal.truth.until(lambda: refused(portal) > 0)
            async with working(new):
                jobs = [first, await accept(redis, range(501, 1001)), await accept(redis, range(1001, 1501))]
                assert (await read_portal(redis, new.portal(PORTAL))).fault is None
                for job_id in jobs:
                    assert (await ended(redis, job_id)).state is State.COMPLETED, "it did not have to be resumed"
        assert refused(portal) <= 4, "at most once per lane of the old worker"
        found = await check_against_truth(redis, portal, *jobs)
        assert len(found[Outcome.DELETED]) == 1500


async def test_a_worker_that_cannot_reach_the_portal_holds_up_nobody_who_can(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(600), Behaviour(base_ms=5)) as portal:
        waits_long = {"backoff_base_s": 60, "backoff_max_s": 600}
        lost = settings_of(server, portal, url="http://127.0.0.1:9", **waits_long)
        async with working(lost), working(settings_of(server, portal, **waits_long)):
            await until(lambda: _configurations(redis, 2))
            job_id = await accept(redis, range(1, 601))
            assert (await ended(redis, job_id)).state is State.COMPLETED
        await check_against_truth(redis, portal, job_id)


async def test_an_old_password_beside_a_new_one_is_tried_once(redis: ArqRedis, server: EmbeddedServer) -> None:
    behaviour = Behaviour(base_ms=5)
    async with simulator.running(World(600), behaviour) as portal:
        right = {"token": None, "username": behaviour.user_name, "password": behaviour.password}
        async with (
            working(settings_of(server, portal, **right | {"password": "old"})),
            working(settings_of(server, portal, **right)),
        ):
            await until(lambda: _configurations(redis, 2))
            job_id = await accept(redis, range(1, 601))
            assert (await ended(redis, job_id)).state is State.COMPLETED
        assert len(portal.truth.of_kind("log_in")) <= 2
        await check_against_truth(redis, portal, job_id)


async def test_a_fault_that_no_other_configuration_cures_holds_all_until_a_resume(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(200), Behaviour(base_ms=1, unpaid="licence")) as portal:
        jobs = [await accept(redis, range(start, start + 100)) for start in (1, 101)]
        portal.authentication.accept("another")
        async with working(settings_of(server, portal)), working(settings_of(server, portal, token="another")):
            seen = await all_held(redis, jobs, "portal_payment")
            assert all(job.last_error and "renew" in job.last_error for job in seen), "even if another job met it"
            assert len(portal.truth.calls) <= 8
            portal.behaviour.change({"unpaid": ""})
            for job_id in jobs:  # the first one lifts the fault for all of them, whether they are paused or waiting
                with contextlib.suppress(IllegalMove):
                    await control(redis, job_id, Event.RESUME, by="test", lanes=4)
            for job_id in jobs:
                assert (await ended(redis, job_id)).state is State.COMPLETED
        await check_against_truth(redis, portal, *jobs)


async def test_nothing_that_is_kept_about_a_configuration_gives_it_away(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    behaviour = Behaviour(base_ms=1)
    async with simulator.running(World(10), behaviour) as portal:
        secrets = {"username": behaviour.user_name, "password": "a password that is wrong"}
        for credentials in ({"token": "a-token-that-is-wrong"}, {"token": None, **secrets}):
            job_id = await accept(redis, range(1, 11))
            async with working(settings_of(server, portal, **credentials)):
                await in_state(redis, job_id, State.PAUSED)
                await until(lambda: _configurations(redis, 1))
        assert await redis.execute_command("HLEN", keys.faults(PORTAL)) == 2
        stored = b""
        async for key in redis.scan_iter():
            stored += key + (await redis.dump(key) or b"")
            if await redis.type(key) == b"hash":
                stored += b"".join(await redis.execute_command("HVALS", key))
        for secret in ("a-token-that-is-wrong", *secrets.values(), portal.url):
            assert secret.encode() not in stored


async def _configurations(redis: ArqRedis, count: int) -> bool:
    return bool(await redis.zcard(keys.configurations(PORTAL)) == count)
