"""Turns at the portal: exact by reservation, on the server's clock. The times asserted are those the script gave."""

import asyncio
import itertools

import pytest
from arq.connections import ArqRedis

from jobs.lanes.grants import Batch, Later, Terms, Turn
from jobs.lanes.lease import reserve_turn
from jobs.lanes.settlement import NewRest, Settlement
from jobs.store import keys
from jobs.words.reasons import StateReason
from tests.support.lanes import PORTAL, accept, answer, field, ids_of, lane, start_lane, take, terms

#: Longest time between our reading of the server's clock and the script's, within which the numbers have to agree.
SLACK_S = 2.0


async def clock_us(redis: ArqRedis) -> int:
    seconds, micros = await redis.time()
    return int(seconds) * 1_000_000 + int(micros)


async def tat_us(redis: ArqRedis) -> float:
    return float(await field(redis, keys.portal(PORTAL), "tat_us") or 0)


async def turns_us(redis: ArqRedis, limits: Terms, calls: int) -> list[float]:
    """Return the turns that this many callers get, on the server's clock, from what each reservation leaves behind."""
    taken = []
    for _ in range(calls):
        turn = await reserve_turn(redis, PORTAL, limits)
        assert isinstance(turn, Turn)
        taken.append(await tat_us(redis))
    return taken


@pytest.mark.parametrize("rate", [0.5, 3.0, 7.0])
async def test_turns_are_spaced_exactly_however_many_callers(redis: ArqRedis, rate: float) -> None:
    limits = terms(requests_per_second=rate, burst=1, max_wait_s=600)
    taken = await turns_us(redis, limits, 30)
    gaps = [later - earlier for earlier, later in itertools.pairwise(taken)]
    assert gaps == pytest.approx([1_000_000 / rate] * 29, abs=1)


async def test_callers_at_the_same_moment_get_different_turns(redis: ArqRedis) -> None:
    limits = terms(requests_per_second=2, burst=1, max_wait_s=600)
    turns = await asyncio.gather(*(reserve_turn(redis, PORTAL, limits) for _ in range(20)))
    waits = sorted(turn.wait_s for turn in turns)
    gaps = [later - earlier for earlier, later in itertools.pairwise(waits)]
    # Each wait is relative to its own moment, so the gaps fall short of 0.5 s by as much as the calls took.
    assert sum(gaps) == pytest.approx(19 * 0.5, abs=SLACK_S)
    assert all(0.5 - SLACK_S < gap < 0.5 + SLACK_S for gap in gaps)
    assert await tat_us(redis) == pytest.approx(await clock_us(redis) + 20 * 500_000, abs=SLACK_S * 1e6)


async def test_after_a_quiet_time_a_burst_goes_immediately_and_no_more(redis: ArqRedis) -> None:
    limits = terms(requests_per_second=0.1, burst=4, max_wait_s=600)
    waits = [(await reserve_turn(redis, PORTAL, limits)).wait_s for _ in range(7)]
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4:] == pytest.approx([10, 20, 30], abs=SLACK_S)


async def test_a_turn_too_far_away_is_not_reserved(redis: ArqRedis) -> None:
    limits = terms(requests_per_second=0.1, burst=1, max_wait_s=15)
    assert (await reserve_turn(redis, PORTAL, limits)).wait_s == 0
    assert isinstance(await reserve_turn(redis, PORTAL, limits), Turn)
    before = await tat_us(redis)
    later = await reserve_turn(redis, PORTAL, limits)
    assert isinstance(later, Later)
    assert later.wait_s == pytest.approx(20, abs=SLACK_S)
    assert await tat_us(redis) == before


async def test_lanes_and_log_ins_share_the_turns(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100))
    limits = terms(requests_per_second=0.5, burst=1)
    ledger = await start_lane(redis)
    assert isinstance(await ledger.next_batch(limits), Batch)
    turn = await reserve_turn(redis, PORTAL, limits)
    assert isinstance(turn, Turn)
    assert turn.wait_s == pytest.approx(2, abs=SLACK_S)
    other = await start_lane(redis, "other")
    grant = await other.next_batch(limits)
    assert isinstance(grant, Turn)
    assert grant.wait_s == pytest.approx(4, abs=SLACK_S)


async def test_with_its_turn_a_lane_gets_its_batch(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100))
    limits = terms(requests_per_second=5, burst=1)
    await reserve_turn(redis, PORTAL, limits)
    ledger = await start_lane(redis)
    turn = await ledger.next_batch(limits)
    assert isinstance(turn, Turn)
    before = await tat_us(redis)
    await asyncio.sleep(turn.wait_s + 0.001)
    assert isinstance(await ledger.next_batch(limits, has_turn=True), Batch)
    assert await tat_us(redis) == before, "the turn was reserved before"


async def test_a_turn_that_has_not_come_yet_is_waited_for_again(redis: ArqRedis) -> None:
    """After a freeze of the server, lanes have waited longer than the steady clock says: no rush, then."""
    await accept(redis, range(1, 100))
    limits = terms(requests_per_second=0.5, burst=1)
    await reserve_turn(redis, PORTAL, limits)
    ledger = await start_lane(redis)
    turn = await ledger.next_batch(limits)
    assert isinstance(turn, Turn)
    before = await tat_us(redis)
    again = await ledger.next_batch(limits, has_turn=True)
    assert isinstance(again, Turn)
    assert again.wait_s == pytest.approx(turn.wait_s, abs=SLACK_S)
    assert again.wait_s <= turn.wait_s
    assert await tat_us(redis) == before, "it is the same turn"


async def test_a_push_back_moves_everybody_and_takes_turns_away(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100))
    limits = terms(requests_per_second=1, burst=1, max_wait_s=60)
    first, second = await start_lane(redis, "first"), await start_lane(redis, "second")
    batch = await take(first, limits)
    assert isinstance(await second.next_batch(limits), Turn)
    settlement = Settlement(items=[(batch.items[0], 0.0)], rest=NewRest(30, StateReason.PUSH_BACK))
    assert await first.settle(batch, settlement)

    # The second lane already had its turn; it is given a new one, after the push-back.
    again = await second.next_batch(limits, has_turn=True)
    assert isinstance(again, Turn)
    assert again.wait_s == pytest.approx(30, abs=SLACK_S)
    third = await reserve_turn(redis, PORTAL, limits)
    assert third.wait_s == pytest.approx(31, abs=SLACK_S)


async def test_a_push_back_beyond_the_longest_wait_sends_lanes_away(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100))
    limits = terms(requests_per_second=1, burst=1, max_wait_s=20)
    ledger = await start_lane(redis)
    batch = await take(ledger, limits)
    await ledger.settle(batch, Settlement(items=[(batch.items[0], 0.0)], rest=NewRest(300, StateReason.PUSH_BACK)))
    grant = await ledger.next_batch(limits)
    assert isinstance(grant, Later)
    assert grant.wait_s == pytest.approx(300, abs=SLACK_S)
    assert not await redis.exists(keys.leases(PORTAL)), "the lease is given back"


async def test_a_push_back_is_never_shortened(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100))
    lanes = [await start_lane(redis, name) for name in ("first", "second")]
    batches = [await take(ledger) for ledger in lanes]
    for ledger, batch, push_back_s in zip(lanes, batches, [50.0, 5.0], strict=True):
        items = [(batch.items[0], 0.0)]
        assert await ledger.settle(batch, Settlement(items=items, rest=NewRest(push_back_s, StateReason.PUSH_BACK)))
    turn = await reserve_turn(redis, PORTAL, terms(requests_per_second=1000, burst=1))
    assert turn.wait_s == pytest.approx(50, abs=SLACK_S)


async def test_calm_forgets_the_reason_of_a_push_back(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100))
    ledger = await start_lane(redis)
    batch = await take(ledger)
    await ledger.settle(batch, Settlement(items=[(batch.items[0], 0.0)], rest=NewRest(0, StateReason.PUSH_BACK)))
    assert await field(redis, keys.portal(PORTAL), "push_back_reason") == b"push_back"
    await answer(redis, ledger, await take(ledger))
    assert await field(redis, keys.portal(PORTAL), "push_back_reason") is None


async def test_what_a_slower_rate_left_behind_does_not_hold_up_a_faster_one(redis: ArqRedis) -> None:
    slow = terms(requests_per_second=0.01, burst=1, max_wait_s=1e6)
    for _ in range(60):
        await reserve_turn(redis, PORTAL, slow)
    fast = terms(requests_per_second=10, burst=1, max_wait_s=1e6)
    turn = await reserve_turn(redis, PORTAL, fast)
    assert turn.wait_s <= 81 * 0.1


async def test_a_clock_that_jumped_back_does_not_hold_up_the_portal(redis: ArqRedis) -> None:
    await redis.execute_command("HSET", keys.portal(PORTAL), "tat_us", await clock_us(redis) + 86_400 * 1_000_000)
    limits = terms(requests_per_second=10, burst=5, max_wait_s=1e6)
    turn = await reserve_turn(redis, PORTAL, limits)
    assert turn.wait_s <= (80 + 5) * 0.1
    # After it, everything is spaced as usual.
    taken = await turns_us(redis, limits, 5)
    gaps = [later - earlier for earlier, later in itertools.pairwise(taken)]
    assert gaps == pytest.approx([100_000] * 4, abs=SLACK_S * 1e6)


async def test_an_idle_lane_takes_no_turn(redis: ArqRedis) -> None:
    ledger = await start_lane(redis)
    await ledger.next_batch(terms(requests_per_second=0.1, burst=1))
    assert await tat_us(redis) == 0


async def test_a_faster_portal_does_not_pay_for_another_one(redis: ArqRedis) -> None:
    limits = terms(requests_per_second=0.01, burst=1)
    assert (await reserve_turn(redis, "one", limits)).wait_s == 0
    assert (await reserve_turn(redis, "two", limits)).wait_s == 0


async def test_a_batch_in_hand_is_delivered_again_without_a_turn(redis: ArqRedis) -> None:
    """The reply that gave it was lost."""
    await accept(redis, range(1, 100))
    limits = terms(requests_per_second=0.1, burst=1)
    ledger = await start_lane(redis)
    batch = await take(ledger, limits)
    again = await take(lane(redis, "lane"), limits)  # does not know that it was given anything
    assert (again.seq, again.items) == (batch.seq, batch.items)
    assert await ids_of(redis, again) == [list(range(1, 11))]
