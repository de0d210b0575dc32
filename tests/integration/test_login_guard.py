"""Our guard against being locked out: log-ins that succeed never trigger it, and when it holds, it says so."""

from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from config.settings import Settings
from jobs.lanes.settlement import NewRest, Settlement
from jobs.store import keys
from jobs.view.job import Job, read_job
from jobs.view.portal import PortalView, read_portal
from jobs.view.stats import read_stats
from jobs.view.why import explain
from jobs.words.outcomes import Outcome
from jobs.words.reasons import StateReason
from jobs.words.states import State
from simulator import Behaviour, World
from tests.support.lanes import answer, lines_of, start_lane, take
from tests.support.sweeping import MARKS, PORTAL, accept, check_against_truth, ended, settings_of
from tests.support.waiting import until
from worker import token_store
from worker.main import working

pytestmark = MARKS

TRIES = keys.login_tries(PORTAL)


def with_password(server: EmbeddedServer, portal: simulator.Portal, **limits: Any) -> Settings:
    behaviour = portal.behaviour
    credentials = {"token": None, "username": behaviour.user_name, "password": behaviour.password}
    return settings_of(server, portal, **credentials | limits)


@pytest.mark.parametrize("workers", [1, 2])
async def test_tokens_that_die_many_times_a_minute_hold_nothing_up(
    redis: ArqRedis, server: EmbeddedServer, workers: int
) -> None:
    times = 8
    async with simulator.running(World(2000), Behaviour(base_ms=10)) as portal:
        settings = with_password(server, portal, max_concurrency=2, batch_size_start=20, batch_size_max=20)
        job_id = await accept(redis, range(1, 2001))
        seen: set[str | None] = set()
        async with AsyncExitStack() as stack:
            for _ in range(workers):
                await stack.enter_async_context(working(settings))
            for death in range(1, times + 1):
                await portal.truth.until(partial(_has_deleted, portal, death * 150))
                portal.authentication.log_out_everywhere()
                seen.add((await read_job(redis, job_id)).state_reason)
            job = await ended(redis, job_id)
        assert job.state is State.COMPLETED
        assert "login_guard" not in seen | {"login_guard" if await _pushed_back(redis) else None}
        assert job.requests.throttled == 0
        await check_against_truth(redis, portal, job_id)
        log_ins = len(portal.truth.of_kind("log_in"))
        assert times <= log_ins <= 3 * (times + 1), "one for each token that died, or a few more"
        assert await redis.zcard(TRIES) == 0, "all were given back"


def _has_deleted(portal: simulator.Portal, count: int) -> bool:
    return len(portal.truth.deleted) > count


async def _pushed_back(redis: ArqRedis) -> bool:
    return (await read_stats(redis, PORTAL)).get("push_backs", 0) > 0


async def test_a_wait_of_our_own_has_its_reason_its_end_and_no_price(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_store, "ATTEMPT_WINDOW_S", 4.0)
    async with simulator.running(World(60), Behaviour(base_ms=1)) as portal:
        settings = with_password(server, portal, max_concurrency=1)
        time = await redis.time()
        now_ms = time[0] * 1000 + time[1] // 1000
        # Others tried other passwords a moment ago.
        await redis.zadd(TRIES, {f"failed {number}": now_ms for number in range(token_store.MAX_ATTEMPTS)})
        job_id = await accept(redis, range(1, 61))
        async with working(settings):

            async def waits() -> tuple[Job, PortalView] | None:
                job, view = await read_job(redis, job_id), await read_portal(redis, settings.portal(PORTAL))
                return (job, view) if job.state_reason == "login_guard" else None

            job, view = await until(waits)
            why = await explain(redis, settings, job_id)
            assert job.state in {State.QUEUED, State.RUNNING}
            assert job.last_error
            assert "lock the account out" in job.last_error
            assert "tried again at" in job.last_error
            assert (view.push_back_reason, view.fault) == ("login_guard", None)
            assert why.constraint == "login_guard"
            assert why.until == view.push_back_until
            assert not portal.truth.calls, "the portal was not asked for anything"
            job = await ended(redis, job_id)
        assert (job.requests.throttled, job.requests.retried) == (0, 0)
        stats = await read_stats(redis, PORTAL)
        assert not stats.get("push_backs"), "the portal has not pushed back"
        assert not stats.get("rate_cuts")
        assert {line.attempts for line in await lines_of(redis, job_id)} == {1}
        found = await check_against_truth(redis, portal, job_id)
        assert len(found[Outcome.DELETED]) == 60


async def test_a_good_answer_of_another_lane_does_not_change_what_is_said_about_the_wait(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    """A call with the token that still works returns while another lane waits to log in."""
    job_id = await accept(redis, range(1, 61), lanes=0)
    one, two = await start_lane(redis, "one"), await start_lane(redis, "two")
    first, second = await take(one), await take(two)
    guard = Settlement(items=[(item, 0.0) for item in first.items], rest=NewRest(30.0, StateReason.LOGIN_GUARD))
    assert await one.settle(first, guard)
    await answer(redis, two, second)
    async with simulator.running(World(1)) as portal:
        view = await read_portal(redis, settings_of(server, portal).portal(PORTAL))
    assert view.push_back_reason == "login_guard"
    assert (await read_job(redis, job_id)).counts[Outcome.DELETED] == second.size


async def test_a_portal_that_refuses_every_token_is_a_fault_after_a_fresh_log_in(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(100), Behaviour(token_lifetime_s=0.0)) as portal:
        job_id = await accept(redis, range(1, 101))

        async def stands() -> Job | None:
            job = await read_job(redis, job_id)
            return job if job.state is State.PAUSED else None

        async with working(with_password(server, portal, max_concurrency=1)):
            job = await until(stands)
        assert job.state_reason == "portal_auth"
        assert not job.counts[Outcome.FAILED]
        assert len(portal.truth.of_kind("log_in")) == 2
