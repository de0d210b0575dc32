"""Limits that a user sets apply immediately and to all workers; what the portal answered is counted and shown."""

import asyncio

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

from config.settings import Portal
from jobs.lanes.call_report import BUCKET_NAMES, CallReport
from jobs.lanes.grants import Grant, Later, Surplus, Turn
from jobs.lanes.lease import reserve_turn
from jobs.lanes.settlement import NewRest, Settlement
from jobs.steering.limits import CONFIGURED, set_limits
from jobs.store import keys
from jobs.view.history import read_history
from jobs.view.job import read_job
from jobs.view.portal import read_portal
from jobs.view.stats import read_stats
from jobs.words.reasons import StateReason
from jobs.words.states import Event
from tests.support.lanes import PORTAL, accept, answer, lane, start_lane, take, terms
from tests.support.steering import control

SLOW = Portal(
    name=PORTAL, url="http://127.0.0.1:1", token=SecretStr("t"), requests_per_second=1, max_concurrency=2, burst=1
)


async def test_a_rate_that_somebody_sets_holds_for_every_kind_of_call(redis: ArqRedis) -> None:
    await accept(redis, range(1, 1001))
    one = await start_lane(redis)
    limits = terms(requests_per_second=1, burst=1)
    await take(one, limits)
    await set_limits(redis, SLOW, by="me", requests_per_second=100)
    turn = await reserve_turn(redis, PORTAL, limits)
    assert isinstance(turn, Turn)
    assert turn.wait_s <= 1.0
    grant = await one.next_batch(limits)
    assert isinstance(grant, Turn)
    assert grant.wait_s <= turn.wait_s + 0.02, "a hundred per second, one after the other"
    assert (await read_portal(redis, SLOW)).requests_per_second == 100


async def test_a_slower_rate_holds_back_calls_that_belong_to_no_batch(redis: ArqRedis) -> None:
    limits = terms(requests_per_second=100, burst=1, max_wait_s=20)
    await set_limits(redis, SLOW, by="me", requests_per_second=0.01)
    assert isinstance(await reserve_turn(redis, PORTAL, limits), Turn)
    later = await reserve_turn(redis, PORTAL, limits)
    assert isinstance(later, Later)
    assert 90 < later.wait_s <= 100
    assert later.interval_s == 100


async def test_fewer_calls_in_flight_take_lanes_back_one_by_one(redis: ArqRedis) -> None:
    await accept(redis, range(1, 1001))
    limits = terms(max_concurrency=3)
    lanes = [await start_lane(redis, f"lane-{number}") for number in range(3)]
    batches = [await take(one, limits) for one in lanes]
    await set_limits(redis, SLOW, by="me", max_concurrency=1)
    grants: list[Grant] = []
    for one, batch in zip(lanes, batches, strict=True):
        assert (await read_portal(redis, SLOW)).in_flight == 3 - len(grants)
        await answer(redis, one, batch)
        grants.append(await one.next_batch(limits))
        if not isinstance(grants[-1], Surplus):
            break
    assert [type(grant).__name__ for grant in grants] == ["Surplus", "Surplus", "Batch"]
    assert not await lane(redis, "another").acquire(3)
    await set_limits(redis, SLOW, by="me", max_concurrency=2)
    assert await lane(redis, "another").acquire(3)
    assert not await lane(redis, "one more").acquire(3)


async def test_a_lane_that_still_records_keeps_its_lease_until_it_has(redis: ArqRedis) -> None:
    await accept(redis, range(1, 1001))
    limits = terms(max_concurrency=2)
    one, other = await start_lane(redis, "one"), await start_lane(redis, "other")
    recording = await take(one, limits)
    await take(other, limits)
    await set_limits(redis, SLOW, by="me", max_concurrency=1)
    assert isinstance(await one.next_batch(limits), Surplus)
    assert await redis.zscore(keys.leases(PORTAL), "one"), "or its batch would be rescued"
    await answer(redis, one, recording)
    await one.release()


async def test_limits_go_back_to_the_configuration(redis: ArqRedis) -> None:
    await set_limits(redis, SLOW, by="me", requests_per_second=7, max_concurrency=5)
    await set_limits(redis, SLOW, by="you", requests_per_second=CONFIGURED)
    view = await read_portal(redis, SLOW)
    assert (view.requests_per_second, view.configured_requests_per_second) == (1, 1)
    assert (view.max_concurrency, view.configured_max_concurrency) == (5, 2)
    assert [(one.by, one.action, one.detail) for one in view.actions] == [
        ("me", "limits", "requests_per_second 7, max_concurrency 5"),
        ("you", "limits", "requests_per_second as configured"),
    ]


async def test_a_job_is_driven_with_what_its_portal_says(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 1001))
    portal = SLOW.model_copy(update={"requests_per_second": 10.0})
    limits = terms(requests_per_second=10)

    async def told() -> list[float | None]:
        """Return what the job says, then what the portal says."""
        job, view = await read_job(redis, job_id), await read_portal(redis, portal)
        return [job.requests_per_second, view.learned_requests_per_second]

    assert await told() == [None, 10], "there has been no call yet"
    one = await start_lane(redis)
    batch = await take(one, limits)
    assert await told() == [10, 10]
    await set_limits(redis, portal, by="me", requests_per_second=3.3333)
    assert await told() == [3.3333, 3.3333], "also before the next call"
    await set_limits(redis, portal, by="me", requests_per_second=100)
    await answer(redis, one, batch)
    batch = await take(one, limits)
    assert await told() == [100, 100]
    await set_limits(redis, portal, by="me", requests_per_second=CONFIGURED)
    assert await told() == [10, 10]
    settlement = Settlement(items=[(batch.items[0], 0.0)], sent=1, slow_down=True)
    assert await one.settle(batch, settlement)
    await redis.execute_command("HSET", keys.portal(PORTAL), "tat_us", 0)
    await take(one, limits)
    learned, same = await told()
    assert learned == same
    assert 0 < (learned or 0) < 10
    await set_limits(redis, portal, by="me", requests_per_second=0.125)
    assert await told() == [0.125, 0.125]


@pytest.mark.parametrize(
    "limits",
    [{"requests_per_second": 0}, {"requests_per_second": 1001}, {"max_concurrency": 65}, {"max_concurrency": 0}],
)
async def test_limits_out_of_range_change_nothing(redis: ArqRedis, limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"expected .* to .*, got"):
        await set_limits(redis, SLOW, by="me", **limits)
    assert not (await read_portal(redis, SLOW)).actions


async def test_a_portal_that_was_never_called_is_as_configured(redis: ArqRedis) -> None:
    view = await read_portal(redis, SLOW)
    assert view.learned_requests_per_second == view.requests_per_second == 1
    assert view.batch_size == SLOW.batch_size_start
    assert (view.lanes, view.in_flight, view.active_jobs, view.last_answers) == (0, 0, 0, ())
    assert (view.push_back_until, view.push_back_reason, view.fault) == (None, None, None)


async def test_answers_are_counted_and_the_last_ones_shown(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 1001))
    one = await start_lane(redis)
    for number in range(25):
        batch = await take(one)
        settlement = Settlement(
            items=[(batch.items[0], 0.0)],
            sent=1,
            throttled=1,
            rest=NewRest(0.0, StateReason.PUSH_BACK),
            report=CallReport(batch.server_ms(), job_id, "put", batch.size, 0.03 + number / 1000, 429, "push_back"),
        )
        assert await one.settle(batch, settlement)
    stats = await read_stats(redis, PORTAL)
    assert stats["calls:put:push_back"] == stats["throttled"] == stats["push_backs"] == 25
    assert stats["seconds:put:0.05"] == 21  # 0.030 to 0.050
    assert stats["seconds:put:0.1"] == 4
    assert stats["ms_sum:put"] == sum(range(30, 55))
    assert "contacts:deleted" not in stats
    last = (await read_portal(redis, SLOW)).last_answers
    assert [one.took_ms for one in last] == list(range(54, 34, -1))
    assert (last[0].job_id, last[0].call, last[0].size, last[0].http_status) == (job_id, "put", 10, 429)


async def test_outcomes_are_counted_including_those_of_a_cancelled_job(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 101))
    one = await start_lane(redis)
    await answer(redis, one, await take(one))
    await control(redis, job_id, Event.CANCEL, by="me", lanes=0)
    stats = await read_stats(redis, PORTAL)
    assert stats["contacts:deleted"] == 10
    assert stats["contacts:skipped"] == 90


async def test_a_job_can_be_drawn_over_time(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 31))
    one = await start_lane(redis)
    for _ in range(3):
        await answer(redis, one, await take(one))
    samples = await read_history(redis, job_id)
    assert samples[0].decided == 10
    assert samples[-1].decided == 30
    assert samples == sorted(samples, key=lambda sample: sample.at)


async def test_contacts_that_a_cancellation_skips_are_not_drawn_as_work(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 1001))
    one = await start_lane(redis)
    await answer(redis, one, await take(one))
    in_flight = await take(one)
    await control(redis, job_id, Event.CANCEL, by="me")
    await answer(redis, one, in_flight)
    assert [sample.decided for sample in await read_history(redis, job_id)] == [10, 20]


async def test_a_long_job_keeps_few_samples_and_takes_them_further_apart(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 10_001))
    one = await start_lane(redis)
    for _ in range(400):
        await redis.execute_command("HSET", keys.job(job_id), "history_due_ms", 0)
        await answer(redis, one, await take(one))
    samples = await read_history(redis, job_id)
    assert 120 <= len(samples) <= 240
    assert samples[0].decided == 10
    assert samples[-1].decided == 4000
    assert int(await redis.execute_command("HGET", keys.job(job_id), "history_every_ms")) == 4000


def test_every_duration_has_its_bucket() -> None:
    def bucket(took_s: float) -> str:
        return CallReport(0, "j", "put", 1, took_s, 200, "ok").counted()[2]

    assert [bucket(took_s) for took_s in (0, 0.01, 0.011, 1, 60, 61, 1e9)] == [
        "0.01", "0.01", "0.025", "1", "60", "+Inf", "+Inf"
    ]  # fmt: skip
    assert bucket(1e9) in BUCKET_NAMES


async def test_people_who_set_limits_at_the_same_time_leave_one_whole_setting(redis: ArqRedis) -> None:
    await asyncio.gather(
        *(
            set_limits(redis, SLOW, by=str(number), requests_per_second=number, max_concurrency=number)
            for number in range(1, 33)
        )
    )
    view = await read_portal(redis, SLOW)
    assert view.requests_per_second == view.max_concurrency
