"""Retries have a small rate of their own, so that they never become the load."""

from arq.connections import ArqRedis
from msgspec.structs import replace

from jobs.lanes.grants import Batch, Idle
from jobs.lanes.lease import LaneLedger
from jobs.lanes.settlement import Settlement
from jobs.ledger.items import Call
from jobs.store import keys
from tests.support.lanes import PORTAL, accept, field, start_lane, take, terms

#: Ten retries may go immediately, then one every 100 s.
SCARCE = terms(requests_per_second=1.0, burst=1_000_000, retry_share=0.01, batch_size=1)


async def fail(ledger: LaneLedger, batch: Batch) -> None:
    again = [(replace(item, call=Call.PUT, failures=item.failures + 1), 0.0) for item in batch.items]
    assert await ledger.settle(batch, Settlement(items=again, sent=1))


async def test_when_the_budget_is_spent_fresh_contacts_go_first(redis: ArqRedis) -> None:
    await accept(redis, range(1, 41))
    ledger = await start_lane(redis)
    fresh = retries = 0
    for _ in range(40):
        batch = await take(ledger, SCARCE)
        if batch.items[0].failures:
            retries += 1
        else:
            fresh += 1
        await fail(ledger, batch)
    assert retries == 10
    assert fresh == 30


async def test_with_nothing_else_to_do_retries_wait_for_their_turn(redis: ArqRedis) -> None:
    await accept(redis, [1])
    ledger = await start_lane(redis)
    for _ in range(11):
        await fail(ledger, await take(ledger, SCARCE))
    idle = await ledger.next_batch(SCARCE)
    assert isinstance(idle, Idle)
    assert idle.wait_s is not None
    assert 90 < idle.wait_s <= 100


async def test_all_jobs_of_a_portal_share_the_budget(redis: ArqRedis) -> None:
    for name in ("one", "two"):
        await accept(redis, [1], job_id=name)
    ledger = await start_lane(redis)
    for _ in range(12):
        await fail(ledger, await take(ledger, SCARCE))
    assert isinstance(await ledger.next_batch(SCARCE), Idle)


async def test_an_unused_budget_does_not_pile_up(redis: ArqRedis) -> None:
    await redis.execute_command("HSET", keys.portal(PORTAL), "retry_tat_us", 1)
    await accept(redis, [1])
    ledger = await start_lane(redis)
    for _ in range(11):
        await fail(ledger, await take(ledger, SCARCE))
    assert isinstance(await ledger.next_batch(SCARCE), Idle)


async def test_retries_of_a_slow_time_are_not_held_against_a_faster_one(redis: ArqRedis) -> None:
    """If a user raises the rate a hundredfold, what would have taken 1000 s takes 10 s."""
    job_id = await accept(redis, [1])
    ledger = await start_lane(redis)
    for _ in range(11):
        await fail(ledger, await take(ledger, SCARCE))
    assert isinstance(await ledger.next_batch(SCARCE), Idle)
    await redis.execute_command("HSET", keys.portal(PORTAL), "set_rate", 100.0)
    booked = set()
    for _ in range(3):
        [(item, _)] = await redis.zrange(keys.due_put(job_id), 0, -1, withscores=True)
        await redis.zadd(keys.due_put(job_id), {item: 0})  # this wait is over
        await redis.zadd(keys.waiting(PORTAL), {job_id: 0})
        assert await ledger.acquire(1000)
        idle = await ledger.next_batch(SCARCE)
        assert isinstance(idle, Idle)
        assert idle.wait_s is not None
        assert idle.wait_s < 2
        booked.add(await field(redis, keys.portal(PORTAL), "retry_tat_us"))
    assert len(booked) == 1, "the turn comes nearer"
