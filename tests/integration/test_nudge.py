"""An idle worker learns of new work at once; without the nudge, when it looks next."""

import asyncio
import os
import signal
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix

import simulator
from bench.forwarder import Forwarder, forwarding
from bench.moving_address import moving_address
from cli.embedded import EmbeddedServer
from config.redis_url import RedisUrl
from config.settings import RedisConfig, Settings, WorkerConfig
from jobs.lanes.wake import DRIVE_LANE, wake, wake_lanes
from jobs.store import keys
from jobs.store.connection import connect
from jobs.words.states import State
from simulator import World
from tests.support.sweeping import EAGER, MARKS, accept, check_against_truth, ended, settings_of
from tests.support.waiting import until
from worker import nudge
from worker.main import working
from worker.nudge import Nudges

pytestmark = MARKS

#: Far more than anything here takes, also on a busy machine, and far less than `NEVER_S`.
SOON_S = 20.0
NEVER_S = 120.0


def seldom(settings: Settings, poll_delay_s: float = NEVER_S) -> Settings:
    """Return settings of a worker that looks at the queue so seldom that only nudges make it look during a test."""
    worker = WorkerConfig(lifeline_s=30, slice_s=5).model_copy(update={"poll_delay_s": poll_delay_s})
    return settings.model_copy(update={"worker": worker})


async def listeners(redis: ArqRedis) -> int:
    return int((await redis.pubsub_numsub(keys.NUDGE))[0][1])


async def has_listeners(redis: ArqRedis, count: int) -> None:
    async def as_many() -> bool:
        return await listeners(redis) == count

    await until(as_many, SOON_S)


async def looks(redis: ArqRedis) -> int:
    """Return how often the queue has been read."""
    stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_zrangebyscore", {"calls": 0})["calls"])


async def just_looked(redis: ArqRedis) -> None:
    """Have the worker read its queue, so that it does not do so by itself for a whole poll delay."""
    before = await looks(redis)
    await redis.publish(keys.NUDGE, b"0")

    async def looked() -> bool:
        return await looks(redis) > before

    await until(looked, SOON_S)


async def test_a_job_starts_at_once_although_the_worker_looks_seldom(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(100)) as portal, working(seldom(settings_of(server, portal))):
        await has_listeners(redis, 1)
        jobs = []
        for number in range(1, 7):
            jobs.append(await accept(redis, [number]))
            assert (await ended(redis, jobs[-1], SOON_S)).state is State.COMPLETED
        await check_against_truth(redis, portal, *jobs)


async def test_a_worker_wakes_up_for_what_is_due_later(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(1)) as portal, working(seldom(settings_of(server, portal))):
        await has_listeners(redis, 1)
        await just_looked(redis)
        await wake_lanes(redis, "main", 1, delay_s=0.5)

        async def taken() -> bool:
            return not any(one.startswith(keys.WAKE_UP.encode()) for one in await redis.zrange(keys.QUEUE, 0, -1))

        await until(taken, SOON_S)


async def test_a_lost_nudge_costs_one_poll_delay_and_nothing_else(redis: ArqRedis, server: EmbeddedServer) -> None:
    """Plain arq sends none, so what it enqueues waits for the next look."""
    async with simulator.running(World(100)) as portal, working(seldom(settings_of(server, portal), 2.0)):
        await has_listeners(redis, 1)
        job_id = await accept(redis, range(1, 101), lanes=0)  # nobody is woken
        await just_looked(redis)
        enqueued_s = time.monotonic()
        await redis.enqueue_job(DRIVE_LANE, "main")
        await portal.truth.until(lambda: len(portal.truth.calls) > 0, 10)
        assert time.monotonic() - enqueued_s > 0.2, "the nudge was not lost"
        assert (await ended(redis, job_id, SOON_S)).state is State.COMPLETED
        await check_against_truth(redis, portal, job_id)


async def test_many_nudges_do_not_keep_a_worker_busy(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(1)) as portal, working(seldom(settings_of(server, portal))):
        await has_listeners(redis, 1)
        await just_looked(redis)
        before, started_s = await looks(redis), time.monotonic()
        for _ in range(500):
            await redis.publish(keys.NUDGE, b"0")
        looked = await looks(redis) - before
        assert looked <= (time.monotonic() - started_s) / 0.01 + 10


async def test_a_worker_that_dies_of_a_nudged_look_is_started_again(redis: ArqRedis, server: EmbeddedServer) -> None:
    """An ID that is not UTF-8 ends arq's loop; it is dropped, and the next loop is nudged like the one before."""
    async with simulator.running(World(10)) as portal, working(seldom(settings_of(server, portal))):
        await has_listeners(redis, 1)
        await redis.zadd(keys.QUEUE, {b"\xff": 1})
        await redis.publish(keys.NUDGE, b"0")

        async def dropped() -> bool:
            return await redis.zscore(keys.QUEUE, b"\xff") is None

        await until(dropped, SOON_S)
        job_id = await accept(redis, [1])
        assert (await ended(redis, job_id, SOON_S)).state is State.COMPLETED


async def test_a_closed_worker_leaves_no_subscription(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(1)) as portal:
        for _ in range(3):
            async with working(seldom(settings_of(server, portal))):
                await has_listeners(redis, 1)
        await has_listeners(redis, 0)
        assert not await redis.execute_command("CLIENT", "LIST", "TYPE", "PUBSUB")


def listening(url: RedisUrl) -> AbstractAsyncContextManager[Nudges]:
    """Listen as a worker does, without one."""
    return nudge.listening(Settings(redis=RedisConfig(url=url), portals={}), "worker")


async def is_nudged_by(redis: ArqRedis, nudges: Nudges) -> None:
    """Publish until the listener hears it; a publication that nobody has subscribed to yet is lost."""
    async with asyncio.timeout(SOON_S):
        while True:
            nudges.forget()
            await redis.publish(keys.NUDGE, b"0")
            started_s = time.monotonic()
            await nudges.within(0.1)
            if time.monotonic() - started_s < 0.1:
                return


async def test_a_subscription_that_was_cut_off_is_made_anew(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with listening(server.url) as nudges:
        for _ in range(3):
            await has_listeners(redis, 1)
            await is_nudged_by(redis, nudges)
            nudges.forget()
            await redis.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")
            async with asyncio.timeout(SOON_S):
                await nudges.within(60)  # it may have missed one


async def test_a_server_that_was_killed_and_started_again(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path, fsync="no") as server:
        async with listening(server.url) as nudges:
            for _ in range(2):
                redis = connect(server.url, patience_s=10)
                await has_listeners(redis, 1)
                await is_nudged_by(redis, nudges)
                os.kill(server.pid, signal.SIGKILL)
                server.stop()
                server.start()
                await is_nudged_by(redis, nudges)
                await redis.aclose(close_connection_pool=True)


async def test_a_server_that_stood_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudge, "SILENCE_S", 0.1)
    monkeypatch.setattr(nudge, "_STALL_S", 0.5)
    with EmbeddedServer(tmp_path, fsync="no") as server:
        redis = connect(server.url, patience_s=10)
        async with listening(server.url) as nudges:
            await has_listeners(redis, 1)
            before = await redis.client_id()
            os.kill(server.pid, signal.SIGSTOP)
            await asyncio.sleep(1.0)  # long enough for a reply to be given up
            os.kill(server.pid, signal.SIGCONT)
            await is_nudged_by(redis, nudges)

            async def was_made_since_then() -> bool:
                lines = (await redis.execute_command("CLIENT", "LIST", "TYPE", "PUBSUB")).decode().splitlines()
                ids = [int(line.split()[0].removeprefix("id=")) for line in lines]
                return bool(ids) and min(ids) > before  # the server may not have noticed yet that the old one is closed

            await until(was_made_since_then, SOON_S)
        await redis.aclose(close_connection_pool=True)


async def test_a_subscription_that_has_fallen_silent_is_made_anew(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address leads to another server; the connection to the old one stays up, and nothing arrives there."""
    monkeypatch.setattr(nudge, "SILENCE_S", 0.1)
    with EmbeddedServer(tmp_path, fsync="no") as old:
        left = connect(old.url)
        async with forwarding(lambda: to(old)) as forwarder, listening(at(forwarder)) as nudges:
            await has_listeners(left, 1)
            # The listener's other connection to the old server goes, as one does that is not used.
            forwarder.connect = lambda: to(server)
            await left.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "yes")
            await is_nudged_by(redis, nudges)
            await has_listeners(left, 0)
        await left.aclose(close_connection_pool=True)


def at(forwarder: Forwarder) -> RedisUrl:
    return RedisUrl(f"redis://127.0.0.1:{forwarder.port}/0")


async def to(server: EmbeddedServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    socket_path = server.url.address.socket_path
    assert socket_path is not None
    return await asyncio.open_unix_connection(socket_path)


async def test_after_a_fail_over_nudges_are_heard_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old primary is a replica of the new one, and connections to it stay up."""
    monkeypatch.setattr(nudge, "SILENCE_S", 0.1)
    async with moving_address() as address, listening(RedisUrl(address.url)) as nudges:
        redis = connect(RedisUrl(address.url))
        await has_listeners(redis, 1)
        await address.fail_over()
        await is_nudged_by(redis, nudges)
        await redis.aclose(close_connection_pool=True)


async def test_eager_workers_are_as_eager_as_before(redis: ArqRedis, server: EmbeddedServer) -> None:
    """A poll delay shorter than the gap between two looks is possible."""
    async with simulator.running(World(50)) as portal:
        settings = settings_of(server, portal)
        quick = settings.model_copy(update={"worker": WorkerConfig(**(EAGER | {"poll_delay_s": 0.005}))})
        async with working(quick):
            job_id = await accept(redis, range(1, 51))
            assert (await ended(redis, job_id, SOON_S)).state is State.COMPLETED


async def test_wake_ups_that_are_being_worked_on_cost_one_round_trip_and_hide_no_new_one(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    taken = [f"taken-{number}" for number in range(400)]  # more than arq itself reads at a time
    await wake(redis, DRIVE_LANE, "elsewhere", ids=taken)
    for name in taken:
        await redis.set(f"{in_progress_key_prefix}{name}", b"1")

    async def watches() -> int:
        return int((await redis.info("commandstats")).get("cmdstat_watch", {"calls": 0})["calls"])

    async with simulator.running(World(20)) as portal, working(seldom(settings_of(server, portal))):
        await has_listeners(redis, 1)
        before = await watches()
        job_id = await accept(redis, range(1, 21))
        await asyncio.wait_for(ended(redis, job_id), SOON_S)
        assert await watches() - before < 100
