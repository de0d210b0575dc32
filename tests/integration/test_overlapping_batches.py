"""A lane that records one batch during the call with the next: what it knows of either is recorded, come what may."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from jobs.lanes.grants import Batch
from jobs.lanes.lease import LaneLedger, rescue
from jobs.lanes.settlement import Settlement
from jobs.store import keys
from jobs.words.outcomes import Code
from jobs.words.states import Event, State
from tests.support.lanes import PORTAL, accept, forget_reply, lines_of, start_lane, take, terms
from tests.support.one_lane import one_lane
from tests.support.raw_portal import Behave, Request, answer, delete_all, raw_portal
from tests.support.steering import control
from worker.lane import Ending, Farewell, Lane

#: Long enough for the next batch to be handed out before this one is recorded.
_CALL_S = 0.02


class Recording:
    """Puts something in the place of `LaneLedger.settle`, for the records of some batches."""

    def __init__(self) -> None:
        self.real: Callable[..., Any] = LaneLedger.settle
        self.refused: set[int] = set()
        self.held: dict[int, asyncio.Event] = {}
        self.begun = asyncio.Queue[int]()

    async def settle(self, ledger: LaneLedger, batch: Batch, settlement: Settlement) -> bool:
        self.begun.put_nowait(batch.seq)
        if batch.seq in self.held:
            await self.held[batch.seq].wait()
        if batch.seq in self.refused:
            raise ResponseError("MISCONF Redis is configured to save RDB snapshots, but is unable to persist to disk")
        recorded: bool = await self.real(ledger, batch, settlement)
        return recorded


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    recording = Recording()

    async def settle(ledger: LaneLedger, batch: Batch, settlement: Settlement) -> bool:
        return await recording.settle(ledger, batch, settlement)

    monkeypatch.setattr(LaneLedger, "settle", settle)
    return recording


class Calls:
    """Answers the PUTs of a test, each when it is told to, and counts them."""

    def __init__(self, *answers: Behave) -> None:
        self.answers = answers
        self.arrived = [asyncio.Event() for _ in answers]
        self.may_answer = [asyncio.Event() for _ in answers]
        self.puts: list[list[int]] = []

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        number = len(self.puts)
        self.puts.append(json.loads(request.body)["contactids"])
        self.arrived[number].set()
        await self.may_answer[number].wait()
        await asyncio.sleep(_CALL_S)
        await self.answers[number](request, writer)


def hold_back(
    monkeypatch: pytest.MonkeyPatch, method: str, when: Callable[[], bool] = lambda: True
) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold back what a method of the ledger returns; return the events that it has it, and that it may return it."""
    has_it, goes_on = asyncio.Event(), asyncio.Event()
    real = getattr(LaneLedger, method)

    async def late(ledger: LaneLedger, *given: Any, **named: Any) -> Any:
        grant = await real(ledger, *given, **named)
        if when():
            has_it.set()
            await goes_on.wait()
        return grant

    monkeypatch.setattr(LaneLedger, method, late)
    return has_it, goes_on


async def found(redis: ArqRedis, job_id: str) -> dict[Code, list[int]]:
    lines: dict[Code, list[int]] = {}
    for line in await lines_of(redis, job_id):
        lines.setdefault(line.code, []).append(line.contact_id)
    return lines


def portal_of(portal: Any) -> Any:
    return portal.config(batch_size_start=5, batch_size_max=5, requests_per_second=1000.0, max_concurrency=1)


async def test_a_refused_record_does_not_take_the_next_answer_with_it(redis: ArqRedis, recording: Recording) -> None:
    calls = Calls(delete_all, answer(429, "slow down", {"Retry-After": "20"}))
    recording.refused.add(1)
    async with raw_portal(calls) as portal, one_lane(redis, portal_of(portal), "one") as lane:
        job_id = await accept(redis, range(1, 16))
        driving = asyncio.create_task(lane.drive())
        calls.may_answer[0].set()
        await calls.arrived[1].wait()
        calls.may_answer[1].set()
        with pytest.raises(ResponseError, match="MISCONF"):
            await driving
    assert list(await redis.execute_command("HKEYS", keys.claims(PORTAL))) == [b"one/0"], "the first one alone"
    assert float(await redis.execute_command("HGET", keys.portal(PORTAL), "push_back_until_ms")) > 0, "the portal rests"
    lapsed = await rescue_of(redis, "one")
    assert [batch.seq for batch in lapsed] == [1]
    assert calls.puts == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    assert (await found(redis, job_id))[Code.PENDING] == list(range(1, 16))


async def rescue_of(redis: ArqRedis, name: str) -> Any:
    await redis.zrem(keys.leases(PORTAL), name)
    return await rescue(redis, PORTAL, 0.0)


async def test_nothing_more_is_sent_once_a_record_was_refused(redis: ArqRedis, recording: Recording) -> None:
    """The lane waits for a turn in which the record of its last batch is refused."""
    calls = Calls(delete_all, delete_all)
    recording.refused.add(1)
    async with raw_portal(calls) as portal, one_lane(redis, portal_of(portal), "one") as lane:
        lane.terms = terms(batch_size=5, requests_per_second=4.0, burst=1)
        await accept(redis, range(1, 16))
        calls.may_answer[0].set()
        with pytest.raises(ResponseError, match="MISCONF"):
            await lane.drive()
    assert len(calls.puts) == 1


async def driven_until_both_are_answered(
    redis: ArqRedis, lane: Lane, calls: Calls, recording: Recording
) -> "asyncio.Task[Farewell]":
    """Drive a lane up to the moment in which it waits for the record of its first batch, with two answers."""
    driving = asyncio.create_task(lane.drive())
    calls.may_answer[0].set()
    assert await recording.begun.get() == 1
    await calls.arrived[1].wait()
    calls.may_answer[1].set()
    await asyncio.sleep(5 * _CALL_S)
    return driving


async def test_a_lane_whose_grace_period_ends_while_it_records_loses_nothing(
    redis: ArqRedis, recording: Recording
) -> None:
    calls = Calls(delete_all, delete_all)
    recording.held[1] = asyncio.Event()
    async with raw_portal(calls) as portal, one_lane(redis, portal_of(portal), "one") as lane:
        job_id = await accept(redis, range(1, 16))
        driving = await driven_until_both_are_answered(redis, lane, calls, recording)
        driving.cancel()
        await asyncio.sleep(0)
        recording.held[1].set()
        assert (await driving).ending is Ending.DRAINED
    assert await found(redis, job_id) == {Code.DELETED: list(range(1, 11)), Code.PENDING: list(range(11, 16))}
    assert not await redis.exists(keys.claims(PORTAL), keys.leases(PORTAL))


async def test_a_lane_that_is_cancelled_twice_ends_at_once(redis: ArqRedis, recording: Recording) -> None:
    calls = Calls(delete_all, delete_all)
    recording.held[1] = asyncio.Event()
    async with raw_portal(calls) as portal, one_lane(redis, portal_of(portal), "one") as lane:
        await accept(redis, range(1, 16))
        driving = await driven_until_both_are_answered(redis, lane, calls, recording)
        driving.cancel()
        await asyncio.sleep(0)
        driving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await driving


async def test_a_call_that_is_given_up_is_doubtful_and_the_batch_before_it_is_recorded(
    redis: ArqRedis, recording: Recording
) -> None:
    calls = Calls(delete_all, delete_all)
    async with raw_portal(calls) as portal, one_lane(redis, portal_of(portal), "one") as lane:
        job_id = await accept(redis, range(1, 16))
        driving = asyncio.create_task(lane.drive())
        calls.may_answer[0].set()
        await calls.arrived[1].wait()
        driving.cancel()
        assert (await driving).ending is Ending.DRAINED
    lines = {line.contact_id: (line.code, line.attempts) for line in await lines_of(redis, job_id)}
    assert lines == {
        **dict.fromkeys(range(1, 6), (Code.DELETED, 1)),
        **dict.fromkeys(range(6, 11), (Code.PENDING, 1)),
        **dict.fromkeys(range(11, 16), (Code.PENDING, 0)),
    }


async def test_a_batch_that_arrives_when_the_grace_period_is_over_is_given_back(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim says that it was sent, so without that it would be looked up as if it had been."""
    calls = Calls(delete_all)
    asked, goes_on = hold_back(monkeypatch, "next_batch", lambda: bool(calls.puts))
    async with raw_portal(calls) as portal, one_lane(redis, portal_of(portal), "one") as lane:
        job_id = await accept(redis, range(1, 16))
        driving = asyncio.create_task(lane.drive())
        calls.may_answer[0].set()
        await asked.wait()
        driving.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        assert (await driving).ending is Ending.DRAINED
    assert len(calls.puts) == 1
    lines = {line.contact_id: (line.code, line.attempts) for line in await lines_of(redis, job_id)}
    assert lines == {
        **dict.fromkeys(range(1, 6), (Code.DELETED, 1)),
        **dict.fromkeys(range(6, 16), (Code.PENDING, 0)),
    }


async def test_a_lane_that_is_cancelled_while_it_takes_its_lease_leaves_nothing(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls()
    taken, goes_on = hold_back(monkeypatch, "acquire_and_next")
    async with raw_portal(calls) as portal, one_lane(redis, portal_of(portal), "one") as lane:
        job_id = await accept(redis, range(1, 6))
        driving = asyncio.create_task(lane.drive())
        await taken.wait()
        driving.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        assert (await driving).ending is Ending.DRAINED
    assert not await redis.exists(keys.claims(PORTAL), keys.leases(PORTAL))
    assert {(line.code, line.attempts) for line in await lines_of(redis, job_id)} == {(Code.PENDING, 0)}


async def test_a_batch_that_is_delivered_again_after_a_pause_is_given_back(redis: ArqRedis) -> None:
    calls = Calls()
    async with raw_portal(calls) as portal, one_lane(redis, portal_of(portal), "one") as lane:
        job_id = await accept(redis, range(1, 11))
        assert await lane.ledger.acquire(1)
        forget_reply(lane.ledger, await take(lane.ledger))
        await control(redis, job_id, Event.PAUSE, by="somebody", lanes=0)
        batch = await take(lane.ledger)
        assert batch.state is State.PAUSING
        done = await lane.dispatcher.work(batch)
        assert await lane.ledger.settle(batch, done.settlement)
    assert calls.puts == []
    assert await found(redis, job_id) == {Code.PENDING: list(range(1, 11))}


async def test_the_log_does_not_tell_of_outcomes_that_the_ledger_does_not_have(redis: ArqRedis) -> None:
    calls = Calls(delete_all, delete_all)
    async with raw_portal(calls) as portal, one_lane(redis, portal_of(portal), "one") as lane:
        await accept(redis, range(1, 6))
        driving = asyncio.create_task(lane.drive())
        await calls.arrived[0].wait()
        await rescue_of(redis, "one")
        with capture_logs() as logs:
            calls.may_answer[0].set()
            assert (await driving).ending is Ending.LOST
    assert [(line["event"], line["size"]) for line in logs] == [("batch_lost", 5)]


async def test_another_lane_can_go_on_where_one_has_ended(redis: ArqRedis, recording: Recording) -> None:
    calls = Calls(delete_all, delete_all)
    recording.refused.add(1)
    async with raw_portal(calls) as portal, one_lane(redis, portal_of(portal), "one") as lane:
        await accept(redis, range(1, 16))
        driving = asyncio.create_task(lane.drive())
        calls.may_answer[0].set()
        calls.may_answer[1].set()
        with pytest.raises(ResponseError):
            await driving
    await rescue_of(redis, "one")
    assert (await take(await start_lane(redis, "other"))).size == 5
