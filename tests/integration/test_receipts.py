"""Receipts of real ledgers: true, always the same until the ledger changes, and never of one that still can."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from bench.ended_job import make_ended_job
from cli.embedded import EmbeddedServer
from jobs.accept.approval import ApprovalTerms
from jobs.accept.reject import reject_job
from jobs.lanes.grants import Batch
from jobs.lanes.settlement import Settlement
from jobs.ledger.export import Format, read_text
from jobs.ledger.records import Record
from jobs.ledger.retention import forget_job
from jobs.ledger.rows import read_rows
from jobs.receipts.documents import Receipt, read_document, to_json
from jobs.receipts.errors import Mismatch, NotEnded, UnknownContact
from jobs.receipts.make import make_proof, make_receipt
from jobs.receipts.statement import Statement
from jobs.receipts.verify import Verified, verify
from jobs.steering.control import control
from jobs.steering.retry import retry_failed
from jobs.store import keys
from jobs.view.job import read_job
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.errors import UnknownJob
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import Event
from simulator import World
from tests.support.lanes import PORTAL, accept, answer, start_lane, take, terms
from tests.support.planning import plan_of_filter, planned
from tests.support.receipts import KEY, PUBLIC, as_file
from tests.support.sweeping import MARKS, ended, settings_of
from tests.support.write_watch import meddle
from worker.main import working

pytestmark = MARKS


async def ledger_of(redis: ArqRedis, job_id: str) -> bytes:
    return "".join([text async for text, _ in read_text(redis, job_id, Format.CSV)]).encode()


async def verified(redis: ArqRedis, job_id: str, receipt: Receipt) -> Verified:
    """Verify a receipt that was written and read back with the ledger that `results` has now."""
    document = read_document(to_json(receipt))
    return verify(document, known_key=PUBLIC, ledger=as_file(await ledger_of(redis, job_id)))


async def decide_all(redis: ArqRedis, name: str, *codes: Code) -> None:
    """Decide everything that is left; the codes take turns."""
    lane = await start_lane(redis, name)
    while isinstance(batch := await lane.next_batch(terms(failure_threshold=1.0)), Batch):
        records = []
        for item in batch.items:
            some = bytes(codes[position % len(codes)] for position in item.positions)
            at_ms = batch.server_ms()
            record = Record(positions=item.positions, codes=some, attempts=1, http_status=200, at_ms=at_ms)
            records.append((item.segment, record))
        assert await lane.settle(batch, Settlement(records=records, sent=1))


async def test_a_receipt_agrees_with_the_results_and_the_job(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 42), address="0123456789abcdef")
    await decide_all(redis, "lane", Code.DELETED, Code.READ_ONLY, Code.NOT_FOUND)
    found = await verified(redis, job_id, await make_receipt(redis, job_id, KEY))
    job, said = await read_job(redis, job_id), found.statement
    assert (found.ledger_lines, found.is_known) == (41, True)
    assert (said.job, said.portal, said.address, said.state) == (job_id, PORTAL, "0123456789abcdef", "completed")
    assert (said.created, said.started, said.finished) == (job.created_at, job.started_at, job.finished_at)
    assert (said.total, said.counts, said.retries) == (41, job.counts, 0)


async def test_the_receipt_of_a_ledger_is_always_the_same(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 42))
    await decide_all(redis, "lane", Code.DELETED)
    first, *others = await asyncio.gather(*(make_receipt(redis, job_id, KEY) for _ in range(5)))
    assert [other == first for other in others] == [True] * 4
    await meddle(redis, "DEL", keys.ledger(job_id, 0))
    assert await make_receipt(redis, job_id, KEY) == first, "the ledger was read once more"
    sealed = await make_receipt(redis, job_id, KEY, sealed=True)
    assert sealed.opening is None
    assert (sealed.statement, sealed.signature) == (first.statement, first.signature)


async def test_jobs_have_seeds_of_their_own(redis: ArqRedis) -> None:
    seeds = set()
    for job_id in ("one", "two"):
        await accept(redis, range(1, 4), job_id=job_id)
        await decide_all(redis, job_id, Code.DELETED)
        receipt = await make_receipt(redis, job_id, KEY)
        assert receipt.opening
        seeds.add(receipt.opening.seed)
    assert len(seeds) == 2


async def test_a_ledger_of_several_segments_is_signed_and_proved(redis: ArqRedis) -> None:
    total = 2 * SEGMENT_SIZE + 3
    await make_ended_job(redis, BitMap(range(10, 10 + 2 * total, 2)), portal=PORTAL, job_id="job")
    shown: list[int] = []
    receipt = await make_receipt(redis, "job", KEY, show=shown.append)
    assert shown == [SEGMENT_SIZE, 2 * SEGMENT_SIZE, total]
    assert (await verified(redis, "job", receipt)).ledger_lines == total
    lines = (await ledger_of(redis, "job")).decode().splitlines()
    for index in (0, 1, SEGMENT_SIZE - 1, SEGMENT_SIZE, 2 * SEGMENT_SIZE, total - 1):
        proof = await make_proof(redis, "job", 10 + 2 * index, KEY)
        found = verify(read_document(to_json(proof)), known_key=PUBLIC)
        assert (proof.index, found.line, proof.statement) == (index, lines[index + 1], receipt.statement)
    for absent in (1, 11, 10 + SEGMENT_SIZE * 2 - 1, 10 + 2 * total, 2**31 - 1):
        with pytest.raises(UnknownContact, match=str(absent)):
            await make_proof(redis, "job", absent, KEY)


async def test_there_is_no_receipt_before_a_job_has_ended(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 42))
    for made in (make_receipt(redis, job_id, KEY), make_proof(redis, job_id, 1, KEY)):
        with pytest.raises(NotEnded, match="queued"):
            await made
    for made in (make_receipt(redis, "nobody", KEY), make_receipt(redis, "a:b", KEY)):
        with pytest.raises(UnknownJob):
            await made
    assert not await redis.exists(keys.receipts(job_id), keys.receipts("nobody"))


async def test_a_retried_job_gets_another_receipt_once_it_has_ended_again(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 42))
    await decide_all(redis, "first", Code.DELETED, Code.TIMEOUT)
    before = await make_receipt(redis, job_id, KEY)
    old_ledger = await ledger_of(redis, job_id)
    await retry_failed(redis, job_id, by="me")
    with pytest.raises(NotEnded, match="queued"):
        await make_receipt(redis, job_id, KEY)
    await decide_all(redis, "second", Code.DELETED)
    after = await make_receipt(redis, job_id, KEY)
    assert (await verified(redis, job_id, after)).statement.retries == 1
    assert after.opening != before.opening
    assert verify(before, known_key=PUBLIC, ledger=as_file(old_ledger)).statement.retries == 0
    with pytest.raises(Mismatch, match="counts"):
        await verified(redis, job_id, before)


async def test_a_cancelled_job_has_a_receipt_of_what_was_sent_and_skipped(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 42))
    lane = await start_lane(redis)
    batch = await take(lane)
    await control(redis, job_id, Event.CANCEL, by="me")
    await answer(redis, lane, batch)
    said = (await verified(redis, job_id, await make_receipt(redis, job_id, KEY))).statement
    assert said.state == "cancelled"
    assert (said.counts[Outcome.DELETED], said.counts[Outcome.SKIPPED]) == (10, 31)


async def test_a_request_that_was_refused_has_a_receipt_of_nothing(redis: ArqRedis) -> None:
    await reject_job(redis, "bad", "what was wrong", by="me")
    receipt = await make_receipt(redis, "bad", KEY)
    assert verify(receipt, known_key=PUBLIC, ledger=as_file(await ledger_of(redis, "bad"))).ledger_lines == 0
    said = Statement.parse(receipt.statement)
    assert (said.state, said.total, said.portal, said.address, said.started) == ("failed", 0, "", None, None)
    with pytest.raises(UnknownContact):
        await make_proof(redis, "bad", 1, KEY)


async def test_a_job_that_is_forgotten_takes_its_seed_along(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 4))
    await decide_all(redis, "lane", Code.DELETED)
    await make_receipt(redis, job_id, KEY)
    assert await redis.exists(keys.receipts(job_id))
    await forget_job(redis, job_id)
    assert not await redis.exists(keys.receipts(job_id))
    with pytest.raises(UnknownJob):
        await make_receipt(redis, job_id, KEY)


@pytest.mark.parametrize("happens", ["retried", "forgotten"])
async def test_a_ledger_that_changes_while_it_is_read_is_not_signed(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch, happens: str
) -> None:
    job_id = await accept(redis, range(1, 42))
    await decide_all(redis, "first", Code.DELETED, Code.TIMEOUT)

    async def read_meanwhile(*of: Any, **options: Any) -> AsyncIterator[Any]:
        async for rows in read_rows(*of, **options):
            yield rows
        if happens == "retried":
            await retry_failed(redis, job_id, by="me")
        else:
            await forget_job(redis, job_id)

    monkeypatch.setattr("jobs.receipts.make.read_rows", read_meanwhile)
    with pytest.raises(NotEnded if happens == "retried" else UnknownJob):
        await make_receipt(redis, job_id, KEY)
    assert not await redis.execute_command("HGET", keys.receipts(job_id), "roots")


async def test_roots_are_not_kept_beside_a_seed_that_they_were_not_made_with(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await accept(redis, range(1, 42))
    await decide_all(redis, "first", Code.DELETED)
    times = 0

    async def lose_the_seed_meanwhile(*of: Any, **options: Any) -> AsyncIterator[Any]:
        nonlocal times
        async for rows in read_rows(*of, **options):
            yield rows
        times += 1
        if times == 1:  # as a failover does; and another process has begun to make the receipt
            await meddle(redis, "HSET", keys.receipts(job_id), "seed", b"s" * 32)

    with monkeypatch.context() as patched:
        patched.setattr("jobs.receipts.make.read_rows", lose_the_seed_meanwhile)
        receipts = [await make_receipt(redis, job_id, KEY)]
    receipts.append(await make_receipt(redis, job_id, KEY))
    for receipt in receipts:
        assert (await verified(redis, job_id, receipt)).ledger_lines == 41


async def test_a_ledger_that_is_not_what_its_counts_say_is_not_signed(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 42))
    await decide_all(redis, "lane", Code.DELETED)
    await meddle(redis, "HINCRBY", keys.job(job_id), "n:deleted", -1)
    await meddle(redis, "HINCRBY", keys.job(job_id), "n:refused", 1)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="counts"):
            await make_receipt(redis, job_id, KEY)


async def test_a_segment_that_changed_by_itself_is_not_proved(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 42))
    await decide_all(redis, "lane", Code.DELETED)
    await make_receipt(redis, job_id, KEY)
    await meddle(redis, "DEL", keys.ledger(job_id, 0))
    with pytest.raises(RuntimeError, match="segment 0"):
        await make_proof(redis, job_id, 1, KEY)


@pytest.mark.parametrize("event", [Event.APPROVE, Event.CANCEL])
async def test_a_campaign_has_a_receipt_however_it_ends(redis: ArqRedis, server: EmbeddedServer, event: Event) -> None:
    """With a canary, contacts that are never sent, and one that no longer matches when it is looked at again."""
    world = World(60, read_only=range(5, 8), tagged={"trash": range(1, 40)})
    async with simulator.running(world) as portal:
        job_id = await plan_of_filter(redis, tags=("trash",))
        async with working(settings_of(server, portal, recheck_after_s=0.0, canary="10%", canary_departures=10)):
            job = await planned(redis, job_id)
            assert job.plan
            portal.world.tagged["trash"].remove(20)
            await control(redis, job_id, event, by="me", terms=ApprovalTerms(digest=job.plan.digest))
            job = await ended(redis, job_id)
    found = await verified(redis, job_id, await make_receipt(redis, job_id, KEY))
    assert (found.ledger_lines, found.statement.counts) == (39, job.counts)
    assert found.statement.state == job.state
