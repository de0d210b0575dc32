"""Jobs that ended long ago are forgotten without a trace; all others are left alone."""

from typing import Any

import pytest
from arq.connections import ArqRedis
from msgspec.structs import replace

from jobs.ledger.retention import forget_old_jobs
from jobs.store import keys
from jobs.view.job import list_jobs, read_job
from jobs.words.errors import UnknownJob
from jobs.words.states import Event
from tests.support.lanes import accept, answer, start_lane, take, terms
from tests.support.steering import control
from worker.segments import Segments


async def finish(redis: ArqRedis, job_id: str, ids: range = range(1, 31)) -> None:
    await accept(redis, ids, job_id=job_id)
    ledger = await start_lane(redis, f"lane of {job_id}")
    while not (await read_job(redis, job_id)).ended:
        await answer(redis, ledger, await take(ledger, terms(batch_size=1000)))
    await ledger.release()


async def age(redis: ArqRedis, job_id: str, days: float) -> None:
    seconds, _ = await redis.time()
    await redis.zadd(keys.FINISHED, {job_id: round((seconds - days * 86_400) * 1000)})


async def test_nothing_is_left_of_an_old_job(redis: ArqRedis) -> None:
    await finish(redis, "old", range(1, 70_001))
    await age(redis, "old", 31)
    assert len(await redis.keys(keys.ledger("old", 0)[:-1] + "*")) == 2
    assert await forget_old_jobs(redis, 30) == ["old"]
    assert not [key for key in await redis.keys("*") if b"old" in key]
    assert not (await list_jobs(redis)).jobs
    with pytest.raises(UnknownJob):
        await read_job(redis, "old")
    with pytest.raises(UnknownJob):
        await control(redis, "old", Event.PAUSE, by="test")


async def test_younger_and_unfinished_jobs_stay(redis: ArqRedis) -> None:
    await finish(redis, "old")
    await finish(redis, "young")
    await age(redis, "old", 2)
    await age(redis, "young", 0.9)
    await accept(redis, range(1, 31), job_id="waits")
    assert await forget_old_jobs(redis, 1) == ["old"]
    assert {job.id for job in (await list_jobs(redis)).jobs} == {"young", "waits"}
    assert await forget_old_jobs(redis, 1) == []


async def test_cancelled_jobs_are_forgotten_too(redis: ArqRedis) -> None:
    await accept(redis, range(1, 31), job_id="cancelled")
    await control(redis, "cancelled", Event.CANCEL, by="test")
    await age(redis, "cancelled", 2)
    assert await forget_old_jobs(redis, 1) == ["cancelled"]


async def test_many_go_a_few_at_a_time_the_oldest_first(redis: ArqRedis) -> None:
    for n in range(45):
        await accept(redis, [1], job_id=f"j{n:02}")
        await control(redis, f"j{n:02}", Event.CANCEL, by="test")
        await age(redis, f"j{n:02}", 100 - n)
    gone = [await forget_old_jobs(redis, 1) for _ in range(4)]
    assert [len(some) for some in gone] == [20, 20, 5, 0]
    assert [job_id for some in gone for job_id in some] == [f"j{n:02}" for n in range(45)]


async def test_an_id_that_is_free_again_makes_a_new_job(redis: ArqRedis) -> None:
    await finish(redis, "monthly")
    await age(redis, "monthly", 31)
    await forget_old_jobs(redis, 30)
    await accept(redis, range(500, 510), job_id="monthly")
    assert (await read_job(redis, "monthly")).total == 10


async def test_a_new_job_is_not_forgotten_in_place_of_the_former_one(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker freezes after it has looked for old jobs, while another one forgets them."""
    await finish(redis, "monthly")
    await age(redis, "monthly", 31)
    look: Any = redis.zrangebyscore

    async def look_and_stand_still(*arguments: Any, **options: Any) -> Any:
        old = await look(*arguments, **options)
        monkeypatch.setattr(redis, "zrangebyscore", look)
        assert await forget_old_jobs(redis, 30) == ["monthly"]
        await accept(redis, range(500, 510), job_id="monthly")
        return old

    monkeypatch.setattr(redis, "zrangebyscore", look_and_stand_still)
    assert await forget_old_jobs(redis, 30) == []
    assert (await read_job(redis, "monthly")).total == 10


async def test_a_worker_that_knew_the_former_job_sends_nothing_of_its_list(redis: ArqRedis) -> None:
    """This also holds if Redis has just been emptied, and a service sends its next list under the usual ID."""
    segments = Segments(redis)
    for ids in (range(1, 31), range(500, 510)):
        await accept(redis, ids, job_id="monthly")
        batch = await take(await start_lane(redis), terms(batch_size=1000))
        assert list(await segments.ids(batch, 0)) == list(ids)
        assert list(await segments.ids(batch, 0)) == list(ids)
        await redis.flushall()


async def test_a_list_that_came_between_a_batch_and_its_contact_ids_is_not_taken_for_its_own(redis: ArqRedis) -> None:
    segments = Segments(redis)
    await accept(redis, range(1, 31), job_id="monthly")
    batch = await take(await start_lane(redis), terms(batch_size=1000))
    await redis.flushall()
    await accept(redis, range(500, 530), job_id="monthly")
    with pytest.raises(LookupError):
        await segments.ids(batch, 0)
    await redis.flushall()
    await accept(redis, range(1, 31), job_id="monthly")
    assert list(await segments.ids(batch, 0)) == list(range(1, 31))


async def test_segments_in_use_are_read_once_and_few_are_kept(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = []
    for n in range(20):
        await accept(redis, [n + 1], job_id=f"j{n}")
        batches.append(await take(await start_lane(redis, f"lane {n}")))
    read: list[object] = []
    pipeline: Any = redis.pipeline

    def spy(**how: bool) -> object:
        read.append(how)
        return pipeline(**how)

    monkeypatch.setattr(redis, "pipeline", spy)
    segments = Segments(redis)
    for _ in range(3):
        assert list(await segments.ids(batches[0], 0)) == [1]
    assert len(read) == 1
    for n in range(20):
        assert list(await segments.ids(batches[n], 0)) == [n + 1]
    assert len(read) == 20
    await segments.ids(batches[0], 0)
    assert len(read) == 21, "the least recently used one had to go"
    with pytest.raises(LookupError):
        await segments.ids(replace(batches[0], job_id="nobody"), 0)
