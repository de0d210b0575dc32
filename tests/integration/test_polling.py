"""What a fail-over does to arq's queue and connections does not end arq's loop."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import arq.worker
import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from structlog.testing import capture_logs

import simulator
from cli.embedded import EmbeddedServer
from config.settings import WorkerConfig
from jobs.lanes.wake import DRIVE_LANE, wake_lanes
from jobs.store import keys
from jobs.store.keys import NUDGE, QUEUE, leases
from jobs.words.states import State
from simulator import Behaviour, World
from tests.support.redis_proxy import losing_replies
from tests.support.sweeping import MARKS, accept, check_against_truth, ended, portal_settings, settings_of
from tests.support.waiting import until
from worker import polling
from worker.main import worker_options, working

pytestmark = MARKS

WAKE = "a wake-up"
MARK = in_progress_key_prefix + WAKE


@contextmanager
def nothing_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that arq's loop does not end, and that arq reports no failure."""
    with capture_logs() as logs:
        yield
    assert not [line for line in logs if line["event"] == "arq_restarted"]
    assert not [
        line.getMessage() for line in caplog.records if line.name == "arq.worker" and line.levelno >= logging.WARNING
    ]


async def test_a_message_that_has_lost_its_mark_is_not_started_a_second_time(
    redis: ArqRedis, server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A new primary can have the message, but not the mark that says that somebody works on it."""
    async with simulator.running(World(200), Behaviour(base_ms=50)) as portal:
        job_id = await accept(redis, range(1, 201), lanes=0)
        settings = settings_of(server, portal, batch_size_start=10, batch_size_max=10)
        with nothing_fails(caplog):
            async with working(settings):
                await redis.enqueue_job(DRIVE_LANE, "main", _job_id=WAKE)
                await portal.truth.until(lambda: len(portal.truth.calls) > 2, 20)
                assert await redis.delete(MARK)
                job = await ended(redis, job_id)
                assert not await redis.exists(MARK), "it was started again"
                await until(lambda: _gone(redis))
        assert job.state is State.COMPLETED
        await check_against_truth(redis, portal, job_id)


async def test_a_message_whose_mark_is_nobodys_is_taken_when_the_mark_has_lapsed(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks when arq has set the mark: arq takes that for the mark of another worker."""
    monkeypatch.setattr(polling, "MARK_LASTS_MS", 500)
    async with simulator.running(World(100)) as portal, losing_replies(server) as proxy:
        settings = settings_of(server, portal)
        settings = settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": proxy.url})})
        proxy.lose_reply(b"PSETEX\r\n$%d\r\n%s\r\n" % (len(MARK), MARK.encode()))
        async with working(settings):
            await redis.enqueue_job(DRIVE_LANE, "main", _job_id=WAKE)
            await until(lambda: _gone(redis))
        assert len(proxy.lost) == 1


async def test_the_mark_of_a_lane_lasts_as_long_as_the_lane(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "MARK_LASTS_MS", 1000)
    async with simulator.running(World(200), Behaviour(base_ms=100)) as portal:
        job_id = await accept(redis, range(1, 201), lanes=0)
        settings = settings_of(server, portal, batch_size_start=5, batch_size_max=5, max_concurrency=1)
        settings = settings.model_copy(update={"worker": settings.worker.model_copy(update={"slice_s": 60.0})})
        async with working(settings):
            await redis.enqueue_job(DRIVE_LANE, "main", _job_id=WAKE)
            await portal.truth.until(lambda: len(portal.truth.calls) > 25, 20)
            assert 0 < await redis.pttl(MARK) <= 1000
            await ended(redis, job_id)


async def test_a_connection_that_breaks_while_arq_looks_at_a_message(
    redis: ArqRedis, server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It breaks between `WATCH` and `MULTI`, when redis-py cannot send the command again."""
    look = b"EXISTS\r\n$%d\r\n%s\r\n" % (len(MARK), MARK.encode())
    async with simulator.running(World(100)) as portal, losing_replies(server) as proxy:
        settings = settings_of(server, portal)
        settings = settings.model_copy(
            update={
                "redis": settings.redis.model_copy(update={"url": proxy.url}),
                "worker": settings.worker.model_copy(update={"max_lanes": 1}),
            }
        )
        times = worker_options(settings)["max_jobs"] + 2
        with nothing_fails(caplog):
            async with working(settings):
                for _ in range(times):
                    proxy.lose_reply(look)
                    await redis.enqueue_job(DRIVE_LANE, "main", _job_id=WAKE)
                    await until(lambda: _gone(redis))
                job_id = await accept(redis, range(1, 101))
                assert (await ended(redis, job_id)).state is State.COMPLETED
        assert len(proxy.lost) == times
        await check_against_truth(redis, portal, job_id)


async def test_wake_ups_go_to_those_who_have_room(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that drives as many lanes as it may ends a wake-up without any effect."""
    monkeypatch.setattr(polling, "_GIVE_WAY_S", 5.0)  # also on a busy machine
    full, idle = 3, 1
    async with simulator.running(World(3000), Behaviour(base_ms=100)) as portal, contextlib.AsyncExitStack() as stack:
        settings = settings_of(server, portal, batch_size_start=1, batch_size_max=1, max_concurrency=full + idle)
        # Nobody is woken but by the test, and nobody looks but when nudged.
        worker = WorkerConfig(lifeline_s=30, slice_s=60, max_lanes=1).model_copy(update={"poll_delay_s": 120.0})
        settings = settings.model_copy(update={"worker": worker})
        await accept(redis, range(1, 3001), lanes=0)
        for lanes in range(1, full + idle + 1):
            await stack.enter_async_context(working(settings))
            await until(partial(_has_listeners, redis, lanes))
            await wake_lanes(redis, "main", 1)
            await until(partial(_has_lanes, redis, lanes), 20)


async def test_one_look_takes_no_more_wake_ups_than_there_is_room_for(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker to look must leave the others something."""
    monkeypatch.setattr(polling, "_GIVE_WAY_S", 5.0)  # also on a busy machine
    workers = 4
    async with simulator.running(World(3000), Behaviour(base_ms=100)) as portal, contextlib.AsyncExitStack() as stack:
        settings = settings_of(server, portal, batch_size_start=1, batch_size_max=1, max_concurrency=workers)
        worker = WorkerConfig(lifeline_s=30, slice_s=60, max_lanes=1).model_copy(update={"poll_delay_s": 120.0})
        settings = settings.model_copy(update={"worker": worker})
        await accept(redis, range(1, 3001), lanes=0)
        for _ in range(workers):
            await stack.enter_async_context(working(settings))
        await until(partial(_has_listeners, redis, workers))
        await wake_lanes(redis, "main", workers)
        await until(partial(_has_lanes, redis, workers), 20)


async def test_a_request_does_not_wait_behind_wake_ups_for_which_there_is_no_room(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    """They are due before it, and while all workers are full, the lifeline sends more and more of them."""
    async with simulator.running(World(3000), Behaviour(base_ms=100)) as portal:
        settings = settings_of(server, portal, batch_size_start=1, batch_size_max=1)
        worker = WorkerConfig(poll_delay_s=0.01, lifeline_s=30, slice_s=60, max_lanes=1)
        async with working(settings.model_copy(update={"worker": worker})):
            await accept(redis, range(1, 3001), lanes=1)
            await until(partial(_has_lanes, redis, 1))
            await wake_lanes(redis, "main", 20)
            await redis.enqueue_job("delete_contacts", _job_id="request", portal="main", contact_ids=[1])
            await until(lambda: redis.exists(keys.job("request")), 10)
            assert len(await _wake_ups(redis)) >= 20 + 1, "they are left for whoever has room"
            await wake_lanes(redis, "main", polling._MOST_LEFT)

            async def has_dropped_some() -> bool:
                return len(await _wake_ups(redis)) <= polling._MOST_LEFT + 1

            await until(has_dropped_some, 10)


async def test_a_wake_up_that_was_left_is_taken_when_a_lane_ends(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(40), Behaviour(base_ms=100)) as portal:
        settings = settings_of(server, portal, batch_size_start=1, batch_size_max=1)
        other = portal_settings(portal, name="other")
        # Nobody is woken but by the test, and nobody looks but when nudged.
        worker = WorkerConfig(lifeline_s=30, slice_s=60, max_lanes=1).model_copy(update={"poll_delay_s": 120.0})
        portals = {"main": settings.portal("main"), "other": other}
        async with working(settings.model_copy(update={"worker": worker, "portals": portals})):
            await until(partial(_has_listeners, redis, 1))
            first = await accept(redis, range(1, 21), lanes=1)
            await until(partial(_has_lanes, redis, 1), 10)
            second = await accept(redis, range(21, 41), lanes=1, portal="other")
            for job_id in (first, second):
                await ended(redis, job_id, 20)


async def test_a_worker_that_dies_before_a_request_is_begun_does_not_keep_it(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """arq marks a message before it reads it, for as long as the longest function may take."""
    monkeypatch.setattr(polling, "MARK_LASTS_MS", 1000)
    begun = asyncio.Event()

    async def hang(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with simulator.running(World(1)) as portal:
        settings = settings_of(server, portal)
        with monkeypatch.context() as patched:
            patched.setattr(arq.worker.Worker, "run_job", hang)
            async with working(settings):
                await redis.enqueue_job("delete_contacts", _job_id="request", portal="main", contact_ids=[1])
                await begun.wait()
        async with working(settings):
            await ended(redis, "request", 10)


async def test_a_worker_that_ends_waits_until_its_last_message_is_out_of_the_queue(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """arq goes on with that after the function has been cancelled, and would open a connection that nobody closes."""
    begun, ending = asyncio.Event(), asyncio.Event()
    finish_job = arq.worker.Worker.finish_job

    async def finish_slowly(*arguments: Any) -> None:
        begun.set()
        await ending.wait()
        await asyncio.sleep(0.3)  # far longer than a worker needs to end
        await finish_job(*arguments)

    monkeypatch.setattr(arq.worker.Worker, "finish_job", finish_slowly)
    async with simulator.running(World(1)) as portal:
        async with working(settings_of(server, portal)) as fleet:
            await redis.enqueue_job(DRIVE_LANE, "main", _job_id=WAKE)
            await begun.wait()
            fleet.drain.begin()
            ending.set()
        assert await _gone(redis)


async def _has_listeners(redis: ArqRedis, count: int) -> bool:
    return bool((await redis.pubsub_numsub(NUDGE))[0][1] == count)


async def _has_lanes(redis: ArqRedis, count: int) -> bool:
    return bool(await redis.zcard(leases("main")) == count)


async def _wake_ups(redis: ArqRedis) -> list[str]:
    return [one.decode() for one in await redis.zrange(QUEUE, 0, -1) if one.startswith(keys.WAKE_UP.encode())]


async def _gone(redis: ArqRedis) -> bool:
    return await redis.zscore(QUEUE, WAKE) is None
