"""Accepting a job: all or nothing, and safe to send twice."""

import asyncio
from typing import Any

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap
from redis.exceptions import ResponseError

from jobs.accept import submit as submitting
from jobs.accept.staged import stage
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.lanes.presence import beat
from jobs.store import keys
from jobs.store.scripts import Script
from jobs.view.job import list_jobs, read_job
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.errors import BadSubmission, JobExists
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from tests.support.lanes import PORTAL, answer, lines_of, start_lane, take, terms
from tests.support.steering import control
from tests.support.submitting import request


def submission(ids: Any = range(1, 11), **facts: Any) -> Submission:
    return request(portal=facts.pop("portal", PORTAL), ids=BitMap(ids), **facts)


async def everything(redis: ArqRedis) -> dict[bytes, object]:
    """Return everything that is in Redis, as bytes."""
    return {key: await redis.dump(key) for key in await redis.keys("*")}


async def test_the_same_list_twice_is_one_job(redis: ArqRedis) -> None:
    first = await submit(redis, submission([3, 1, 2], job_id="j", label="one"))
    before = await everything(redis)
    second = await submit(redis, submission([2, 3, 1], job_id="j", label="two", duplicates=5))
    assert (first.job_id, first.created) == ("j", True)
    assert (second.job_id, second.created) == ("j", False)
    assert await everything(redis) == before


@pytest.mark.parametrize("other", [{"ids": range(1, 12)}, {"ids": [5]}, {"portal": "second"}])
async def test_another_list_or_portal_is_refused_and_changes_nothing(redis: ArqRedis, other: dict[str, Any]) -> None:
    await submit(redis, submission(job_id="j"))
    before = await everything(redis)
    with pytest.raises(JobExists) as refused:
        await submit(redis, submission(job_id="j", **other))
    assert refused.value.job_id == "j"
    assert await everything(redis) == before


async def test_the_same_request_is_accepted_again_when_the_job_is_done_and_deletes_nothing(redis: ArqRedis) -> None:
    await submit(redis, submission(job_id="j", lanes=0))
    ledger = await start_lane(redis)
    await answer(redis, ledger, await take(ledger))
    assert (await read_job(redis, "j")).state is State.COMPLETED
    assert not (await submit(redis, submission(job_id="j", lanes=0))).created
    assert (await read_job(redis, "j")).state is State.COMPLETED


async def test_many_at_once_make_one_job(redis: ArqRedis) -> None:
    accepted = await asyncio.gather(*(submit(redis, submission(job_id="j")) for _ in range(20)))
    assert [one.created for one in accepted].count(True) == 1
    assert not await redis.keys(keys.staging("*"))


async def test_many_different_lists_at_once_make_one_job_and_refuse_the_others(redis: ArqRedis) -> None:
    asked = [submit(redis, submission(range(1, 10 + n), job_id="j")) for n in range(10)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["Accepted"] + ["JobExists"] * 9
    total = (await read_job(redis, "j")).total
    assert len(await lines_of(redis, "j")) == total
    assert not await redis.keys(keys.staging("*"))


async def test_staged_keys_expire_by_themselves(redis: ArqRedis) -> None:
    """The process may die between staging and accepting."""
    seen: list[int] = []
    original = Script.__call__

    async def spy(self: Script, client: ArqRedis, names: Any, args: Any) -> Any:
        if self.name == "create_job":
            seen.append(await client.ttl(names[1]))
        return await original(self, client, names, args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Script, "__call__", spy)
        accepted = await submit(redis, submission())
    assert 0 < seen[0] <= 3600
    assert await redis.ttl(keys.segments(accepted.job_id)) == -1
    assert not await redis.keys(keys.staging("*"))


async def test_a_list_that_is_gone_is_not_half_accepted(redis: ArqRedis) -> None:
    original = Script.__call__

    async def too_late(self: Script, client: ArqRedis, names: Any, args: Any) -> Any:
        if self.name == "create_job":
            await client.unlink(names[1])
        return await original(self, client, names, args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Script, "__call__", too_late)
        with pytest.raises(Exception, match="NOTSTAGED"):
            await submit(redis, submission(job_id="j"))
    assert not await redis.keys("*")


async def test_what_needs_approval_waits_for_it(redis: ArqRedis) -> None:
    job_id = (await submit(redis, submission(needs_approval=True))).job_id
    job = await read_job(redis, job_id)
    assert (job.state, job.state_reason) == (State.AWAITING_APPROVAL, "approval")
    assert not await redis.exists(keys.QUEUE)
    ledger = await start_lane(redis)
    assert (await ledger.next_batch(terms())).__class__.__name__ == "Idle"
    assert await control(redis, job_id, Event.APPROVE, by="test") is State.QUEUED
    await take(await start_lane(redis))


async def test_a_refusal_of_approval_skips_everything(redis: ArqRedis) -> None:
    job_id = (await submit(redis, submission(needs_approval=True))).job_id
    assert await control(redis, job_id, Event.CANCEL, by="test") is State.CANCELLED
    assert {line.code.outcome for line in await lines_of(redis, job_id)} == {Outcome.SKIPPED}


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"ids": []}, "no contact IDs"),
        ({"job_id": ""}, "job ID"),
        ({"job_id": "-x"}, "job ID"),
        ({"job_id": "a b"}, "job ID"),
        ({"job_id": "a:b"}, "job ID"),
        ({"job_id": "a/b"}, "job ID"),
        ({"job_id": "ä"}, "job ID"),
        ({"job_id": "x\n"}, "job ID"),
        ({"job_id": "x" * 65}, "job ID"),
        ({"label": "x" * 201}, "label"),
        ({"label": "two\nlines"}, "label"),
        ({"label": "\x1b[31m"}, "label"),
    ],
)
async def test_a_bad_request_is_refused_and_leaves_nothing(redis: ArqRedis, facts: dict[str, Any], word: str) -> None:
    with pytest.raises(BadSubmission, match=word):
        await submit(redis, submission(**facts))
    assert not await redis.keys("*")


@pytest.mark.parametrize("job_id", ["a", "7", "x" * 64, "2026-11-23_clean.up", "01JD0000000000000000000000"])
async def test_ids_that_people_use_are_accepted(redis: ArqRedis, job_id: str) -> None:
    assert (await submit(redis, submission(job_id=job_id, label="Frühjahrsputz 🧹"))).job_id == job_id
    assert (await read_job(redis, job_id)).label == "Frühjahrsputz 🧹"


async def test_a_long_list_is_cut_into_segments_that_hold_it_all(redis: ArqRedis) -> None:
    ids = BitMap(range(7, 600_007, 3))
    assert len(ids) == 200_000
    job_id = (await submit(redis, submission(ids, lanes=0))).job_id
    stored: dict[bytes, bytes] = await redis.hgetall(keys.segments(job_id))  # type: ignore[misc] # redis-py: maybe synchronous
    segments = [BitMap.deserialize(stored[str(n).encode()]) for n in range(4)]
    assert [len(segment) for segment in segments] == [SEGMENT_SIZE] * 3 + [200_000 - 3 * SEGMENT_SIZE]
    assert BitMap.union(*segments) == ids
    assert set(stored) == {b"0", b"1", b"2", b"3"}
    assert sum(map(len, stored.values())) < 2 * len(ids)

    # Batches never cross the border of a segment, and contain every position once.
    ledger, seen = await start_lane(redis), 0
    limits = terms(batch_size=1000, batch_size_max=1000)
    while seen < len(ids):
        batch = await take(ledger, limits)
        [item] = batch.items
        assert item.segment * SEGMENT_SIZE + item.positions[0] == seen
        assert item.positions[-1] < SEGMENT_SIZE
        seen += batch.size
        await answer(redis, ledger, batch)
    job = await read_job(redis, job_id)
    assert (job.state, job.counts[Outcome.DELETED]) == (State.COMPLETED, 200_000)


async def test_jobs_are_listed_newest_first_page_by_page(redis: ArqRedis) -> None:
    made = [(await submit(redis, submission(portal=f"p{n % 2}", job_id=f"j{n}"))).job_id for n in range(7)]
    found: list[str] = []
    cursor = None
    while True:
        page = await list_jobs(redis, limit=3, cursor=cursor)
        found += [job.id for job in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(found) == sorted(made)
    assert [job.created_at for job in (await list_jobs(redis)).jobs] == sorted(
        (job.created_at for job in (await list_jobs(redis)).jobs), reverse=True
    )
    assert {job.id for job in (await list_jobs(redis, portal="p1", limit=2)).jobs} <= {"j1", "j3", "j5"}
    assert not (await list_jobs(redis, state=State.RUNNING)).jobs


async def test_no_pace_is_promised_without_a_worker_and_skipped_contacts_make_none(redis: ArqRedis) -> None:
    job_id = (await submit(redis, request(portal="main", ids=BitMap(range(1, 1001)), lanes=0))).job_id
    ledger = await start_lane(redis)
    await answer(redis, ledger, await take(ledger))
    silent = await read_job(redis, job_id)
    assert (silent.state_reason, silent.eta_s) == ("no_worker", None)
    await beat(redis, "somebody", [PORTAL])
    await take(ledger)
    working = await read_job(redis, job_id)
    assert working.state_reason is None
    assert working.eta_s is not None
    await redis.execute_command("HINCRBY", keys.job(job_id), "worked_ms", 10_000)
    await control(redis, job_id, Event.CANCEL, by="test", lanes=0)
    assert (await read_job(redis, job_id)).contacts_per_second <= 1.0


async def test_the_time_in_which_a_job_stood_still_is_no_part_of_its_pace(redis: ArqRedis) -> None:
    job_id = (await submit(redis, request(portal="main", ids=BitMap(range(1, 41)), lanes=0))).job_id
    ledger = await start_lane(redis)
    for number in range(4):
        batch = await take(ledger)
        if number == 2:  # a night passes before the third is answered
            for moment in ("started_ms", "worked_until_ms"):
                await redis.execute_command("HINCRBY", keys.job(job_id), moment, -12 * 3600 * 1000)
        await answer(redis, ledger, batch)
        # At least ten contacts in the few seconds that a wait for a turn may take, plus what the test itself takes.
        assert (await read_job(redis, job_id)).contacts_per_second > 0.5
    ended = await read_job(redis, job_id)
    assert (ended.state, ended.started_at != ended.finished_at) == (State.COMPLETED, True)
    assert ended.contacts_per_second > 0.5


async def test_the_time_between_two_calls_counts_up_to_the_wait_for_a_turn(redis: ArqRedis) -> None:
    job_id = (await submit(redis, request(portal="main", ids=BitMap(range(1, 21)), lanes=0))).job_id
    ledger = await start_lane(redis)
    await answer(redis, ledger, await take(ledger))
    batch = await take(ledger)
    # The portal takes a call every 100 s, and this one came after 150 s.
    await redis.execute_command("HSET", keys.portal("main"), "rate", 0.01)
    await redis.execute_command("HINCRBY", keys.job(job_id), "worked_until_ms", -150_000)
    await answer(redis, ledger, batch)
    assert (await read_job(redis, job_id)).contacts_per_second <= 20 / 150


async def test_a_list_of_which_a_part_was_lost_on_its_way_is_written_again(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list goes to Redis in several steps; a fail-over between two of them may lose those before it."""
    losses = [True]

    async def stage_and_lose(redis: ArqRedis, staged: str, ids: BitMap) -> None:
        await stage(redis, staged, ids)
        if losses:
            losses.pop()
            await redis.execute_command("HDEL", staged, "0")

    monkeypatch.setattr(submitting, "stage", stage_and_lose)
    ids = BitMap(range(1, 200_001))
    accepted = await submit(redis, request(portal="main", ids=ids, lanes=0))
    assert not losses
    assert (await read_job(redis, accepted.job_id)).total == 200_000
    assert await redis.execute_command("HLEN", keys.segments(accepted.job_id)) == 4
    assert not [key async for key in redis.scan_iter(keys.staging("*"))]


async def test_a_list_that_cannot_be_kept_whole_is_no_job(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stage_half(redis: ArqRedis, staged: str, ids: BitMap) -> None:
        await redis.execute_command("HSET", staged, "0", b"half")

    monkeypatch.setattr(submitting, "stage", stage_half)
    with pytest.raises(ResponseError, match="NOTSTAGED"):
        await submit(redis, request(portal="main", ids=BitMap(range(1, 200_001)), lanes=0))
    assert not await redis.dbsize()
