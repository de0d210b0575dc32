"""IDs that no job can have: they name a part of another job, or something that Redis cannot be asked for."""

from collections.abc import Awaitable, Callable

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

from config.settings import Settings
from jobs.accept.submit import submit
from jobs.accept.take_in import take_in
from jobs.ledger.rows import read_rows
from jobs.steering.priority import set_priority
from jobs.steering.retry import retry_failed
from jobs.store import keys
from jobs.view.job import list_jobs, read_job, read_jobs
from jobs.view.why import explain
from jobs.words.errors import UnknownJob
from jobs.words.priority import Priority
from jobs.words.states import Event
from tests.support.steering import control
from tests.support.submitting import request


async def _rows(redis: ArqRedis, job_id: str) -> None:
    async for _ in read_rows(redis, job_id):
        pass


ASK: dict[str, Callable[[ArqRedis, str], Awaitable[object]]] = {
    "read": read_job,
    "why": lambda redis, job_id: explain(redis, Settings(portals={}), job_id),
    "results": _rows,
    "pause": lambda redis, job_id: control(redis, job_id, Event.PAUSE, by="tests"),
    "cancel": lambda redis, job_id: control(redis, job_id, Event.CANCEL, by="tests"),
    "retry-failed": lambda redis, job_id: retry_failed(redis, job_id, by="tests"),
    "priority": lambda redis, job_id: set_priority(redis, job_id, Priority.URGENT, by="tests"),
    "take-in": lambda redis, job_id: take_in(redis, Settings(portals={}), job_id),
}

#: What follows a job's ID in the keys that belong to it, and what cannot be written as UTF-8 or in one line.
NO_JOBS = ("a:segments", "a:ledger:0", "a:items", "a:history", "a:due:put", ":", "\udcff", "a\n", "a\x00")


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("job_id", NO_JOBS, ids=ascii)
async def test_what_cannot_be_a_job_is_unknown_and_left_alone(redis: ArqRedis, ask: str, job_id: str) -> None:
    await submit(redis, request(portal="main", ids=BitMap([1, 2]), job_id="a"))
    await redis.execute_command("RPUSH", keys.ledger("a", 0), b"x")
    await redis.execute_command("HSET", keys.items("a"), "portal", "main")
    before = {key: await redis.dump(key) for key in await redis.keys("*")}
    with pytest.raises(UnknownJob):
        await ASK[ask](redis, job_id)
    assert {key: await redis.dump(key) for key in await redis.keys("*")} == before


async def test_a_job_beside_an_id_that_cannot_be_one_is_read(redis: ArqRedis) -> None:
    await submit(redis, request(portal="main", ids=BitMap([1, 2]), job_id="a"))
    found = await read_jobs(redis, [*NO_JOBS, "a"])
    assert [job and job.id for job in found] == [None] * len(NO_JOBS) + ["a"]
    assert [job.id for job in (await list_jobs(redis)).jobs] == ["a"]
