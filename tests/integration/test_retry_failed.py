"""`retry-failed`: what has failed is retried, everything else stays as it is."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from arq.connections import ArqRedis

from bench.moving_address import moving_address
from config.redis_url import RedisUrl
from jobs.lanes.grants import Batch
from jobs.lanes.lease import LaneLedger
from jobs.lanes.settlement import Settlement
from jobs.ledger.records import Record
from jobs.ledger.rows import Rows, read_rows
from jobs.steering.retry import retry_failed
from jobs.store.connection import connect
from jobs.view.job import read_job
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.errors import IllegalMove, UnknownJob
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import Event, State
from tests.support.lanes import accept, answer, ids_of, lines_of, start_lane, take, terms
from tests.support.steering import control


async def decide_all(ledger: LaneLedger, *, failed_every: int, size: int = 1000) -> None:
    """Finish a job: every n-th contact ID fails, the others are deleted."""
    while True:
        grant = await ledger.next_batch(terms(batch_size=size, failure_threshold=1.0))
        if not isinstance(grant, Batch):
            return
        at_ms = grant.server_ms()
        records = []
        for item in grant.items:
            codes = bytes(Code.REJECTED if place % failed_every == 0 else Code.DELETED for place in item.positions)
            record = Record(positions=item.positions, codes=codes, attempts=1, http_status=400, at_ms=at_ms)
            records.append((item.segment, record))
        assert await ledger.settle(grant, Settlement(records=records, sent=1))


async def fail_some(redis: ArqRedis, ledger: LaneLedger, batch: Batch, failed: set[int]) -> None:
    """Record a batch: these contact IDs fail, the others are deleted."""
    records = []
    for item, ids in zip(batch.items, await ids_of(redis, batch), strict=True):
        codes = bytes(Code.REJECTED if one in failed else Code.DELETED for one in ids)
        record = Record(positions=item.positions, codes=codes, attempts=1, http_status=400, at_ms=batch.server_ms())
        records.append((item.segment, record))
    assert await ledger.settle(batch, Settlement(records=records, sent=1))


async def test_only_the_failed_ones_are_tried_again_across_segments(redis: ArqRedis) -> None:
    total = SEGMENT_SIZE + 5_000
    job_id = await accept(redis, range(1, total + 1))
    await decide_all(await start_lane(redis), failed_every=500)
    before = {line.contact_id: line for line in await lines_of(redis, job_id)}
    failed = {one for one, line in before.items() if line.code.outcome is Outcome.FAILED}
    state, count = await retry_failed(redis, job_id, by="test", lanes=0)
    assert (state, count) == (State.QUEUED, len(failed))
    job = await read_job(redis, job_id)
    assert (job.counts[Outcome.PENDING], job.counts[Outcome.FAILED], job.finished_at) == (count, 0, None)
    sent: set[int] = set()
    ledger = await start_lane(redis, "again")
    while not (await read_job(redis, job_id)).ended:
        batch = await take(ledger)
        sent.update(SEGMENT_SIZE * item.segment + place + 1 for item in batch.items for place in item.positions)
        await answer(redis, ledger, batch)
    assert sent == failed
    after = {line.contact_id: line for line in await lines_of(redis, job_id)}
    assert all(after[one] == before[one] for one in before.keys() - failed)
    assert {after[one].code for one in failed} == {Code.DELETED}
    assert {after[one].attempts for one in failed} == {2}


async def test_what_is_gone_by_now_is_presumed_deleted(redis: ArqRedis) -> None:
    job_id = await accept(redis, [1])
    await decide_all(await start_lane(redis), failed_every=1)
    await retry_failed(redis, job_id, by="test", lanes=0)
    ledger = await start_lane(redis, "again")
    await answer(redis, ledger, await take(ledger), gone=[])
    await answer(redis, ledger, await take(ledger), visible={})
    [line] = await lines_of(redis, job_id)
    assert line.code is Code.PRESUMED_DELETED


async def test_nothing_failed_changes_nothing(redis: ArqRedis) -> None:
    job_id = await accept(redis, [1, 2])
    ledger = await start_lane(redis)
    await answer(redis, ledger, await take(ledger))
    before = await read_job(redis, job_id)
    assert await retry_failed(redis, job_id, by="test", lanes=0) == (State.COMPLETED, 0)
    assert await read_job(redis, job_id) == before


async def test_two_at_once_try_everything_once(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    await decide_all(await start_lane(redis), failed_every=2)
    assert (await retry_failed(redis, job_id, by="test", lanes=0))[1] == 5
    with pytest.raises(IllegalMove):
        await retry_failed(redis, job_id, by="test", lanes=0)
    assert (await read_job(redis, job_id)).counts[Outcome.PENDING] == 5


async def test_only_a_completed_job_can_be_retried(redis: ArqRedis) -> None:
    job_id = await accept(redis, [1])
    with pytest.raises(IllegalMove):
        await retry_failed(redis, job_id, by="test", lanes=0)
    await control(redis, job_id, Event.CANCEL, by="test", lanes=0)
    with pytest.raises(IllegalMove):
        await retry_failed(redis, job_id, by="test", lanes=0)
    with pytest.raises(UnknownJob):
        await retry_failed(redis, "nobody", by="test", lanes=0)


async def test_a_ledger_that_changes_while_it_is_read_is_read_again(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user retries the failed ones, and that is done before the reader comes to the second segment."""
    total = SEGMENT_SIZE + 1_000
    first, last = 1, total
    job_id = await accept(redis, range(1, total + 1))
    ledger = await start_lane(redis)

    async def decide(failed: set[int]) -> None:
        while not (await read_job(redis, job_id)).ended:
            batch = await take(ledger, terms(batch_size=1000))
            await fail_some(redis, ledger, batch, failed)

    await decide({first, last})

    async def disturbed(connection: ArqRedis, read_id: str) -> AsyncIterator[Rows]:
        monkeypatch.setattr("jobs.steering.retry.read_rows", read_rows)
        segments = read_rows(connection, read_id)
        yield await anext(segments)  # the first segment: one has failed
        await retry_failed(redis, job_id, by="somebody else", lanes=0)
        between = await anext(segments)  # the second one: what had failed there is pending
        await decide({last})
        yield between

    monkeypatch.setattr("jobs.steering.retry.read_rows", disturbed)
    assert await retry_failed(redis, job_id, by="test", lanes=0) == (State.QUEUED, 1)
    lines = {line.contact_id: line for line in await lines_of(redis, job_id)}
    assert lines[first].code is Code.DELETED, "what is deleted stays so"
    assert lines[last].code is Code.PENDING
    job = await read_job(redis, job_id)
    assert (job.counts[Outcome.DELETED], job.counts[Outcome.PENDING]) == (total - 1, 1)


async def test_a_ledger_that_a_fail_over_has_undone_while_it_is_read_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The job ends once more on the new primary, where as many contacts have failed, but others."""
    async with moving_address() as address, AsyncExitStack() as until_failover:
        redis = connect(RedisUrl(address.url))
        job_id = await accept(redis, range(1, 11))
        await until_failover.enter_async_context(address.losing_what_follows())
        await fail_some(redis, before := await start_lane(redis, "before"), await take(before), {1, 2})

        async def disturbed(connection: ArqRedis, read_id: str) -> AsyncIterator[Rows]:
            monkeypatch.setattr("jobs.steering.retry.read_rows", read_rows)
            async for rows in read_rows(connection, read_id):
                await until_failover.aclose()
                await fail_some(redis, after := await start_lane(redis, "after"), await take(after), {3, 4})
                yield rows

        monkeypatch.setattr("jobs.steering.retry.read_rows", disturbed)
        assert await retry_failed(redis, job_id, by="test", lanes=0) == (State.QUEUED, 2)
        pending = {line.contact_id for line in await lines_of(redis, job_id) if line.code is Code.PENDING}
        assert pending == {3, 4}
        await redis.aclose(close_connection_pool=True)
