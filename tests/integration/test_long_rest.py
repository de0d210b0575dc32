"""A portal that asks for a rest of a day: it gets a bounded one, then one careful call; a user can end it earlier."""

from typing import Any

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

import simulator
from cli.embedded import EmbeddedServer
from config.settings import Portal
from jobs.lanes import presence
from jobs.lanes.call_report import CallReport
from jobs.lanes.grants import Batch, Later, Turn
from jobs.lanes.lease import LaneLedger, rescue
from jobs.lanes.settlement import NewRest, Settlement
from jobs.steering.control import control as steer
from jobs.store import keys
from jobs.store.times import clock, iso
from jobs.view.job import read_job
from jobs.view.portal import read_portal
from jobs.words.errors import IllegalMove
from jobs.words.outcomes import Outcome
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State
from simulator import Behaviour, Fault, World
from simulator.faults import RetryAfterForm
from tests.support.lanes import PORTAL, accept, answer, ids_of, lapse, start_lane, take, terms
from tests.support.steering import control
from tests.support.sweeping import MARKS, check_against_truth, ended, settings_of
from tests.support.sweeping import accept as submit
from tests.support.waiting import until
from worker.main import working

pytestmark = MARKS

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


async def now_ms(redis: ArqRedis) -> int:
    seconds, micros = await redis.time()
    return int(seconds) * 1000 + int(micros) // 1000


async def facts(redis: ArqRedis) -> dict[str, str]:
    told = await redis.execute_command("HGETALL", keys.portal(PORTAL))
    return {name.decode(): value.decode() for name, value in told.items()}


async def set_facts(redis: ArqRedis, **values: Any) -> None:
    for name, value in values.items():
        await redis.execute_command("HSET", keys.portal(PORTAL), name, str(value))


async def push_back(redis: ArqRedis, lane: LaneLedger, batch: Batch, *, rest_s: float, asked_s: float | None) -> None:
    """Let the portal turn a call away, with nothing done."""
    settlement = Settlement(
        items=[(item, 0.0) for item in batch.items],
        rest=NewRest(rest_s, StateReason.PUSH_BACK, asked_s),
    )
    assert await lane.settle(batch, settlement)


async def rest_is_over(redis: ArqRedis) -> None:
    await set_facts(redis, push_back_until_ms=await now_ms(redis) - 1, tat_us=0)


@pytest.fixture
async def resting(redis: ArqRedis) -> tuple[ArqRedis, str]:
    """Return a job whose portal has asked for a day and been given an hour."""
    job_id = await accept(redis, range(1, 101))
    lane = await start_lane(redis, "first")
    batch = await take(lane)
    await push_back(redis, lane, batch, rest_s=3600, asked_s=86_400)
    await lane.release()
    return redis, job_id


async def test_the_rest_is_bounded_and_its_end_is_told(resting: tuple[ArqRedis, str]) -> None:
    redis, job_id = resting
    assert isinstance(await (await start_lane(redis)).next_batch(terms()), Later)
    told, now = await facts(redis), await now_ms(redis)
    assert float(told["push_back_until_ms"]) == pytest.approx(now + HOUR_MS, abs=60_000)
    assert float(told["asked_until_ms"]) == pytest.approx(now + DAY_MS, abs=60_000)
    await presence.beat(redis, "worker", [PORTAL], {})
    job = await read_job(redis, job_id)
    assert job.state_reason == "push_back"
    assert job.waits_until == iso(int(float(told["push_back_until_ms"])))


async def test_after_it_one_call_goes_alone(resting: tuple[ArqRedis, str]) -> None:
    redis, _ = resting
    await rest_is_over(redis)
    careful = await start_lane(redis, "careful")
    batch = await take(careful)
    for name in ("second", "third"):
        assert isinstance(await (await start_lane(redis, name)).next_batch(terms()), Later)
    await answer(redis, careful, batch, gone=(await ids_of(redis, batch))[0])
    assert "careful" not in await facts(redis)
    for name in ("fourth", "fifth"):
        await take(await start_lane(redis, name))


async def test_a_careful_call_that_is_pushed_back_begins_another_rest(resting: tuple[ArqRedis, str]) -> None:
    redis, _ = resting
    await rest_is_over(redis)
    lane = await start_lane(redis, "careful")
    await push_back(redis, lane, await take(lane), rest_s=3600, asked_s=86_400)
    assert isinstance(await (await start_lane(redis, "second")).next_batch(terms()), Later)
    await rest_is_over(redis)
    await take(await start_lane(redis, "third"))
    assert isinstance(await (await start_lane(redis, "fourth")).next_batch(terms()), Later)


async def test_where_the_worker_with_the_careful_call_died_another_one_is_careful(
    resting: tuple[ArqRedis, str],
) -> None:
    redis, _ = resting
    await rest_is_over(redis)
    await take(await start_lane(redis, "dead"))
    await lapse(redis, "dead")
    second = await start_lane(redis, "second")
    assert isinstance(await second.next_batch(terms()), Later), "the call may still be in flight"
    await rescue(redis, PORTAL, 0.0)
    await take(await start_lane(redis, "third"))
    assert isinstance(await (await start_lane(redis, "fourth")).next_batch(terms()), Later)


@pytest.mark.parametrize("event", [None, Event.PAUSE])
async def test_a_person_may_end_it_and_is_told_what_the_portal_had_asked_for(
    resting: tuple[ArqRedis, str], event: Event | None
) -> None:
    redis, job_id = resting
    asked_ms = int(float((await facts(redis))["asked_until_ms"]))
    if event:
        await control(redis, job_id, event, by="anna", lanes=0)
    done = await steer(redis, job_id, Event.RESUME, by="anna", lanes=0)
    assert done.rest_until_ms == asked_ms
    job = await read_job(redis, job_id)
    assert (job.actions[-1].action, job.actions[-1].by) == ("resume", "anna")
    assert job.actions[-1].detail == f"the portal had asked for a rest until {clock(iso(asked_ms))}"
    assert job.waits_until is None
    await take(await start_lane(redis, "careful"))
    assert isinstance(await (await start_lane(redis, "second")).next_batch(terms()), Later)


async def test_a_job_that_does_not_wait_cannot_be_resumed(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 101))
    with pytest.raises(IllegalMove):
        await control(redis, job_id, Event.RESUME, by="anna", lanes=0)


async def test_our_own_wait_before_a_log_in_is_not_ended(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 101))
    await set_facts(redis, push_back_until_ms=await now_ms(redis) + 30_000, push_back_reason="login_guard")
    with pytest.raises(IllegalMove):
        await control(redis, job_id, Event.RESUME, by="anna", lanes=0)
    await presence.beat(redis, "worker", [PORTAL], {})
    job = await read_job(redis, job_id)
    assert (job.state_reason, job.waits_until is None) == ("login_guard", False)


async def test_a_rest_that_was_kept_before_there_was_a_bound_is_bounded(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101))
    day = await now_ms(redis) + DAY_MS
    await set_facts(redis, push_back_until_ms=day, push_back_reason="push_back")
    assert isinstance(await (await start_lane(redis)).next_batch(terms(longest_rest_s=3600)), Later)
    told = await facts(redis)
    assert float(told["push_back_until_ms"]) < day - 20 * HOUR_MS
    assert float(told["asked_until_ms"]) == day
    assert "careful" in told


async def test_within_one_rest_the_longest_request_counts(redis: ArqRedis) -> None:
    await accept(redis, range(1, 1001))
    lanes = [await start_lane(redis, f"lane {number}") for number in range(3)]
    batches = [await take(lane) for lane in lanes]
    asked = []
    for lane, batch, asked_s in zip(lanes, batches, [7200, 86_400, 10_800], strict=True):
        await push_back(redis, lane, batch, rest_s=3600, asked_s=asked_s)
        asked.append(float((await facts(redis))["asked_until_ms"]))
    assert asked[0] < asked[1] == asked[2]
    await rest_is_over(redis)
    lane = await start_lane(redis, "careful")
    await push_back(redis, lane, await take(lane), rest_s=30, asked_s=30)
    assert float((await facts(redis))["asked_until_ms"]) < asked[0]


async def test_what_the_portal_asked_for_outlives_an_answer_that_asks_for_nothing(redis: ArqRedis) -> None:
    await accept(redis, range(1, 1001))
    lanes = [await start_lane(redis, f"lane {number}") for number in range(2)]
    batches = [await take(lane) for lane in lanes]
    await push_back(redis, lanes[0], batches[0], rest_s=3600, asked_s=86_400)
    told = await facts(redis)
    await push_back(redis, lanes[1], batches[1], rest_s=3600, asked_s=None)
    assert (await facts(redis))["asked_until_ms"] == told["asked_until_ms"]


@pytest.mark.parametrize("reason", ["login_guard", "portal_unreachable"])
async def test_a_wait_of_our_own_that_is_bounded_is_not_told_as_the_portals_word(redis: ArqRedis, reason: str) -> None:
    await accept(redis, range(1, 101))
    await set_facts(redis, push_back_until_ms=await now_ms(redis) + 55_000, push_back_reason=reason)
    assert isinstance(await (await start_lane(redis)).next_batch(terms(longest_rest_s=5)), Later | Turn)
    assert "asked_until_ms" not in await facts(redis)


async def test_a_short_rest_needs_no_care(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101))
    lane = await start_lane(redis, "first")
    await push_back(redis, lane, await take(lane), rest_s=30, asked_s=None)
    await rest_is_over(redis)
    for name in ("second", "third"):
        grant = await (await start_lane(redis, name)).next_batch(terms())
        assert isinstance(grant, Batch | Turn)


@pytest.mark.parametrize("form", ["seconds", "date", "epoch", "epoch_ms"])
async def test_workers_outlive_a_portal_that_says_in_a_day(
    redis: ArqRedis, server: EmbeddedServer, form: RetryAfterForm
) -> None:
    day = Fault(fault="throttle", retry_after_s=86_400, retry_after_form=form, next_calls=1)
    async with simulator.running(World(2000), Behaviour(base_ms=5), [day]) as portal:
        job_id = await submit(redis, range(1, 2001))
        async with working(settings_of(server, portal, retry_after_max_s=1.0)):
            assert (await ended(redis, job_id)).state is State.COMPLETED
        found = await check_against_truth(redis, portal, job_id)
        assert len(found[Outcome.DELETED]) == 2000
        first = next(call for call in portal.truth.calls if call.status == 429)
        assert first.answered_s is not None
        careful, third, *_ = [call for call in portal.truth.calls if call.arrived_s > first.answered_s + 0.5]
        assert careful.answered_s is not None
        assert careful.arrived_s - first.answered_s > 0.9
        assert third.arrived_s >= careful.answered_s, "nothing else is in flight beside the careful call"


async def test_a_resume_wakes_workers_that_had_given_up_for_a_day(redis: ArqRedis, server: EmbeddedServer) -> None:
    day = Fault(fault="throttle", retry_after_s=86_400, next_calls=1)
    async with simulator.running(World(500), Behaviour(base_ms=5), [day]) as portal:
        job_id = await submit(redis, range(1, 501))
        async with working(settings_of(server, portal)):

            async def rests() -> bool:
                return (await read_job(redis, job_id)).waits_until is not None

            await until(rests)
            await steer(redis, job_id, Event.RESUME, by="anna")
            assert (await ended(redis, job_id)).state is State.COMPLETED
        await check_against_truth(redis, portal, job_id)


@pytest.mark.parametrize("sent", [True, False])
async def test_a_careful_call_that_is_not_answered_well_leaves_the_others_waiting(
    resting: tuple[ArqRedis, str], *, sent: bool
) -> None:
    """The cases: a 429 without a duration, a 500, and a batch that was dropped and never sent."""
    redis, _ = resting
    await rest_is_over(redis)
    lane = await start_lane(redis, "careful")
    batch = await take(lane)
    report = CallReport(batch.server_ms(), batch.job_id, "put", batch.size, 0.1, 429, "rate_limit") if sent else None
    settlement = Settlement(items=[(item, 0.0) for item in batch.items], report=report)
    assert await lane.settle(batch, settlement)
    if sent:
        told = await facts(redis)
        assert float(told["push_back_until_ms"]) == pytest.approx(await now_ms(redis) + 10_000, abs=5_000)
        await rest_is_over(redis)
    await take(await start_lane(redis, "second"))
    assert isinstance(await (await start_lane(redis, "third")).next_batch(terms()), Later)


async def test_what_was_under_way_before_is_waited_for_and_ends_no_care(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 101))
    slow = await start_lane(redis, "slow")
    before = await take(slow)
    lane = await start_lane(redis, "first")
    await push_back(redis, lane, await take(lane), rest_s=3600, asked_s=86_400)
    await steer(redis, job_id, Event.RESUME, by="anna", lanes=0)
    assert isinstance(await (await start_lane(redis, "second")).next_batch(terms()), Later)
    await answer(redis, slow, before)
    await take(await start_lane(redis, "third"))
    assert isinstance(await (await start_lane(redis, "fourth")).next_batch(terms()), Later)


@pytest.mark.parametrize("reason", ["push_back", "portal_unreachable"])
async def test_a_wait_of_our_own_is_not_told_as_the_portals_word(redis: ArqRedis, reason: str) -> None:
    job_id = await accept(redis, range(1, 101))
    until_ms = await now_ms(redis) + 30_000
    await set_facts(redis, push_back_until_ms=until_ms, push_back_reason=reason)
    done = await steer(redis, job_id, Event.RESUME, by="anna", lanes=0)
    assert done.rest_until_ms is None
    assert (await read_job(redis, job_id)).actions[-1].detail is None
    assert "push_back_until_ms" not in await facts(redis)


async def test_a_short_rest_that_a_person_ends_is_told_as_the_portals_word(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 101))
    lane = await start_lane(redis, "first")
    await push_back(redis, lane, await take(lane), rest_s=30, asked_s=30)
    assert "careful" not in await facts(redis)
    done = await steer(redis, job_id, Event.RESUME, by="anna", lanes=0)
    assert done.rest_until_ms is not None
    portal = await read_portal(redis, Portal(name=PORTAL, url="http://127.0.0.1", token=SecretStr("t")))
    assert portal.actions[-1] == (await read_job(redis, job_id)).actions[-1]


async def test_a_worker_that_starts_bounds_a_rest_that_was_kept_without_a_bound(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(50), Behaviour(base_ms=5), []) as portal:
        day = await now_ms(redis) + DAY_MS
        await set_facts(redis, push_back_until_ms=day, push_back_reason="push_back")
        job_id = await submit(redis, range(1, 51), lanes=0)
        async with working(settings_of(server, portal, retry_after_max_s=1.0)):
            assert (await ended(redis, job_id)).state is State.COMPLETED
        await check_against_truth(redis, portal, job_id)
