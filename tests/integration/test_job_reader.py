"""Simultaneous polls share one read, and none is answered with anything older than itself."""

import asyncio

import pytest
from arq.connections import ArqRedis
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.view.job import Job, read_jobs
from jobs.words.errors import UnknownJob
from jobs.words.states import Event, State
from tests.support.lanes import accept
from tests.support.steering import control
from web.live.job_reader import JobReader


async def test_polls_that_come_together_share_one_read(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[list[str]] = []

    async def counted(connection: ArqRedis, job_ids: list[str]) -> list[Job | None]:
        reads.append(job_ids)
        return await read_jobs(connection, job_ids)

    monkeypatch.setattr("web.live.job_reader.read_jobs", counted)
    one, other = await accept(redis, range(1, 11)), await accept(redis, range(1, 21))
    reader = JobReader(redis)
    jobs = await asyncio.gather(*(reader.read(job_id) for job_id in [one, other] * 50))
    assert [job.id for job in jobs] == [one, other] * 50
    assert len(reads) <= 2


async def test_a_poll_is_never_answered_with_a_read_that_began_before_it(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await accept(redis, range(1, 11))
    has_read, go_on = asyncio.Event(), asyncio.Event()

    async def slow(connection: ArqRedis, job_ids: list[str]) -> list[Job | None]:
        jobs = await read_jobs(connection, job_ids)
        has_read.set()
        await go_on.wait()
        return jobs

    monkeypatch.setattr("web.live.job_reader.read_jobs", slow)
    reader = JobReader(redis)
    before = asyncio.create_task(reader.read(job_id))
    await has_read.wait()
    await control(redis, job_id, Event.PAUSE, by="me", lanes=0)
    behind = asyncio.create_task(reader.read(job_id))
    await asyncio.sleep(0)
    go_on.set()
    assert (await before).state is State.QUEUED
    assert (await behind).state is State.PAUSED


async def test_a_poll_that_is_given_up_does_not_take_the_answer_from_others(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    reader = JobReader(redis)
    given_up = asyncio.create_task(reader.read(job_id))
    other = asyncio.create_task(reader.read(job_id))
    await asyncio.sleep(0)
    given_up.cancel()
    assert (await other).id == job_id


async def test_everybody_who_waits_is_told_what_went_wrong(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await accept(redis, range(1, 11))
    reader = JobReader(redis)
    with pytest.raises(UnknownJob):
        await reader.read("nobody")

    async def away(_connection: ArqRedis, _job_ids: list[str]) -> list[Job | None]:
        raise RedisConnectionError("away")

    with monkeypatch.context() as patched:
        patched.setattr("web.live.job_reader.read_jobs", away)
        told = await asyncio.gather(*(reader.read(job_id) for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in told] == [RedisConnectionError] * 3
    assert (await reader.read(job_id)).id == job_id
