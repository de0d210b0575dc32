"""What holds a job back is reported as it is: the state first, then whatever limits the calls most."""

from datetime import UTC, datetime, timedelta

import pytest
from arq.connections import ArqRedis
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from config.settings import Portal, Settings
from jobs.lanes import presence
from jobs.lanes.call_report import CallReport
from jobs.lanes.settlement import Settlement
from jobs.steering.limits import set_limits
from jobs.steering.priority import set_priority
from jobs.store import keys
from jobs.view.history import Sample
from jobs.view.why import Why, eta_range, explain
from jobs.words.errors import UnknownJob
from jobs.words.priority import Priority
from jobs.words.reasons import StateReason
from jobs.words.states import Event
from tests.support.lanes import PORTAL, accept, answer, lane, take, terms
from tests.support.steering import control

MAIN = Portal(
    name=PORTAL, url="http://127.0.0.1:1", token=SecretStr("t"), requests_per_second=10, max_concurrency=2, burst=1
)
SETTINGS = Settings(portals={PORTAL: MAIN})


async def why(redis: ArqRedis, job_id: str) -> Why:
    return await explain(redis, SETTINGS, job_id)


async def drive(redis: ArqRedis, *, took_s: float, slow_down: bool = False, lanes: int = 2) -> None:
    """Let lanes take a batch each, after one that the portal answered within `took_s`."""
    await presence.beat(redis, "worker", ["main"])
    limits = terms(batch_size=10, requests_per_second=10)
    drivers = [lane(redis, f"lane-{number}") for number in range(lanes)]
    for one in drivers:
        assert await one.acquire(64)
        batch = await take(one, limits)
        report = CallReport(batch.server_ms(), batch.job_id, "put", batch.size, took_s, 200, "ok")
        settlement = Settlement(items=[(batch.items[0], 0.0)], sent=1, slow_down=slow_down, report=report)
        assert await one.settle(batch, settlement)
        await take(one, limits)


async def test_a_slow_portal_is_limited_by_the_calls_in_flight(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 5001))
    await drive(redis, took_s=1.5)
    told = await why(redis, job_id)
    assert told.constraint == "concurrency"
    assert "1.50 s per call" in told.explanation
    assert told.portal is not None
    assert told.portal.last_answers[0].took_ms == 1500


async def test_a_fast_portal_is_limited_by_the_rate(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 5001))
    await drive(redis, took_s=0.02)
    told = await why(redis, job_id)
    assert (told.constraint, told.share) == ("rate", 1.0)
    assert "requests_per_second of main is 10" in told.explanation
    await set_limits(redis, MAIN, by="me", requests_per_second=3)
    assert "requests_per_second of main is 3" in (await why(redis, job_id)).explanation


async def test_a_portal_that_pushed_back_is_limited_by_what_was_learned(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 5001))
    await drive(redis, took_s=0.02, slow_down=True)
    told = await why(redis, job_id)
    assert told.constraint == "learned_rate"
    assert "instead of its ceiling of 10" in told.explanation


async def test_too_few_lanes_are_told(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 5001))
    await drive(redis, took_s=0.19, lanes=1)
    told = await why(redis, job_id)
    assert told.constraint == "lanes"
    assert "1 of 2 lanes drives main" in told.explanation


async def test_other_jobs_are_told_with_the_share(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 5001))
    for _ in range(3):
        await accept(redis, range(1, 5001))
    await drive(redis, took_s=0.02)
    told = await why(redis, job_id)
    assert (told.constraint, told.share) == ("fair_share", 0.25)
    assert "3 other jobs" in told.explanation
    await set_priority(redis, job_id, Priority.URGENT, by="me")
    told = await why(redis, job_id)
    assert (told.constraint, told.share) == ("rate", 0.7692)


async def test_one_other_job_is_told_as_one(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 5001), priority=Priority.BACKGROUND)
    await accept(redis, range(1, 5001))
    await drive(redis, took_s=0.02)
    assert "main has 1 other job to work on" in (await why(redis, job_id)).explanation


async def test_a_push_back_is_told_with_its_end(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 5001))
    await drive(redis, took_s=0.02)
    seconds, _ = await redis.time()
    until = datetime.fromtimestamp(seconds + 30, UTC)
    await redis.execute_command("HSET", keys.portal(PORTAL), "push_back_until_ms", (seconds + 30) * 1000)
    told = await why(redis, job_id)
    assert told.constraint == "push_back"
    assert datetime.fromisoformat(told.until or "") == until


async def test_what_stops_a_job_comes_first(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 5001))
    assert (await why(redis, job_id)).constraint == "no_worker"
    await presence.beat(redis, "worker", ["main"])
    assert (await why(redis, job_id)).constraint == "starting"
    await control(redis, job_id, Event.PAUSE, by="me", lanes=0)
    told = await why(redis, job_id)
    assert (told.constraint, told.state_reason, told.eta) == ("pause", "operator", None)
    assert f"crm-sweep resume {job_id}" in told.explanation
    await control(redis, job_id, Event.CANCEL, by="me", lanes=0)
    told = await why(redis, job_id)
    assert (told.constraint, told.explanation) == (None, "it has ended: cancelled")


async def test_a_fault_of_the_portal_is_told(redis: ArqRedis) -> None:
    await presence.beat(redis, "worker", ["main"])
    job_id = await accept(redis, range(1, 5001))
    one = lane(redis)
    assert await one.acquire(1)
    batch = await take(one)
    await one.settle(
        batch, Settlement(items=[(batch.items[0], 0.0)], stop=StateReason.PORTAL_PAYMENT, last_error="unpaid")
    )
    told = await why(redis, job_id)
    assert (told.constraint, told.state_reason) == ("portal_fault", "portal_payment")
    assert told.explanation == f"unpaid; then `crm-sweep resume {job_id}`"


async def test_what_stopped_a_job_is_shown_and_not_only_named(redis: ArqRedis) -> None:
    await presence.beat(redis, "worker", ["main"])
    job_id = await accept(redis, range(1, 5001))
    one = lane(redis)
    assert await one.acquire(1)
    batch = await take(one)
    trouble = Settlement(items=[(batch.items[0], 0.0)], stop=StateReason.UNDO_STORE, last_error="no space left")
    await one.settle(batch, trouble)
    told = await why(redis, job_id)
    assert told.state_reason == "undo_store"
    assert told.explanation.endswith("(last error: no space left)")


async def test_a_job_that_waits_for_approval_says_so(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11), needs_approval=True)
    assert (await why(redis, job_id)).constraint == "approval"


async def test_a_portal_that_is_not_configured_here_is_told(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 101))
    await drive(redis, took_s=0.02, lanes=1)
    told = await explain(redis, Settings(portals={}), job_id)
    assert told.portal is None
    assert "not in this configuration" in told.explanation


async def test_nobody_knows_why_an_unknown_job_waits(redis: ArqRedis) -> None:
    with pytest.raises(UnknownJob):
        await why(redis, "nobody")


async def test_the_eta_is_a_range(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 5001))
    await presence.beat(redis, "worker", ["main"])
    one = lane(redis)
    assert await one.acquire(1)
    await answer(redis, one, await take(one))
    await take(one)
    told = await why(redis, job_id)
    assert told.eta is not None
    assert told.eta.earliest_s <= told.eta.latest_s


@given(
    pending=st.integers(0, 10_000_000),
    pace=st.floats(0, 1e6),
    steps=st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 10_000)), max_size=240),
)
def test_an_eta_holds_the_present_pace_and_is_never_negative(
    pending: int, pace: float, steps: list[tuple[int, int]]
) -> None:
    at, decided, samples = datetime(2026, 1, 1, tzinfo=UTC), 0, []
    for wait_ms, more in steps:
        at, decided = at + timedelta(milliseconds=wait_ms), decided + more
        samples.append(Sample(at.isoformat(), decided, 5.0, 100))
    eta = eta_range(pending, pace, samples)
    if eta is None:
        assert pace == 0
    else:
        assert 0 <= eta.earliest_s <= eta.latest_s
        if pace:
            assert eta.earliest_s <= pending / pace + 0.1
            assert eta.latest_s >= pending / pace - 0.1
