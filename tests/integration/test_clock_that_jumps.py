"""The server's clock is set five minutes ahead or back while everything is going on, and nothing breaks.

The server runs on a clock of its own (tests/support/shifted_server.py), so its command TIME, and when its keys expire,
really jump. The judge is the portal's own record, on this process's clock.
"""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

import simulator
from config.settings import Portal
from jobs.lanes import presence
from jobs.lanes.grants import Batch, Idle, Outdated
from jobs.lanes.lease import look_for_lapses
from jobs.lanes.settlement import Settlement
from jobs.ledger.retention import forget_old_jobs
from jobs.store import keys
from jobs.store.clock import LONGEST_TICK_S, TICK, read_clocks
from jobs.store.connection import connect
from jobs.store.times import server_ms, unix_s
from jobs.view.portal import read_portal
from jobs.words.states import State
from simulator import Behaviour, World
from simulator.faults import Fault
from tests.support.clocks import let_pass, tick
from tests.support.keeping import keeping_settings, kept_of
from tests.support.lanes import PORTAL, answer, start_lane, take, terms
from tests.support.lanes import accept as accept_quietly
from tests.support.planning import plan_of_filter, planned
from tests.support.shifted_server import ShiftedServer
from tests.support.sweeping import MARKS, accept, check_against_truth, ended, settings_of
from tests.support.waiting import until
from worker.gatekeeper import Gatekeeper
from worker.main import working

pytestmark = MARKS

MINUTES_S = 300.0
#: Far more than anything takes, also on a busy machine, and far less than a jump.
SOON_S = 10.0
LANES = 4
both_ways = pytest.mark.parametrize("by_s", [MINUTES_S, -MINUTES_S], ids=["ahead", "back"])


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShiftedServer]:
    with ShiftedServer(tmp_path_factory.mktemp("shifted"), fsync="no") as server:
        yield server


@pytest.fixture
async def redis(shifted: ShiftedServer) -> AsyncIterator[ArqRedis]:
    shifted.shift(0)
    redis = connect(shifted.url)
    await redis.flushall()
    yield redis
    await redis.aclose(close_connection_pool=True)


async def set_clock(redis: ArqRedis, server: ShiftedServer, seconds: float) -> None:
    """Set the server's clock this far ahead or back, and wait until it shows that: it may have just looked at it."""
    server.shift(seconds)

    async def is_set() -> bool:
        return abs(server_ms(await redis.time()) / 1000 - time.time() - seconds) < 5

    await until(is_set)


async def ticked_since(redis: ArqRedis) -> None:
    """Wait until the steady clock has ticked since the server's clock was set."""

    async def has_ticked() -> bool:
        ticked_us = int(await redis.execute_command("HGET", keys.CLOCK, "wall_us"))
        return abs(server_ms(await redis.time()) / 1000 - ticked_us / 1_000_000) < MINUTES_S / 2

    await until(has_ticked)


async def test_the_server_really_jumps(redis: ArqRedis, shifted: ShiftedServer) -> None:
    for by_s in (MINUTES_S, -MINUTES_S):
        await set_clock(redis, shifted, by_s)


@both_ways
async def test_the_living_are_not_rescued(
    redis: ArqRedis, shifted: ShiftedServer, log: io.StringIO, by_s: float
) -> None:
    async with simulator.running(World(80, read_only=4), Behaviour(base_ms=2500)) as portal:
        async with working(settings_of(shifted, portal, batch_size_start=20, batch_size_max=20)):
            job_id = await accept(redis, range(1, 81))
            await portal.truth.until(lambda: len(portal.truth.of_kind("delete")) == 4, 20)
            await set_clock(redis, shifted, by_s)
            job = await ended(redis, job_id)
        assert job.state is State.COMPLETED
        await check_against_truth(redis, portal, job_id)
        assert len(portal.truth.of_kind("delete")) == 4, "nothing was sent a second time"
    assert "batch_rescued" not in log.getvalue()


@pytest.mark.parametrize("before", ["never ticked", "asleep"])
async def test_a_lease_keeps_the_clock_from_jumping_before_any_worker_has_ticked(
    redis: ArqRedis, shifted: ShiftedServer, before: str
) -> None:
    if before == "asleep":
        await TICK(redis, [keys.CLOCK], [])
        await presence.leave(redis, "the last worker")
    lane = await start_lane(redis, ttl_s=60.0)
    await set_clock(redis, shifted, MINUTES_S)
    assert (await look_for_lapses(redis, [PORTAL])).portals == {}
    assert await lane.renew()


async def test_a_lease_wakes_a_clock_that_a_leaving_worker_has_put_to_sleep(
    redis: ArqRedis, shifted: ShiftedServer
) -> None:
    lane = await start_lane(redis, ttl_s=60.0)
    await presence.leave(redis, "a worker that did not see ours yet")
    assert await lane.renew()
    await set_clock(redis, shifted, MINUTES_S)
    assert await lane.renew()


async def test_the_living_outlast_a_restart_that_takes_longer_than_a_lease(tmp_path: Path, log: io.StringIO) -> None:
    """The steady clock stands still while the server is away, so no lease lapses meanwhile."""
    with ShiftedServer(tmp_path, fsync="always") as server:
        redis = connect(server.url)
        async with simulator.running(World(20), Behaviour(base_ms=4500)) as portal:
            async with working(settings_of(server, portal, batch_size_start=20, batch_size_max=20)) as fleet:
                job_id = await accept(redis, range(1, 21))
                await portal.truth.until(lambda: len(portal.truth.of_kind("delete")) == 1, 20)
                assert server._process is not None
                server._process.kill()
                server._process.wait()
                await asyncio.sleep(3)  # a lease lasts for two
                server.shift(MINUTES_S)  # as if another server was promoted
                await server.restart()
                await fleet.look_after_portals()
                job = await ended(redis, job_id)
            assert job.state is State.COMPLETED
            assert len(portal.truth.of_kind("delete")) == 1
            await check_against_truth(redis, portal, job_id)
        await redis.aclose(close_connection_pool=True)
    assert "batch_rescued" not in log.getvalue()


@both_ways
async def test_the_rate_is_kept_and_nothing_stands_still(redis: ArqRedis, shifted: ShiftedServer, by_s: float) -> None:
    rate = 20
    limits = {"requests_per_second": rate, "burst": 1, "batch_size_start": 1, "batch_size_max": 1}
    async with simulator.running(World(80), Behaviour(base_ms=20)) as portal:
        async with working(settings_of(shifted, portal, max_concurrency=LANES, **limits)):
            job_id = await accept(redis, range(1, 81))
            await portal.truth.until(lambda: len(portal.truth.calls) == 30, 20)
            await set_clock(redis, shifted, by_s)
            await ended(redis, job_id)
        arrivals = [call.arrived_s for call in portal.truth.calls]
    for first in arrivals:
        # One more than the limit for the jump, and one of each lane that was under way for longer than the next.
        assert sum(first <= other < first + 1 for other in arrivals) <= rate + 1 + LANES
    assert max(after - before for before, after in pairwise(arrivals)) < SOON_S


@both_ways
async def test_a_rest_is_neither_cut_short_nor_drawn_out(redis: ArqRedis, shifted: ShiftedServer, by_s: float) -> None:
    rest_s = 4.0
    once = Fault(fault="throttle", retry_after_s=rest_s, next_calls=1)
    async with simulator.running(World(40), Behaviour(), [once]) as portal:
        settings = settings_of(shifted, portal, batch_size_start=10, batch_size_max=10, max_concurrency=1)
        async with working(settings):
            job_id = await accept(redis, range(1, 41))

            async def rests_until() -> str | None:
                return (await read_portal(redis, settings.portal("main"))).push_back_until

            await until(rests_until)
            throttled_s = next(call.arrived_s for call in portal.truth.calls if call.status == 429)
            await set_clock(redis, shifted, by_s)
            await ticked_since(redis)
            until_s = unix_s(await rests_until() or "")
            left_s = until_s - (await read_clocks(redis)).wall_ms / 1000
            # The jump has cost the rest at most one tick, or held it up until the next one.
            least_s = rest_s - LONGEST_TICK_S - (time.monotonic() - throttled_s) - 0.1
            assert least_s < left_s < rest_s + SOON_S, "people are told when it ends on the clock as it is now"
            await ended(redis, job_id)
        later_s = min(call.arrived_s for call in portal.truth.calls if call.arrived_s > throttled_s)
    assert rest_s - LONGEST_TICK_S - 0.2 < later_s - throttled_s < rest_s + SOON_S


@both_ways
async def test_what_is_due_stays_due_and_doubtful_contacts_are_looked_up(
    redis: ArqRedis, shifted: ShiftedServer, by_s: float
) -> None:
    after = [Fault(fault="reset", when="after", next_calls=2), Fault(fault="error", next_calls=2)]
    async with simulator.running(World(60), Behaviour(base_ms=100), after) as portal:
        async with working(settings_of(shifted, portal, batch_size_start=10, batch_size_max=10)):
            job_id = await accept(redis, range(1, 61))
            await portal.truth.until(lambda: len(portal.truth.of_kind("delete")) >= 4, 20)
            await set_clock(redis, shifted, by_s)
            await ended(redis, job_id, timeout_s=20)
        await check_against_truth(redis, portal, job_id)


@both_ways
async def test_plans_and_bundles_in_the_making_are_finished(
    redis: ArqRedis, shifted: ShiftedServer, tmp_path: Path, by_s: float
) -> None:
    world = World(300, tagged={"trash": range(1, 301, 2)})
    async with simulator.running(world, Behaviour(base_ms=150, page_limit=50)) as portal:
        plan_id = await plan_of_filter(redis, tags=("trash",))
        async with working(keeping_settings(shifted, portal, tmp_path)):
            await portal.truth.until(lambda: len(portal.truth.of_kind("listing")) > 1, 20)
            await set_clock(redis, shifted, by_s)
            plan = await planned(redis, plan_id)
            job_id = await accept(redis, range(2, 60, 2))
            calls = len(portal.truth.calls)
            await portal.truth.until(lambda: len(portal.truth.calls) > calls, 20)
            await set_clock(redis, shifted, 0)  # and back again
            await ended(redis, job_id)
        assert plan.state is State.AWAITING_APPROVAL
        assert plan.total == 150
        _, records = await kept_of(tmp_path, job_id)
        assert set(records) == set(range(2, 60, 2))
        await check_against_truth(redis, portal, job_id)


async def test_nothing_recent_is_forgotten(redis: ArqRedis, shifted: ShiftedServer) -> None:
    job_id = await accept_quietly(redis, [1])
    lane = await start_lane(redis)
    await answer(redis, lane, await take(lane))
    for by_s in (MINUTES_S, -MINUTES_S):
        await set_clock(redis, shifted, by_s)
        assert await forget_old_jobs(redis, retention_days=1.0) == []
    assert await redis.exists(keys.job(job_id))


async def test_a_clock_that_goes_back_over_midnight_gives_nobody_a_second_day(
    redis: ArqRedis, shifted: ShiftedServer
) -> None:
    """Counts of both days are kept, and what the guards say is looked at once per jump, never in a hot loop."""
    portal = Portal(
        name="main", url="http://127.0.0.1:1", token=SecretStr("t"), max_contacts_per_day=10, timezone="UTC"
    )
    gatekeeper = Gatekeeper(portal)
    looks = 0

    async def sent(shift_s: float, name: str) -> int:
        """Send as much as may be sent at a time of that day; return how many contacts that were."""
        nonlocal looks
        await set_clock(redis, shifted, shift_s)
        await let_pass(redis, 31)  # what is held is looked at every half a minute
        lane, count = await start_lane(redis, name), 0
        while not isinstance(grant := await lane.next_batch(terms(batch_size=4, gates=gatekeeper.gates)), Idle):
            if isinstance(grant, Outdated):
                looks += 1
                gatekeeper.look(grant.now_ms)
                continue
            assert isinstance(grant, Batch)
            most = grant.size if grant.most is None else grant.most
            if most < grant.size:
                await lane.settle(grant, Settlement(items=[(item, 0.0) for item in grant.items], unsent=most))
                continue
            count += grant.size
            await answer(redis, lane, grant)
        return count

    await tick(redis)
    await accept_quietly(redis, range(1, 101))
    to_midnight_s = 86_400 - time.time() % 86_400
    assert await sent(to_midnight_s - 150, "a minute before midnight") == 8 + 2
    assert await sent(to_midnight_s + 150, "after it") == 10
    assert await sent(to_midnight_s - 150, "before it again") == 0
    assert await sent(to_midnight_s + 150, "and after it") == 0
    assert looks == 4
