"""Wake-ups: messages of arq, written by a script that also tells idle workers."""

import asyncio

import msgspec
import pytest
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from redis.asyncio.client import PubSub

from jobs.lanes import presence, wake
from jobs.lanes.wake import DRIVE_LANE, wake_lanes
from jobs.store import keys
from jobs.store.connection import QUEUE_LIFE_MS
from tests.support.lanes import lane
from worker.messages import read_message


async def queued(redis: ArqRedis) -> list[str]:
    return [one.decode() for one in await redis.zrange(keys.QUEUE, 0, -1)]


async def subscribed(redis: ArqRedis) -> PubSub:
    subscription = redis.pubsub()
    await subscription.subscribe(keys.NUDGE)
    assert (await heard(subscription)) == ("subscribe", 1)
    return subscription


async def heard(subscription: PubSub, timeout_s: float = 10.0) -> tuple[str, object]:
    message = await subscription.get_message(timeout=timeout_s)
    assert message is not None
    return message["type"], message["data"]


async def test_a_wake_up_is_a_message_as_arq_writes_it(redis: ArqRedis) -> None:
    await redis.enqueue_job(DRIVE_LANE, "main", _job_id="by-arq")
    await wake.wake(redis, DRIVE_LANE, "main", ids=["by-us"])
    by_arq, by_us = await redis.mget(job_key_prefix + "by-arq", job_key_prefix + "by-us")
    assert read_message(by_us) | {"et": 0} == read_message(by_arq) | {"et": 0}
    assert msgspec.json.decode(by_us).keys() == msgspec.json.decode(by_arq).keys()
    lives_ms = [await redis.pttl(job_key_prefix + name) for name in ("by-arq", "by-us")]
    assert all(QUEUE_LIFE_MS - 60_000 < life_ms <= QUEUE_LIFE_MS for life_ms in lives_ms)


async def test_each_lane_gets_a_message_and_the_workers_one_nudge(redis: ArqRedis) -> None:
    subscription = await subscribed(redis)
    await wake_lanes(redis, "main", 3)
    assert await heard(subscription) == ("message", b"0")
    assert len(set(await queued(redis))) == 3
    await wake_lanes(redis, "main", 0)
    await wake_lanes(redis, "main", 1, delay_s=1.5)
    kind, delay_ms = await heard(subscription)
    assert kind == "message"
    assert isinstance(delay_ms, bytes)
    assert 1500 <= int(delay_ms) <= 1600
    await subscription.aclose()


async def test_a_worker_whose_clock_is_behind_finds_it_due(redis: ArqRedis) -> None:
    await wake_lanes(redis, "main", 1)
    seconds, _ = await redis.time()
    assert await redis.zrangebyscore(keys.QUEUE, "-inf", (seconds - 30) * 1000)


async def test_one_alarm_is_enough_and_nudges_once(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000_000.0)
    subscription = await subscribed(redis)
    for _ in range(5):
        await wake_lanes(redis, "main", 1, delay_s=7.0)
    assert await queued(redis) == [keys.WAKE_UP + "main:1000000007.00"]
    await redis.publish(keys.NUDGE, b"the end")
    assert [await heard(subscription) for _ in range(2)] == [("message", b"7000"), ("message", b"the end")]
    await subscription.aclose()


async def test_an_alarm_that_is_being_answered_is_not_taken_for_the_next(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """arq keeps a message until its function has ended, and a lane asks for its next alarm before that."""
    now_s = 1_000_000_000.0
    monkeypatch.setattr("time.time", lambda: now_s)
    monkeypatch.setattr("time.time_ns", lambda: round(now_s * 1e9))
    for delay_s in (0.075, 0.017, 0.001, 0.99, 1.0, 0.004):
        await wake_lanes(redis, "main", 1, delay_s=delay_s)
        [(_, due_ms)] = await redis.zrange(keys.QUEUE, -1, -1, withscores=True)
        assert due_ms >= (now_s + delay_s) * 1000
        now_s = due_ms / 1000  # the alarm goes off; it stays in the queue while the lane is driven
    assert len(await queued(redis)) == 6


async def test_a_crowded_queue_gets_no_more_wake_ups(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "CROWDED", 3)
    for _ in range(3):
        await wake_lanes(redis, "main", 2)
    assert len(await queued(redis)) == 4
    assert len(await redis.keys(job_key_prefix + "*")) == 4


async def test_what_waits_for_no_worker_does_not_crowd_the_queue(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither requests that another service has deferred until tonight, nor the messages of lanes that are driven."""
    monkeypatch.setattr(wake, "CROWDED", 3)
    for _ in range(5):
        await redis.enqueue_job("delete_contacts", _defer_by=3600)
    await wake_lanes(redis, "main", 4)
    assert len(await queued(redis)) == 5 + 4
    await wake_lanes(redis, "main", 1)
    assert len(await queued(redis)) == 5 + 4, "now it is crowded"
    await presence.beat(redis, "worker", ["main"])
    for name in "abcd":
        await lane(redis, name, portal="main").acquire(4)
    await wake_lanes(redis, "main", 1)
    assert len(await queued(redis)) == 5 + 4 + 1


async def test_without_the_right_to_publish_only_the_nudge_is_lost(redis: ArqRedis) -> None:
    await redis.execute_command("ACL", "SETUSER", "default", "-publish")
    try:
        await wake_lanes(redis, "main", 2)
    finally:
        await redis.execute_command("ACL", "SETUSER", "default", "+publish")
    assert len(await queued(redis)) == 2


async def test_many_senders_at_once(redis: ArqRedis) -> None:
    await asyncio.gather(*(wake_lanes(redis, "main", 2) for _ in range(20)))
    assert len(set(await queued(redis))) == 40
