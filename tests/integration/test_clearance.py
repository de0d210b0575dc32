"""A PUT that could not leave at once is judged again before it does: people and clocks go on while it waits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr
from structlog.testing import capture_logs

from cli.embedded import EmbeddedServer
from config.settings import Portal, WorkerConfig
from jobs.lanes.gates import Gates
from jobs.lanes.grants import Batch, Outdated
from jobs.lanes.lease import LaneLedger, rescue
from jobs.ledger.items import Call
from jobs.steering.switch import Switch, switch
from jobs.store import keys
from jobs.store.kept import EVERYONE
from jobs.view.job import read_job
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import Event, State
from tests.conftest import settings_for
from tests.support.lanes import PORTAL, accept, answer, field, forget_reply, lines_of, lose, start_lane, take, terms
from tests.support.office import CREDENTIALS, Office
from tests.support.one_lane import one_lane
from tests.support.raw_portal import Behave, RawPortal, Request, delete_all, raw_portal
from tests.support.steering import control
from tests.support.sweeping import EAGER, MARKS, ended
from tests.support.waiting import until
from worker.clearance import FRESH_S, Clearance
from worker.drain import Drain
from worker.fleet import Fleet
from worker.lane import Lane
from worker.main import working
from worker.portal_answers import Failure

pytestmark = MARKS

_DAY_MS = 86_400_000


class Waiting(NamedTuple):
    """A batch that was handed out a while ago."""

    portal: RawPortal
    lane: Lane
    batch: Batch


async def gates_now(redis: ArqRedis, *, until_in_ms: int = _DAY_MS, day: str = "today") -> Gates:
    """Return gates that are open and true for a while."""
    seconds, microseconds = await redis.time()
    now_ms = seconds * 1000 + microseconds // 1000
    ends_ms = now_ms + until_in_ms
    return Gates(from_ms=now_ms - 1000, until_ms=ends_ms, day=day, day_ends_ms=ends_ms, most_per_day=1000)


MAIN = Portal(name=PORTAL, url="http://127.0.0.1", token=SecretStr("t"))


async def stop(redis: ArqRedis, _ledger: LaneLedger | None = None, _job_id: str = "") -> None:
    await switch(redis, Switch.STOP, [MAIN], of_all=False, by="somebody")


async def stop_all(redis: ArqRedis, _ledger: LaneLedger, _job_id: str) -> None:
    await switch(redis, Switch.STOP, [MAIN], of_all=True, by="somebody")


async def start(redis: ArqRedis) -> None:
    await switch(redis, Switch.START, [MAIN], of_all=False, by="somebody")


async def pause(redis: ArqRedis, _ledger: LaneLedger | None, job_id: str) -> None:
    await control(redis, job_id, Event.PAUSE, by="somebody", lanes=0)


async def cancel(redis: ArqRedis, _ledger: LaneLedger | None, job_id: str) -> None:
    await control(redis, job_id, Event.CANCEL, by="somebody", lanes=0)


async def push_back(redis: ArqRedis, _ledger: LaneLedger, _job_id: str) -> None:
    await redis.execute_command("HSET", keys.portal(PORTAL), "push_back_until_ms", 2**52)


async def close_windows(redis: ArqRedis, ledger: LaneLedger, _job_id: str) -> None:
    ledger._terms = terms(gates=Gates(is_open=False, day="today"))


async def next_day(redis: ArqRedis, ledger: LaneLedger, _job_id: str) -> None:
    ledger._terms = terms(gates=Gates(day="tomorrow"))


async def outlive_the_gates(redis: ArqRedis, ledger: LaneLedger, _job_id: str) -> None:
    ledger._terms = terms(gates=Gates(day="today", until_ms=1))


async def refuse_the_token(redis: ArqRedis, _ledger: LaneLedger, _job_id: str) -> None:
    """Another lane meets a fault that holds all workers."""
    seconds, _ = await redis.time()
    fault = f"{(seconds + 600) * 1000} portal_auth wrong token"
    await redis.execute_command("HSET", keys.faults(PORTAL), EVERYONE, fault)


async def rescue_it(redis: ArqRedis, ledger: LaneLedger, _job_id: str) -> None:
    await redis.zrem(keys.leases(PORTAL), "lane")
    assert await rescue(redis, PORTAL, 0.0)


@pytest.mark.parametrize(
    "happens",
    [
        stop, stop_all, pause, cancel, push_back, refuse_the_token, close_windows, next_day, outlive_the_gates,
        rescue_it,
    ],
)  # fmt: skip
async def test_the_ledger_judges_a_waiting_put_again(
    redis: ArqRedis, happens: Callable[[ArqRedis, LaneLedger, str], Awaitable[None]]
) -> None:
    job_id = await accept(redis, range(1, 11))
    ledger = await start_lane(redis)
    batch = await take(ledger, terms(gates=await gates_now(redis)))
    assert await ledger.may_send(batch)
    await happens(redis, ledger, job_id)
    assert not await ledger.may_send(batch)


async def test_a_portal_that_was_opened_by_hand_stays_open_for_a_waiting_put(redis: ArqRedis) -> None:
    await accept(redis, range(1, 11))
    ledger = await start_lane(redis)
    batch = await take(ledger, terms(gates=await gates_now(redis)))
    await redis.execute_command("HSET", keys.portal(PORTAL), "open_until_ms", 2**52)
    await close_windows(redis, ledger, "")
    assert await ledger.may_send(batch)


async def test_the_cap_of_the_day_counts_a_waiting_put_once(redis: ArqRedis) -> None:
    await accept(redis, range(1, 11))
    ledger = await start_lane(redis)
    seconds, _ = await redis.time()
    gates = Gates(day="today", day_ends_ms=seconds * 1000 + _DAY_MS, most_per_day=10)
    batch = await take(ledger, terms(gates=gates))
    assert batch.size == 10
    assert await ledger.may_send(batch)
    assert await ledger.may_send(batch)
    assert await field(redis, keys.portal(PORTAL), "day_sent") == b"10"


async def test_only_a_put_that_has_waited_is_judged_again(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    await accept(redis, range(1, 11))
    ledger = await start_lane(redis)
    batch = await take(ledger)
    drain = Drain()
    clearance = Clearance(ledger, batch, drain)
    await stop(redis)
    assert await clearance.may_send()  # the stop came too late for it
    monkeypatch.setattr(ledger, "_handed_out_s", ledger._handed_out_s - FRESH_S)
    assert not await clearance.may_send()
    await start(redis)
    assert await clearance.may_send()
    drain.begin()
    assert not await clearance.may_send()


async def test_a_look_up_leaves_although_the_portal_is_stopped(redis: ArqRedis) -> None:
    await accept(redis, range(1, 11))
    ledger = await start_lane(redis)
    await lose(redis, ledger, await take(ledger))
    batch = await take(ledger)
    assert batch.call is Call.LOOK_UP
    await stop(redis)
    ledger._handed_out_s -= FRESH_S
    assert await Clearance(ledger, batch, Drain()).may_send()


async def test_a_put_stays_where_it_is_while_redis_stalls(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    await accept(redis, range(1, 11))
    ledger = await start_lane(redis)
    batch = await take(ledger)
    ledger._handed_out_s -= FRESH_S
    monkeypatch.setattr("worker.clearance._ANSWER_S", 0.05)
    monkeypatch.setattr(ledger, "may_send", lambda _batch: asyncio.Event().wait())
    assert not await Clearance(ledger, batch, Drain()).may_send()


@asynccontextmanager
async def a_waiting_put(redis: ArqRedis, behave: Behave, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Waiting]:
    """Have one batch deleted, so that a connection is there, and take one that has waited."""
    async with (
        raw_portal(behave) as portal,
        one_lane(redis, portal.config(batch_size_start=5, request_timeout_s=1.0), "one") as lane,
    ):
        await accept(redis, range(1, 11))
        assert await lane.ledger.acquire(1)
        first = await take(lane.ledger, terms(batch_size=5))
        done = await lane.dispatcher.work(first)
        assert await lane.ledger.settle(first, done.settlement)
        batch = await take(lane.ledger, terms(batch_size=5))
        monkeypatch.setattr(lane.ledger, "_handed_out_s", lane.ledger._handed_out_s - FRESH_S)
        yield Waiting(portal, lane, batch)
        assert len(portal.requests) == 1


async def test_a_call_that_times_out_while_redis_judges_it_was_not_sent(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.clearance._ANSWER_S", 30.0)
    async with a_waiting_put(redis, delete_all, monkeypatch) as waiting:
        monkeypatch.setattr(waiting.lane.ledger, "may_send", lambda _batch: asyncio.Event().wait())
        done = await waiting.lane.dispatcher.work(waiting.batch)
        assert isinstance(done.answer, Failure)
        assert (done.answer.sent, done.answer.may_have_deleted) == (False, False)
        assert (done.settlement.sent, done.settlement.unsent) == (0, 5)


async def test_a_connection_that_closes_while_redis_judges_a_put_has_sent_nothing(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def keep(request: Request, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await delete_all(request, writer)

    async with a_waiting_put(redis, keep, monkeypatch) as waiting:
        judge = waiting.lane.ledger.may_send

        async def close_first(batch: Batch) -> bool:
            writers[0].close()
            await writers[0].wait_closed()
            await asyncio.sleep(0.05)  # until the client has heard of it
            return await judge(batch)

        monkeypatch.setattr(waiting.lane.ledger, "may_send", close_first)
        done = await waiting.lane.dispatcher.work(waiting.batch)
        assert isinstance(done.answer, Failure)
        assert (done.answer.sent, done.answer.may_have_deleted) == (False, False)


async def test_what_is_given_back_is_no_failure(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_waiting_put(redis, delete_all, monkeypatch) as waiting:
        await stop(redis)
        with capture_logs() as logs:
            done = await waiting.lane.dispatcher.work(waiting.batch)
        assert (done.answer, done.settlement.last_error, done.settlement.unsent) == (None, None, 5)
        assert [line["event"] for line in logs] == ["batch_given_back"]


class Counter(Office):
    """An office that can be closed while a worker logs in, and notes the PUTs."""

    def __init__(self) -> None:
        super().__init__()
        self.may_finish.clear()
        self.puts = 0

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.puts += request.method == "PUT"
        await super().__call__(request, writer)


def logs_in(server: EmbeddedServer, portal: RawPortal, **worker: float) -> AbstractAsyncContextManager[Fleet]:
    settings = portal.config(requests_per_second=1000.0, burst=100, **CREDENTIALS)
    return working(settings_for(server, settings, worker=WorkerConfig(**EAGER | worker)))


async def released(redis: ArqRedis, job_id: str) -> None:
    """Wait until no lane holds anything."""

    async def look() -> bool:
        return not await redis.exists(keys.claims(PORTAL)) and not await redis.zcard(keys.leases(PORTAL))

    await until(look)
    lines = await lines_of(redis, job_id)
    assert {(line.code, line.attempts) for line in lines} <= {(Code.PENDING, 0), (Code.SKIPPED, 0)}


@pytest.mark.parametrize("happens", [stop, pause, cancel])
async def test_nothing_leaves_after_a_log_in_in_which_somebody_has_said_stop(
    redis: ArqRedis,
    server: EmbeddedServer,
    happens: Callable[[ArqRedis, LaneLedger | None, str], Awaitable[None]],
) -> None:
    office = Counter()
    async with raw_portal(office) as portal:
        job_id = await accept(redis, range(1, 11))
        async with logs_in(server, portal):
            await office.logging_in.wait()
            await happens(redis, None, job_id)
            await asyncio.sleep(2 * FRESH_S)  # what counts is that time has passed
            office.may_finish.set()
            await released(redis, job_id)
            assert office.puts == 0
            if happens is cancel:
                assert (await ended(redis, job_id)).state is State.CANCELLED
                return
            if happens is pause:
                assert (await read_job(redis, job_id)).state is State.PAUSED
                await control(redis, job_id, Event.RESUME, by="somebody", lanes=1)
            else:
                await start(redis)
            job = await ended(redis, job_id)
    assert job.counts[Outcome.DELETED] == 10
    assert (office.puts, job.requests.sent) == (1, 1)


async def test_nothing_leaves_after_a_log_in_in_which_the_worker_was_told_to_stop(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    office = Counter()
    async with raw_portal(office) as portal:
        job_id = await accept(redis, range(1, 11))
        async with logs_in(server, portal) as fleet:
            await office.logging_in.wait()
            fleet.drain.begin()
            await asyncio.sleep(2 * FRESH_S)
            office.may_finish.set()
        await released(redis, job_id)
    assert office.puts == 0


async def test_what_never_left_is_not_doubtful_when_the_grace_period_ends(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    office = Counter()
    async with raw_portal(office) as portal:
        job_id = await accept(redis, range(1, 11))
        async with logs_in(server, portal, shutdown_grace_s=0.2):
            await office.logging_in.wait()
        await released(redis, job_id)
        assert office.puts == 0
        office.may_finish.set()
        async with logs_in(server, portal):
            job = await ended(redis, job_id)
    assert job.counts[Outcome.DELETED] == 10
    assert office.puts == 1


async def test_a_put_that_got_401_is_not_doubtful_when_the_grace_period_ends(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    office = Counter()
    office.may_finish.set()
    async with raw_portal(office) as portal:
        job_id = await accept(redis, range(1, 11))
        async with logs_in(server, portal, shutdown_grace_s=0.2):
            await ended(redis, job_id)
            office.revoked.add("token-1")
            office.may_finish.clear()
            office.logging_in.clear()
            job_id = await accept(redis, range(11, 21))
            await office.logging_in.wait()
        await released(redis, job_id)
    assert office.puts == 2


async def test_a_batch_whose_reply_was_lost_is_delivered_again_after_its_gates_have_changed(redis: ArqRedis) -> None:
    """The request is repeated when the day has ended; the one after it is about the same batch, which was not sent."""
    job_id = await accept(redis, range(1, 11))
    ledger = await start_lane(redis)
    soon_over = terms(gates=await gates_now(redis, until_in_ms=150))
    forget_reply(ledger, await take(ledger, soon_over))
    await asyncio.sleep(0.2)
    assert isinstance(await ledger.next_batch(soon_over), Outdated)
    batch = await take(ledger, terms(gates=await gates_now(redis, day="tomorrow")))
    await answer(redis, ledger, batch)
    assert {(line.code, line.attempts) for line in await lines_of(redis, job_id)} == {(Code.DELETED, 1)}
    day, sent, before, before_sent = await redis.execute_command(
        "HMGET", keys.portal(PORTAL), "day", "day_sent", "day_before", "day_before_sent"
    )
    assert (day, sent, before, before_sent) == (b"tomorrow", b"10", b"today", b"0")
