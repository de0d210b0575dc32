"""Races around the ledger that no other test stages: each has made it wrong, or could have."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis import Redis

import worker.main
from cli import embedded
from cli.embedded import EmbeddedServer
from config.settings import Settings, WorkerConfig
from jobs.lanes.grants import Batch, Grant
from jobs.lanes.lease import LaneLedger
from jobs.ledger.retention import forget_old_jobs
from jobs.store import keys
from jobs.view.job import read_job
from jobs.words.errors import UnknownJob
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import Event, State
from tests.conftest import settings_for
from tests.support.lanes import PORTAL, accept, lapse, lines_of, read_items, start_lane, take
from tests.support.lanes import answer as record
from tests.support.office import CREDENTIALS, Office
from tests.support.raw_portal import RawPortal, Request, answer, delete_all, listing, raw_portal, rights
from tests.support.steering import control
from tests.support.sweeping import EAGER, MARKS, ended, in_state
from tests.support.waiting import until
from worker.main import working
from worker.token_store import RedisTokenStore

pytestmark = MARKS


def settings_of(server: EmbeddedServer, portal: RawPortal, **others: Any) -> Settings:
    limits = {"requests_per_second": 1000.0, "burst": 100, "backoff_base_s": 0.02, "backoff_max_s": 0.2, **others}
    return settings_for(server, portal.config(**limits), worker=WorkerConfig(**EAGER))


async def test_a_job_whose_only_worker_was_killed_says_so(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    await take(await start_lane(redis))
    assert (await read_job(redis, job_id)).state_reason is None
    await lapse(redis, "lane")
    assert (await read_job(redis, job_id)).state_reason == "no_worker"


async def test_a_push_back_during_a_log_in_is_not_waited_for_with_a_batch_in_hand(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    office = Office()

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method == "PUT":  # the token has run out, and another lane has just been told to stay away for a day
            office.revoked.add(request.headers["authorization"])
            seconds, _ = await redis.time()
            until_ms = (seconds + 86_400) * 1000
            await redis.execute_command("HSET", keys.portal(PORTAL), "push_back_until_ms", until_ms)
        await office(request, writer)

    async with raw_portal(behave) as portal:
        job_id = await accept(redis, range(1, 11))
        async with working(settings_of(server, portal, **CREDENTIALS)):

            async def waits() -> bool:
                job = await read_job(redis, job_id)
                return job.state_reason == "push_back"

            await until(waits)
            [item] = await read_items(redis, job_id)
            assert (item.attempts, item.doubtful) == (0, False)
    assert not await redis.keys(keys.claims(PORTAL)) + await redis.keys(keys.leases(PORTAL))


async def test_an_answer_that_lists_a_contact_twice_leaves_a_doubt(redis: ArqRedis, server: EmbeddedServer) -> None:
    """The portal deleted both and counts both, but lists one of them twice."""
    alive = {1, 2}

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method == "PUT":
            alive.clear()
            await answer(200, listing([1, 1]))(request, writer)
        else:
            await answer(200, rights({}))(request, writer)

    async with raw_portal(behave) as portal:
        job_id = await accept(redis, [1, 2])
        async with working(settings_of(server, portal)):
            await ended(redis, job_id)
    assert [line.code for line in await lines_of(redis, job_id)] == [Code.DELETED, Code.PRESUMED_DELETED]


async def test_a_look_up_that_lists_a_contact_twice_is_not_believed(redis: ArqRedis, server: EmbeddedServer) -> None:
    """Two were asked about, two are counted, one is shown twice: this does not prove that the other one is gone."""
    looked_up = 0

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal looked_up
        if request.method == "PUT":
            await answer(200, listing([]))(request, writer)
            return
        looked_up += 1
        one = {"id": 1, "canEdit": False, "canDelete": False}
        shown = [one, one] if looked_up == 1 else [one, {"id": 2, "canEdit": False, "canDelete": False}]
        await answer(200, listing([1, 2], response=shown))(request, writer)

    async with raw_portal(behave) as portal:
        job_id = await accept(redis, [1, 2])
        async with working(settings_of(server, portal)):
            await ended(redis, job_id)
    assert [line.code for line in await lines_of(redis, job_id)] == [Code.READ_ONLY, Code.READ_ONLY]


async def test_the_status_of_a_put_is_not_that_of_the_log_in_behind_it(redis: ArqRedis, server: EmbeddedServer) -> None:
    office = Office()

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method == "PUT":
            office.revoked.add(request.headers["authorization"])
            office.password = "changed meanwhile"
        await office(request, writer)

    async with raw_portal(behave) as portal:
        job_id = await accept(redis, [1])
        async with working(settings_of(server, portal, **CREDENTIALS)):
            assert (await in_state(redis, job_id, State.PAUSED)).state_reason == "portal_auth"
            [line] = await lines_of(redis, job_id)
    assert (line.attempts, line.http_status) == (1, 401)


async def test_corrected_credentials_are_tried_at_once(redis: ArqRedis, server: EmbeddedServer) -> None:
    office = Office()
    async with raw_portal(office) as portal:
        job_id = await accept(redis, [1])
        async with working(settings_of(server, portal, **CREDENTIALS | {"password": "wrong"})):
            assert (await in_state(redis, job_id, State.PAUSED)).state_reason == "portal_auth"
        async with working(settings_of(server, portal, **CREDENTIALS)):
            await control(redis, job_id, Event.RESUME, by="test")
            await ended(redis, job_id, timeout_s=10)


async def test_a_log_in_whose_turn_was_taken_twice_by_a_resent_command_goes_on(redis: ArqRedis) -> None:
    store = RedisTokenStore(redis, "main")
    assert await store.begin_login(b"me")
    assert await store.begin_login(b"me"), "its first reply was lost"
    assert not await store.begin_login(b"another")


async def test_a_lane_told_to_stop_keeps_its_lease_until_its_last_batch_is_recorded(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lease, the batch would be rescued as doubtful, although the portal has answered."""
    recording, recorded = asyncio.Event(), asyncio.Event()
    let_go_early = False
    settle, release = LaneLedger.settle, LaneLedger.release

    async def slow_settle(self: LaneLedger, *what: Any) -> bool:
        recording.set()
        await fleet.drain.begun()
        for _ in range(5):  # enough time for the lane to notice that it has to stop
            await redis.ping()
        settled = await settle(self, *what)
        recorded.set()
        return settled

    async def spy_release(self: LaneLedger) -> None:
        nonlocal let_go_early
        let_go_early |= recording.is_set() and not recorded.is_set()
        await release(self)

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)  # a call this long is recorded while the next one is prepared
        await delete_all(request, writer)

    monkeypatch.setattr(LaneLedger, "settle", slow_settle)
    monkeypatch.setattr(LaneLedger, "release", spy_release)
    async with raw_portal(behave) as portal:
        job_id = await accept(redis, range(1, 11))
        settings = settings_of(server, portal, requests_per_second=0.5, burst=1, batch_size_start=5, batch_size_max=5)
        async with working(settings) as fleet:
            await asyncio.wait_for(recording.wait(), 20)
    assert not let_go_early
    assert (await read_job(redis, job_id)).counts[Outcome.DELETED] == 5


async def test_a_long_call_is_recorded_once_the_next_batch_is_handed_out(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call waits for the batch, and nothing waits for the record."""
    steps: list[str] = []
    settle, next_batch = LaneLedger.settle, LaneLedger.next_batch

    async def spy_settle(self: LaneLedger, batch: Batch, *what: Any) -> bool:
        steps.append(f"records {batch.seq}")
        return await settle(self, batch, *what)

    async def spy_next_batch(self: LaneLedger, *what: Any, **options: Any) -> Grant:
        grant = await next_batch(self, *what, **options)
        steps.append(f"has {grant.seq}" if isinstance(grant, Batch) else "ends")
        return grant

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        await delete_all(request, writer)

    monkeypatch.setattr(LaneLedger, "settle", spy_settle)
    monkeypatch.setattr(LaneLedger, "next_batch", spy_next_batch)
    async with raw_portal(behave) as portal:
        job_id = await accept(redis, range(1, 21))
        settings = settings_of(server, portal, max_concurrency=1, batch_size_start=5, batch_size_max=5)
        async with working(settings):
            await ended(redis, job_id)
    first = int(next(step for step in steps if step.startswith("records")).split()[1])
    recorded = [f"records {first + index}" for index in range(4)]
    assert [step for step in steps if step.startswith("records")] == recorded
    for index, step in enumerate(recorded[:-1]):
        assert steps.index(f"has {first + index + 1}") < steps.index(step)


async def test_a_ledger_read_while_its_job_is_forgotten_is_true_or_none(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accept(redis, [1, 2, 3], job_id="old")
    ledger = await start_lane(redis)
    await record(redis, ledger, await take(ledger))
    execute: Any = redis.execute_command

    async def forget_in_between(*command: Any, **options: Any) -> Any:
        reply = await execute(*command, **options)
        if keys.segments("old") in command:
            monkeypatch.setattr(redis, "execute_command", execute)
            await forget_old_jobs(redis, -1)
        return reply

    monkeypatch.setattr(redis, "execute_command", forget_in_between)
    assert {line.code for line in await lines_of(redis, "old")} == {Code.DELETED}
    monkeypatch.undo()
    await forget_old_jobs(redis, -1)
    with pytest.raises(UnknownJob):
        await lines_of(redis, "old")


async def test_a_skipped_contact_has_the_time_of_the_cancel_at_once_and_for_good(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 21))
    ledger = await start_lane(redis)
    batch = await take(ledger)
    await redis.execute_command("HINCRBY", keys.job(job_id), "created_ms", -60_000)
    await control(redis, job_id, Event.CANCEL, by="test", lanes=0)
    before = (await lines_of(redis, job_id))[-1]
    assert before.code is Code.SKIPPED
    assert before.at
    assert before.at > (await read_job(redis, job_id)).created_at
    await record(redis, ledger, batch)
    assert (await read_job(redis, job_id)).state is State.CANCELLED
    assert (await lines_of(redis, job_id))[-1] == before


async def test_a_worker_goes_on_when_arq_has_given_up_a_lane_that_took_too_long(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.main, "_LANE_TIMEOUT_S", 0.5)
    calls = 0

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(1.5)  # three times as long as arq waits
        await delete_all(request, writer)

    async with raw_portal(behave) as portal:
        job_id = await accept(redis, range(1, 21))
        async with working(settings_of(server, portal, batch_size_start=5, batch_size_max=5)):
            job = await ended(redis, job_id, timeout_s=20)
    assert job.counts[Outcome.DELETED] == 20


def test_a_server_left_behind_that_does_not_listen_is_ended_before_another_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed `run` leaves it with the data; the next one must neither hang on its socket nor write alongside it."""
    monkeypatch.setattr(embedded, "_STOP_S", 0.5)
    lost = embedded.EmbeddedServer(tmp_path, fsync="always").start()
    assert lost._process is not None
    with redis_client(lost) as client:
        client.set("kept", "yes")
    assert lost._lock is not None
    os.close(lost._lock)  # as if this process had been killed
    os.kill(lost.pid, signal.SIGSTOP)
    with embedded.EmbeddedServer(tmp_path) as server, redis_client(server) as client:
        assert lost._process.wait(10) in {
            0,
            -signal.SIGKILL,
        }  # it was resumed so that it could end, or killed if that took too long
        assert client.get("kept") == b"yes"


def redis_client(server: EmbeddedServer) -> Any:
    return Redis.from_url(server.url.get_secret_value())
