"""Leases and claims: how many lanes drive a portal, and what becomes of the batches of lanes that die."""

import asyncio
import time

import pytest
from arq.connections import ArqRedis

from jobs.lanes.grants import Batch, Idle, Lost
from jobs.lanes.lease import rescue, take_over
from jobs.lanes.settlement import Settlement
from jobs.ledger.items import Call
from jobs.store import keys
from jobs.view.job import read_job
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import Event, State
from tests.support.lanes import (
    LOST,
    PORTAL,
    accept,
    answer,
    field,
    lane,
    lapse,
    lines_of,
    lose,
    read_items,
    start_lane,
    take,
    terms,
)
from tests.support.steering import control
from worker.portal_answers import Visible


async def test_no_more_leases_than_max_concurrency(redis: ArqRedis) -> None:
    lanes = [lane(redis, f"lane-{n}") for n in range(20)]
    got = await asyncio.gather(*(one.acquire(3) for one in lanes))
    assert got.count(True) == 3
    holder = lanes[got.index(True)]
    await holder.release()
    assert not holder.holds_lease
    assert await lane(redis, "next").acquire(3)
    assert not await lane(redis, "one more").acquire(3)


async def test_a_lower_limit_counts_for_those_who_ask_from_now_on(redis: ArqRedis) -> None:
    for n in range(3):
        assert await lane(redis, f"lane-{n}").acquire(3)
    assert not await lane(redis, "late").acquire(2)


async def test_a_lapsed_lease_makes_room_and_is_not_revived(redis: ArqRedis) -> None:
    first = lane(redis, "first")
    assert await first.acquire(1)
    assert await first.renew()
    await lapse(redis, "first")
    assert not await first.renew()
    assert not first.holds_lease
    assert await lane(redis, "second").acquire(1)
    assert isinstance(await first.next_batch(terms()), Lost)


async def test_a_lane_that_lapsed_with_a_batch_keeps_its_place_until_it_is_rescued(redis: ArqRedis) -> None:
    """Its call can still be in flight."""
    await accept(redis, range(1, 100))
    first = await start_lane(redis, "first")
    await take(first)
    await lapse(redis, "first")
    assert not await lane(redis, "second").acquire(1)
    await rescue(redis, PORTAL, 0.0)
    assert await lane(redis, "second").acquire(1)


async def test_asking_for_a_batch_renews_the_lease(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100))
    ledger = await start_lane(redis, "lane", 600.0)
    seconds, _ = await redis.time()
    await redis.zadd(keys.leases(PORTAL), {"lane": seconds * 1000 + 1000})
    await take(ledger)
    assert await redis.zscore(keys.leases(PORTAL), "lane") > seconds * 1000 + 500_000


async def test_an_idle_lane_gives_its_lease_back(redis: ArqRedis) -> None:
    ledger = await start_lane(redis)
    assert await ledger.next_batch(terms()) == Idle(None)
    assert not ledger.holds_lease
    assert not await redis.exists(keys.leases(PORTAL))


async def test_rescue_leaves_the_living_alone(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100))
    ledger = await start_lane(redis)
    batch = await take(ledger)
    assert await rescue(redis, PORTAL, 0.0) == []
    await answer(redis, ledger, batch)


async def test_a_dead_lanes_put_becomes_a_look_up_in_doubt_with_an_attempt_more(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 100))
    dead, living = await start_lane(redis, "dead"), await start_lane(redis, "living")
    batch = await take(dead)
    await lapse(redis, "dead")
    [rescued] = await rescue(redis, PORTAL, 0.0)
    assert (rescued.job_id, rescued.seq, rescued.call, rescued.size) == (job_id, batch.seq, Call.PUT, 10)
    [item] = await read_items(redis, job_id)
    assert (item.call, item.doubtful, item.attempts, list(item.positions)) == (Call.LOOK_UP, True, 1, list(range(10)))
    assert (await read_job(redis, job_id)).counts[Outcome.PENDING] == 99

    # It is rescued only once, and the dead lane's own record comes too late.
    assert await rescue(redis, PORTAL, 0.0) == []
    assert not await dead.settle(batch, Settlement(items=[(batch.items[0], 0.0)]))

    look_up = await take(living)
    assert look_up.call is Call.LOOK_UP
    await answer(redis, living, look_up, visible={3: Visible.READ_ONLY, 4: Visible.DELETABLE})
    await answer(redis, living, await take(living), visible={3: Visible.READ_ONLY})  # in doubt, so it is asked twice
    codes = {line.contact_id: line.code for line in (await lines_of(redis, job_id))[:10]}
    assert codes == dict.fromkeys(range(1, 11), Code.PRESUMED_DELETED) | {3: Code.READ_ONLY, 4: Code.PENDING}


async def test_rescued_work_waits_until_the_portal_has_finished_with_it(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    dead = await start_lane(redis, "dead")
    await take(dead)
    await lapse(redis, "dead")
    await rescue(redis, PORTAL, 300.0)
    living = await start_lane(redis, "living")
    grant = await living.next_batch(terms())
    assert isinstance(grant, Idle)
    assert grant.wait_s is not None
    assert 200 < grant.wait_s <= 300
    assert (await read_job(redis, job_id)).state is State.RUNNING


async def test_a_dead_lanes_look_up_comes_back_as_it_was(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    dead = await start_lane(redis, "dead")
    await answer(redis, dead, await take(dead), gone=range(1, 8))
    before = await read_items(redis, job_id)
    look_up = await take(dead)
    assert look_up.call is Call.LOOK_UP
    await lapse(redis, "dead")
    [rescued] = await rescue(redis, PORTAL, 300.0)
    assert (rescued.call, rescued.size) == (Call.LOOK_UP, 3)
    assert await read_items(redis, job_id) == before
    assert not before[0].doubtful

    living = await start_lane(redis, "living")
    await answer(redis, living, await take(living))
    assert {line.code for line in (await lines_of(redis, job_id))[7:]} == {Code.NOT_FOUND}


async def test_a_joined_look_up_comes_back_item_by_item(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 31))
    dead = await start_lane(redis, "dead")
    waiting = terms(linger_s=600.0)
    for _ in range(3):
        await answer(redis, dead, await take(dead, waiting), gone=[])
    look_up = await take(dead)
    assert (look_up.call, look_up.size, len(look_up.items)) == (Call.LOOK_UP, 30, 3)
    await lapse(redis, "dead")
    assert [one.size for one in await rescue(redis, PORTAL, 0.0)] == [30]
    assert sorted(next(iter(item.positions)) for item in await read_items(redis, job_id)) == [0, 10, 20]
    living = await start_lane(redis, "living")
    assert (await take(living)).size == 30


async def test_a_pause_that_waited_for_the_dead_becomes_a_fact(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 31))
    dead = await start_lane(redis, "dead")
    await take(dead)
    assert await control(redis, job_id, Event.PAUSE, by="test", lanes=0) is State.PAUSING
    await lapse(redis, "dead")
    await rescue(redis, PORTAL, 0.0)
    job = await read_job(redis, job_id)
    assert (job.state, job.state_reason) == (State.PAUSED, "operator")
    living = await start_lane(redis, "living")
    assert isinstance(await living.next_batch(terms()), Idle)
    await control(redis, job_id, Event.RESUME, by="test", lanes=0)
    living = await start_lane(redis, "living")
    assert (await take(living)).call is Call.LOOK_UP


async def test_a_cancelled_job_still_accounts_for_what_a_dead_lane_sent(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 31))
    dead = await start_lane(redis, "dead")
    await take(dead)
    assert await control(redis, job_id, Event.CANCEL, by="test", lanes=0) is State.CANCELLING
    await lapse(redis, "dead")
    await rescue(redis, PORTAL, 0.0)
    living = await start_lane(redis, "living")
    await answer(redis, living, await take(living), visible={5: Visible.DELETABLE})
    job = await read_job(redis, job_id)
    assert job.state is State.CANCELLED
    counts = {outcome.value: count for outcome, count in job.counts.items() if count}
    assert counts == {"presumed_deleted": 9, "failed": 1, "skipped": 20}


async def test_two_dead_lanes_of_two_jobs_are_rescued_together(redis: ArqRedis) -> None:
    for job_id in ("one", "two"):
        await accept(redis, range(1, 11), job_id=job_id)
    for name in ("a", "b"):
        await take(await start_lane(redis, name))
        await lapse(redis, name)
    assert {one.job_id for one in await rescue(redis, PORTAL, 0.0)} == {"one", "two"}
    for job_id in ("one", "two"):
        assert await field(redis, keys.job(job_id), "inflight") == b"0"


async def test_a_batch_is_recorded_once(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 31))
    ledger = await start_lane(redis)
    batch = await take(ledger)
    settlement = await answer(redis, ledger, batch)
    assert not await ledger.settle(batch, settlement)
    job = await read_job(redis, job_id)
    assert (job.counts[Outcome.DELETED], job.requests.sent) == (10, 1)


async def test_nobody_records_the_batch_of_another_lane(redis: ArqRedis) -> None:
    await accept(redis, range(1, 31))
    mine, other = await start_lane(redis, "mine"), await start_lane(redis, "other")
    batch = await take(mine)
    await take(other)
    assert not await other.settle(batch, Settlement(items=[(batch.items[0], 0.0)]))
    await answer(redis, mine, batch)


async def test_settling_and_asking_again_is_one_trip(redis: ArqRedis) -> None:
    await accept(redis, range(1, 31))
    ledger = await start_lane(redis)
    batch = await take(ledger)
    recorded, grant = await ledger.settle_and_next(batch, Settlement(items=[(batch.items[0], 0.0)]), terms())
    assert recorded
    assert isinstance(grant, Batch)
    assert grant.items == batch.items, "what is due again goes first"


async def test_a_lost_answer_never_becomes_not_found(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    ledger = await start_lane(redis)
    await lose(redis, ledger, await take(ledger), LOST)
    await answer(redis, ledger, await take(ledger), visible=dict.fromkeys(range(1, 11), Visible.DELETABLE))
    batch = await take(ledger)
    assert (batch.call, batch.items[0].doubtful) == (Call.PUT, True)
    await answer(redis, ledger, batch, gone=range(1, 6))
    await answer(redis, ledger, await take(ledger))
    codes = [line.code for line in await lines_of(redis, job_id)]
    assert codes == [Code.DELETED] * 5 + [Code.PRESUMED_DELETED] * 5


async def test_a_caller_that_knows_that_all_lanes_are_dead_takes_over_immediately(redis: ArqRedis) -> None:
    await accept(redis, range(1, 31))
    for name in ("one", "two"):
        await take(await start_lane(redis, name))
    newcomer = lane(redis, "newcomer")
    assert not await newcomer.acquire(2)
    assert sorted(batch.size for batch in await take_over(redis, PORTAL, 0.0)) == [10, 10]
    assert await newcomer.acquire(2)
    batch = await take(newcomer)
    assert batch.call is Call.LOOK_UP
    assert all(item.doubtful for item in batch.items)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="Linux has this clock")
async def test_a_lane_whose_machine_was_suspended_does_not_rely_on_its_lease(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = await start_lane(redis, ttl_s=60.0)
    assert lane.holds_lease
    clock_gettime = time.clock_gettime

    def after_a_suspension(clock: int) -> float:
        return clock_gettime(clock) + (300.0 if clock == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr(time, "clock_gettime", after_a_suspension)
    assert not lane.holds_lease
