"""The gates hold back PUTs in the step that hands out a batch, and nothing else, whatever the lanes believe."""

import asyncio
from typing import Any

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

from config.settings import Portal
from jobs.accept.approval import ApprovalTerms
from jobs.lanes import presence
from jobs.lanes.gates import Gates
from jobs.lanes.grants import Batch, Idle, Outdated, Terms, Turn
from jobs.lanes.lease import LaneLedger
from jobs.lanes.settlement import Settlement
from jobs.ledger.items import Call
from jobs.steering.control import control
from jobs.steering.limits import CONFIGURED, set_limits
from jobs.steering.switch import Switch, switch
from jobs.store import keys
from jobs.store.times import iso, server_ms
from jobs.view.job import read_job
from jobs.view.portal import PortalView, read_portal
from jobs.view.why import explain
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State
from tests.support.browsing import settings_with
from tests.support.lanes import PORTAL, accept, answer, field, forget_reply, lose, start_lane, take, terms

MAIN = Portal(name=PORTAL, url="http://127.0.0.1:1", token=SecretStr("t"))
HOUR_MS = 3_600_000


async def now_ms(redis: ArqRedis) -> int:
    return server_ms(await redis.time())


async def stop(redis: ArqRedis, *, of_all: bool = False) -> None:
    await switch(redis, Switch.STOP, [MAIN], of_all=of_all, by="me")


async def start(redis: ArqRedis, *, of_all: bool = False) -> None:
    await switch(redis, Switch.START, [MAIN], of_all=of_all, by="me")


async def is_held(ledger: LaneLedger, limits: Terms) -> bool:
    grant = await ledger.next_batch(limits)
    if isinstance(grant, Idle):
        await ledger.acquire(1000)
        return True
    assert isinstance(grant, Batch)
    return False


async def view(redis: ArqRedis, **facts: Any) -> PortalView:
    return await read_portal(redis, MAIN.model_copy(update=facts))


def capped(most: int, day: str = "2026-11-26", ends_ms: int = 0, **facts: Any) -> Terms:
    return terms(gates=Gates(most_per_day=most, day=day, day_ends_ms=ends_ms), **facts)


@pytest.mark.parametrize("of_all", [False, True])
async def test_a_stop_holds_puts_until_it_is_lifted(redis: ArqRedis, of_all: bool) -> None:
    job_id = await accept(redis, range(1, 101))
    ledger = await start_lane(redis)
    batch = await take(ledger)
    await stop(redis, of_all=of_all)
    await answer(redis, ledger, batch)
    assert await is_held(ledger, terms())
    job = await read_job(redis, job_id)
    assert (job.state, job.state_reason, job.waits_until) == (State.RUNNING, "stopped", None)
    stopped = (await view(redis)).stopped
    assert stopped
    assert (stopped.portal, stopped.by) == (None if of_all else PORTAL, "me")
    await start(redis, of_all=of_all)
    assert not await is_held(ledger, terms())
    now = await view(redis)
    assert (now.stopped, now.held_by) == (None, None)
    assert [action.action for action in now.actions] == ["stop", "start"]


async def test_the_start_of_one_portal_does_not_lift_the_stop_of_all(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101))
    ledger = await start_lane(redis)
    await stop(redis, of_all=True)
    await stop(redis)
    await start(redis)
    assert await is_held(ledger, terms())
    await start(redis, of_all=True)
    assert not await is_held(ledger, terms())


async def test_a_second_stop_keeps_the_name_of_the_first(redis: ArqRedis) -> None:
    await switch(redis, Switch.STOP, [MAIN], of_all=False, by="first")
    [one] = await switch(redis, Switch.STOP, [MAIN], of_all=False, by="second")
    assert one.by == "first"
    assert len((await view(redis)).actions) == 1


async def test_a_stop_between_the_turn_and_the_batch_holds_the_batch(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101))
    slow = terms(requests_per_second=0.1, burst=1)
    ledger = await start_lane(redis)
    await answer(redis, ledger, await take(ledger, slow))
    assert isinstance(await ledger.next_batch(slow), Turn)
    await stop(redis)
    assert isinstance(await ledger.next_batch(slow, has_turn=True), Idle)


async def test_a_batch_whose_grant_was_lost_is_not_sent_after_a_stop(redis: ArqRedis) -> None:
    await accept(redis, range(1, 31))
    ledger = await start_lane(redis)
    lost = await take(ledger, capped(1000))
    # Its reply did not arrive: the same lane asks for the same place again.
    forget_reply(ledger, lost)
    await stop(redis)
    again = await take(ledger, capped(1000))
    assert (again.seq, again.size, again.most) == (lost.seq, 10, 0)
    assert (await field(redis, keys.portal(PORTAL), "day_sent")) == b"0"


async def test_a_stop_leaves_look_ups_and_cancelling_alone(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 101))
    ledger = await start_lane(redis)
    await lose(redis, ledger, await take(ledger))
    await stop(redis)
    look_up = await take(ledger)
    assert look_up.call is Call.LOOK_UP
    await answer(redis, ledger, look_up)
    assert await is_held(ledger, terms())
    await control(redis, job_id, Event.CANCEL, by="me")
    job = await read_job(redis, job_id)
    assert job.state is State.CANCELLED


async def test_a_put_that_waits_for_its_retry_is_given_up_when_a_stopped_job_is_cancelled(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    ledger = await start_lane(redis)
    batch = await take(ledger)
    assert await ledger.settle(batch, Settlement(items=[(batch.items[0], 0.0)]))
    await stop(redis)
    assert await is_held(ledger, terms())
    await control(redis, job_id, Event.CANCEL, by="me")
    batch = await take(ledger)
    assert (batch.call, batch.state, batch.most) == (Call.PUT, State.CANCELLING, None)


async def test_a_held_job_does_not_block_another_one(redis: ArqRedis) -> None:
    held = await accept(redis, range(1, 101), needs_approval=True)
    await control(redis, held, Event.APPROVE, by="me", terms=ApprovalTerms(cooling_off_ms=3_600_000))
    free = await accept(redis, range(1, 101))
    ledger = await start_lane(redis)
    for _ in range(3):
        batch = await take(ledger)
        assert batch.job_id == free
        await answer(redis, ledger, batch)


async def test_an_approved_job_cools_off_before_its_first_put(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11), needs_approval=True)
    before = await now_ms(redis)
    await control(redis, job_id, Event.APPROVE, by="me", terms=ApprovalTerms(cooling_off_ms=3_600_000))
    assert await is_held(await start_lane(redis), terms())
    await presence.beat(redis, "worker", [PORTAL])
    job = await read_job(redis, job_id)
    assert (job.state, job.state_reason) == (State.QUEUED, "cooling_off")
    assert job.waits_until
    assert iso(before + HOUR_MS) <= job.waits_until <= iso(await now_ms(redis) + HOUR_MS)
    await control(redis, job_id, Event.CANCEL, by="me")
    assert (await read_job(redis, job_id)).state is State.CANCELLED


async def test_a_job_that_has_cooled_off_goes_on(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11), needs_approval=True)
    await control(redis, job_id, Event.APPROVE, by="me", terms=ApprovalTerms(cooling_off_ms=3_600_000))
    ledger = await start_lane(redis)
    assert await is_held(ledger, terms())
    # The hour is over.
    await redis.execute_command("HSET", keys.job(job_id), "not_before_ms", await now_ms(redis) - 1)
    await redis.zadd(keys.waiting(PORTAL), {job_id: await now_ms(redis) - 1})
    assert not await is_held(ledger, terms())


async def test_closed_windows_hold_puts_and_say_until_when(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    now = await now_ms(redis)
    closed = terms(gates=Gates(from_ms=now - HOUR_MS, until_ms=now + HOUR_MS, is_open=False, opens_ms=now + HOUR_MS))
    ledger = await start_lane(redis)
    grant = await ledger.next_batch(closed)
    assert isinstance(grant, Idle)
    assert grant.wait_s is not None
    assert 25 < grant.wait_s <= 30, "looked at again in case somebody changes the configuration"
    state = await view(redis)
    assert (state.held_by, state.held_until) == ("outside_window", iso(now + HOUR_MS))
    await presence.beat(redis, "worker", [PORTAL])
    job = await read_job(redis, job_id)
    assert (job.state_reason, job.waits_until) == ("outside_window", iso(now + HOUR_MS))
    assert await redis.zscore(keys.waiting(PORTAL), job_id)


async def test_a_lane_that_was_told_about_another_time_gets_nothing(redis: ArqRedis) -> None:
    await accept(redis, range(1, 11))
    now = await now_ms(redis)
    ledger = await start_lane(redis)
    for gates in (Gates(until_ms=now - 1), Gates(from_ms=now + HOUR_MS)):
        grant = await ledger.next_batch(terms(gates=gates))
        assert isinstance(grant, Outdated)
        assert now <= grant.now_ms <= await now_ms(redis)
    assert ledger.holds_lease
    assert not await is_held(ledger, terms(gates=Gates(from_ms=now - 1, until_ms=now + HOUR_MS)))


async def test_a_portal_can_be_opened_once(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101))
    now = await now_ms(redis)
    closed = terms(gates=Gates(is_open=False, opens_ms=now + 10 * HOUR_MS))
    ledger = await start_lane(redis)
    assert await is_held(ledger, closed)
    await set_limits(redis, MAIN, by="me", open_until_ms=now + HOUR_MS)
    assert (await view(redis)).open_until == iso(now + HOUR_MS)
    batch = await take(ledger, closed)
    await set_limits(redis, MAIN, by="me", open_until_ms=CONFIGURED)
    await answer(redis, ledger, batch)
    assert await is_held(ledger, closed)
    assert (await view(redis)).open_until is None
    assert [action.action for action in (await view(redis)).actions] == ["limits", "limits"]


@pytest.mark.parametrize("ahead_ms", [-1, 7 * 24 * HOUR_MS + 60_000])
async def test_it_is_opened_neither_in_the_past_nor_for_long(redis: ArqRedis, ahead_ms: int) -> None:
    with pytest.raises(ValueError, match="open_until"):
        await set_limits(redis, MAIN, by="me", open_until_ms=await now_ms(redis) + ahead_ms)
    assert not (await view(redis)).actions


async def test_two_lanes_at_the_edge_of_the_cap_never_exceed_it(redis: ArqRedis) -> None:
    await accept(redis, range(1, 1001))
    lanes = [await start_lane(redis, f"lane-{number}") for number in range(2)]
    limits = capped(35)
    sent = 0
    while lanes:
        grants = await asyncio.gather(*(one.next_batch(limits) for one in lanes))
        taken = [(one, grant) for one, grant in zip(lanes, grants, strict=True) if isinstance(grant, Batch)]
        for one, batch in taken:
            sent += batch.size
            assert batch.most == batch.size
            assert await one.settle(batch, Settlement(items=[(batch.items[0], 600.0)]))
        lanes = [one for one, _ in taken]
    assert sent == 35
    assert (await field(redis, keys.portal(PORTAL), "day_sent")) == b"35"


async def test_a_new_day_begins_at_nothing(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 101))
    ends = await now_ms(redis) + HOUR_MS
    ledger = await start_lane(redis)
    await answer(redis, ledger, await take(ledger, capped(10)))
    assert await is_held(ledger, capped(10, ends_ms=ends))
    state = await view(redis)
    assert (state.held_by, state.held_until) == ("daily_cap", iso(ends))
    await redis.zadd(keys.waiting(PORTAL), {job_id: 1})
    assert not await is_held(ledger, capped(10, day="2026-11-27"))


async def test_what_was_not_sent_does_not_count(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101))
    ledger = await start_lane(redis)
    batch = await take(ledger, capped(12))
    assert await ledger.settle(batch, Settlement(items=[(batch.items[0], 600.0)], unsent=4))
    assert (await field(redis, keys.portal(PORTAL), "day_sent")) == b"6"
    assert (await take(ledger, capped(12))).size == 6


async def test_what_was_not_sent_yesterday_does_not_lower_the_count_of_today(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101))
    ledger = await start_lane(redis)
    yesterday = await take(ledger, capped(100))
    today = await take(ledger, capped(100, day="2026-11-27"))
    assert await ledger.settle(yesterday, Settlement(items=[(yesterday.items[0], 600.0)], unsent=10))
    assert today.size == 10
    assert (await field(redis, keys.portal(PORTAL), "day_sent")) == b"10"


async def test_a_retry_counts_again_and_is_cut_to_what_is_left(redis: ArqRedis) -> None:
    await accept(redis, range(1, 11))
    ledger = await start_lane(redis)
    batch = await take(ledger, capped(14))
    assert await ledger.settle(batch, Settlement(items=[(batch.items[0], 0.0)]))
    again = await take(ledger, capped(14))
    assert (again.size, again.most) == (10, 4)
    assert (await field(redis, keys.portal(PORTAL), "day_sent")) == b"14"


async def test_a_look_up_is_not_counted(redis: ArqRedis) -> None:
    await accept(redis, range(1, 11))
    ledger = await start_lane(redis)
    await lose(redis, ledger, await take(ledger, capped(10)))
    look_up = await take(ledger, capped(10))
    assert (look_up.call, look_up.most) == (Call.LOOK_UP, None)
    assert (await field(redis, keys.portal(PORTAL), "day_sent")) == b"10"


async def test_a_job_of_another_address_pauses_before_anything_is_sent(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11), address="old")
    ledger = await start_lane(redis)
    assert await is_held(ledger, terms(gates=Gates(address="new")))
    job = await read_job(redis, job_id)
    assert (job.state, job.state_reason, job.requests.sent) == (State.PAUSED, "portal_changed", 0)
    await control(redis, job_id, Event.RESUME, by="me")
    assert not await is_held(ledger, terms(gates=Gates(address="old")))


async def test_not_even_a_look_up_goes_to_another_address(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 31), address="old")
    ledger = await start_lane(redis)
    old, new = terms(gates=Gates(address="old")), terms(gates=Gates(address="new"))
    await lose(redis, ledger, await take(ledger, old))
    await control(redis, job_id, Event.CANCEL, by="me")
    assert await is_held(ledger, new)
    job = await read_job(redis, job_id)
    assert (job.state, job.state_reason) == (State.CANCELLING, "portal_changed")
    await redis.zadd(keys.waiting(PORTAL), {job_id: 1})
    look_up = await take(ledger, old)
    assert look_up.call is Call.LOOK_UP
    await answer(redis, ledger, look_up)
    assert (await read_job(redis, job_id)).state is State.CANCELLED


async def test_a_job_without_an_address_goes_anywhere(redis: ArqRedis) -> None:
    await accept(redis, range(1, 11))
    assert not await is_held(await start_lane(redis), terms(gates=Gates(address="new")))


async def test_why_names_who_stopped_the_portal(redis: ArqRedis, server: Any) -> None:
    job_id = await accept(redis, range(1, 11))
    await stop(redis)
    why = await explain(redis, settings_with(server), job_id)
    assert why.constraint == StateReason.STOPPED
    assert "me stopped all deletions at main" in why.explanation
    assert "crm-sweep start --portal main" in why.explanation
