"""The watch: what a dead lane held is rescued at the moment its lease lapses, and a living lane's never is."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from arq.connections import ArqRedis
from structlog.testing import capture_logs

import simulator
from cli.embedded import EmbeddedServer
from config.settings import WorkerConfig
from jobs.lanes.grants import Batch
from jobs.lanes.lease import LaneLedger, Lapses, look_for_lapses, rescue
from jobs.store import keys
from jobs.store.clock import LONGEST_TICK_S
from jobs.words.states import State
from simulator import World
from tests.support.clocks import let_pass
from tests.support.lanes import PORTAL, accept, lane, lapse, start_lane, take, terms
from tests.support.sweeping import MARKS, check_against_truth, ended, settings_of
from tests.support.waiting import until
from worker import fleet
from worker.drain import cancel
from worker.lifeline import Lifeline, group_of
from worker.main import working
from worker.watch import watch

pytestmark = MARKS

#: Far more than anything here takes, also on a busy machine.
SOON_S = 20.0


async def test_where_nobody_drives_nothing_can_lapse(redis: ArqRedis) -> None:
    assert await look_for_lapses(redis, []) == Lapses({}, None)
    assert await look_for_lapses(redis, ["main", "other"]) == Lapses({}, None)


async def test_the_soonest_lease_of_all_portals_says_when_to_look_again(redis: ArqRedis) -> None:
    await start_lane(redis, "late", 50.0)
    await lane(redis, "soon", 20.0, portal="other").acquire(1)
    lapses = await look_for_lapses(redis, ["main", "other", "third"])
    assert not lapses.portals
    assert lapses.soonest_s is not None
    assert 10 < lapses.soonest_s <= 20.001


async def test_the_place_of_a_silent_lane_without_a_batch_is_free_at_once(redis: ArqRedis) -> None:
    await start_lane(redis, "silent")
    await lapse(redis, "silent")
    assert await look_for_lapses(redis, ["other", PORTAL]) == Lapses({PORTAL: True}, None)
    assert not await redis.exists(keys.leases(PORTAL))
    assert await look_for_lapses(redis, ["other", PORTAL]) == Lapses({}, None), "it is told once"


async def test_a_batch_of_a_silent_lane_is_told_until_it_is_rescued(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100))
    await take(await start_lane(redis, "silent"))
    living = await start_lane(redis, "living", 50.0)
    await take(living)
    await lapse(redis, "silent")
    assert (await look_for_lapses(redis, [PORTAL])).portals == {PORTAL: True}
    assert (await look_for_lapses(redis, [PORTAL])).portals == {PORTAL: False}
    assert len(await rescue(redis, PORTAL, 0.0)) == 1
    lapses = await look_for_lapses(redis, [PORTAL])
    assert not lapses.portals
    assert lapses.soonest_s is not None
    assert await living.renew()


async def test_a_lapse_is_noticed_when_it_happens(redis: ArqRedis) -> None:
    """Sooner than the next regular look, again and again."""
    lapsed: asyncio.Queue[dict[str, bool]] = asyncio.Queue()
    async with watching(redis, lapsed.put):
        for number in range(3):
            await start_lane(redis, f"silent {number}", 1.3)
            async with asyncio.timeout(SOON_S):
                assert await lapsed.get() == {PORTAL: True}
            assert not await redis.exists(keys.leases(PORTAL))


async def test_one_watch_of_a_group_runs_the_lifeline_at_a_time(redis: ArqRedis) -> None:
    assert not await _is_turn(redis), "there is work on its way where the first worker has just started"
    await let_pass(redis, 1.9)
    assert not await _is_turn(redis)
    await let_pass(redis, 0.2)
    assert await asyncio.gather(*(_is_turn(redis) for _ in range(5))) in [
        [number == turn for number in range(5)] for turn in range(5)
    ]
    assert not await _is_turn(redis, "another group")
    await let_pass(redis, 2.1)
    assert not (await look_for_lapses(redis, [PORTAL])).is_turn, "somebody who runs none takes none"
    assert await _is_turn(redis)
    assert await _is_turn(redis, "another group")


async def test_the_lifeline_runs_on_although_it_fails(redis: ArqRedis) -> None:
    runs = asyncio.Semaphore(0)

    async def fail() -> None:
        runs.release()
        raise ValueError("a bug")

    lifeline = Lifeline("one", 0.1, fail)
    with capture_logs() as logs:
        task = asyncio.create_task(watch(redis, [PORTAL], _ignore, lifeline))
        async with asyncio.timeout(SOON_S):
            await runs.acquire()
            await runs.acquire()
        await cancel(task)
        await lifeline.close()
    assert "lifeline_failed" in [line["event"] for line in logs]


async def test_a_lifeline_that_takes_long_is_not_run_twice(redis: ArqRedis) -> None:
    runs = 0

    async def hang() -> None:
        nonlocal runs
        runs += 1
        await asyncio.Event().wait()

    lifeline = Lifeline("one", 1.0, hang)
    for _ in range(3):
        lifeline.run()
        await asyncio.sleep(0)
    await lifeline.close()
    assert runs == 1


async def test_who_cannot_use_a_turn_leaves_it_to_others(redis: ArqRedis) -> None:
    """Looks keep their rhythm, so the worker that took a turn is mostly first again: a stopping one would keep them."""

    async def hang() -> None:
        await asyncio.Event().wait()

    hanging, stopping = Lifeline("one", 0.01, hang), Lifeline("one", 0.01, _nothing)
    hanging.run()
    stopping.drain.begin()
    for lifeline in (hanging, stopping):
        await redis.delete(keys.CLOCK)
        task = asyncio.create_task(watch(redis, [PORTAL], _ignore, lifeline))
        await until(partial(redis.exists, keys.CLOCK), SOON_S)
        await cancel(task)
        assert not await redis.exists(keys.LIFELINES)
    await hanging.close()


async def test_workers_with_other_portals_or_webhooks_run_a_lifeline_of_their_own(
    server: EmbeddedServer,
) -> None:
    async with simulator.running(World(1)) as portal:
        one = settings_of(server, portal)
    more = one.model_copy(update={"portals": {**one.portals, "other": one.portals[PORTAL]}})
    turned = more.model_copy(update={"portals": dict(reversed(list(more.portals.items())))})
    assert len({group_of(one), group_of(more), group_of(turned)}) == 2
    assert group_of(more) == group_of(turned)


async def _is_turn(redis: ArqRedis, group: str = "one") -> bool:
    return (await look_for_lapses(redis, [PORTAL], group=group, lifeline_s=2.0)).is_turn


async def test_a_bug_in_a_rescue_does_not_end_the_watch(redis: ArqRedis) -> None:
    seen = asyncio.Semaphore(0)

    async def fail(_lapsed: dict[str, bool]) -> None:
        seen.release()
        raise ValueError("a bug")

    await accept(redis, range(1, 100))
    await take(await start_lane(redis, "silent"))
    await lapse(redis, "silent")
    async with watching(redis, fail), asyncio.timeout(SOON_S):
        await seen.acquire()
        await seen.acquire()


@asynccontextmanager
async def watching(
    redis: ArqRedis, act: Callable[[dict[str, bool]], Awaitable[None]], watchers: int = 1
) -> AsyncIterator[None]:
    rarely = Lifeline("one", 3600.0, _nothing)
    tasks = [asyncio.create_task(watch(redis, ["other", PORTAL], act, rarely)) for _ in range(watchers)]
    try:
        yield
    finally:
        for task in tasks:
            await cancel(task)


async def _nothing() -> None:
    pass


async def _ignore(_lapsed: dict[str, bool]) -> None:
    pass


async def keep(ledger: LaneLedger) -> None:
    """Renew a lease as a lane does."""
    while True:
        await asyncio.sleep(ledger.ttl_s / 4)
        await ledger.renew()


async def test_several_watchers_rescue_the_dead_once_and_never_the_living(redis: ArqRedis) -> None:
    await accept(redis, range(1, 10_000))
    ttl_s = 2.0
    living = [await start_lane(redis, f"living {number}", ttl_s) for number in range(10)]
    dead = [await start_lane(redis, f"dead {number}", ttl_s) for number in range(5)]
    held: dict[int, LaneLedger] = {}
    renewed_s: dict[LaneLedger, float] = {}
    for ledger in (*living, *dead):
        for _ in range(2):
            renewed_s[ledger] = time.monotonic()
            held[(await take(ledger)).seq] = ledger
    of_the_dead = {seq for seq, ledger in held.items() if ledger in dead}
    keepers = [asyncio.create_task(keep(ledger)) for ledger in living]
    rescued: list[int] = []
    believed: list[int] = []
    waited_s: list[float] = []
    complete = asyncio.Event()

    async def save(lapsed: dict[str, bool]) -> None:
        for portal_name in lapsed:
            for batch in await rescue(redis, portal_name, 0.0):
                rescued.append(batch.seq)
                if held[batch.seq].holds_lease:
                    believed.append(batch.seq)
                if batch.seq in of_the_dead:
                    waited_s.append(time.monotonic() - renewed_s[held[batch.seq]])
        if of_the_dead <= set(rescued):
            complete.set()

    async with watching(redis, save, watchers=5):
        async with asyncio.timeout(SOON_S):
            await complete.wait()
        await asyncio.sleep(0.5)
    for keeper in keepers:
        await cancel(keeper)
    assert len(rescued) == len(set(rescued)), "each batch is rescued once"
    assert not believed, "a lane that is rescued knows that it no longer holds its lease"
    assert min(waited_s) > ttl_s - LONGEST_TICK_S, "not before their leases had lapsed"


async def test_a_lane_takes_its_lease_and_its_first_batch_in_one_round_trip(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100))
    first, second = lane(redis, "first"), lane(redis, "second")
    grant = await first.acquire_and_next(1, terms())
    assert isinstance(grant, Batch)
    assert first.holds_lease
    assert await second.acquire_and_next(1, terms()) is None
    assert not second.holds_lease
    assert await redis.zrange(keys.leases(PORTAL), 0, -1) == [b"first"]


async def test_a_lane_whose_first_reply_was_lost_gets_the_same_batch_again(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100))
    grants = [await lane(redis, "one").acquire_and_next(1, terms()) for _ in range(2)]
    assert all(isinstance(grant, Batch) for grant in grants)
    assert len({grant.seq for grant in grants if isinstance(grant, Batch)}) == 1
    assert len(await redis.execute_command("HKEYS", keys.claims(PORTAL))) == 1


async def test_a_worker_rescues_and_goes_on_long_before_the_lifeline(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "RESCUE_SETTLE_S", 0.1)  # the lane that dies has made no call
    async with simulator.running(World(100)) as portal:
        settings = settings_of(server, portal, max_concurrency=1)
        rare = settings.model_copy(update={"worker": WorkerConfig(lifeline_s=30)})
        job_id = await accept(redis, range(1, 101))
        await take(await start_lane(redis, "silent", 2.0), terms(batch_size=5))
        async with working(rare):
            assert (await ended(redis, job_id, SOON_S)).state is State.COMPLETED
        await check_against_truth(redis, portal, job_id)
