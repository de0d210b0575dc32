"""A refused request is a job like others: it is shown, listed, cannot be steered, and is forgotten."""

import pytest
from arq.connections import ArqRedis

from jobs.accept.reject import reject_job
from jobs.ledger.export import Format, read_text
from jobs.ledger.retention import forget_old_jobs
from jobs.ledger.rows import read_results
from jobs.steering.priority import set_priority
from jobs.steering.retry import retry_failed
from jobs.store import keys
from jobs.view.job import list_jobs, read_job
from jobs.words.errors import IllegalMove, JobExists, JobHasEnded, UnknownJob
from jobs.words.outcomes import Outcome
from jobs.words.priority import Priority
from jobs.words.states import Event, State
from tests.support.lanes import accept
from tests.support.steering import control


async def reject(redis: ArqRedis, job_id: str = "wrong", error: str = "label: given 5, expected a text") -> bool:
    return await reject_job(redis, job_id, error, by="arq", portal="main", label="spring", priority=Priority.URGENT)


async def test_it_is_shown_as_failed_with_what_was_wrong(redis: ArqRedis) -> None:
    assert await reject(redis)
    job = await read_job(redis, "wrong")
    assert (job.state, job.state_reason, job.last_error) == (
        State.FAILED, "bad_request", "label: given 5, expected a text"
    )  # fmt: skip
    assert (job.portal, job.label, job.priority) == ("main", "spring", Priority.URGENT)
    assert (job.total, sum(job.counts.values()), job.progress, job.eta_s) == (0, 0, 1.0, None)
    assert job.started_at is None
    assert job.finished_at == job.created_at
    assert [(action.by, action.action) for action in job.actions] == [("arq", "submit")]
    assert [one.id for one in (await list_jobs(redis, state=State.FAILED)).jobs] == ["wrong"]


async def test_its_ledger_is_empty(redis: ArqRedis) -> None:
    await reject(redis)
    assert [lines async for lines in read_results(redis, "wrong") if lines] == []
    text = "".join([part async for part, _ in read_text(redis, "wrong", Format.CSV, Outcome.FAILED)])
    assert text == "contact_id,outcome,reason,http_status,attempts,at\n"


@pytest.mark.parametrize("event", [Event.PAUSE, Event.RESUME, Event.CANCEL, Event.APPROVE])
async def test_it_cannot_be_steered(redis: ArqRedis, event: Event) -> None:
    await reject(redis)
    with pytest.raises(IllegalMove):
        await control(redis, "wrong", event, by="tests")
    with pytest.raises(IllegalMove):
        await retry_failed(redis, "wrong", by="tests")
    with pytest.raises(JobHasEnded):
        await set_priority(redis, "wrong", Priority.NORMAL, by="tests")
    assert (await read_job(redis, "wrong")).state is State.FAILED


async def test_it_is_forgotten_without_a_trace(redis: ArqRedis) -> None:
    await reject(redis)
    assert await forget_old_jobs(redis, 1) == []
    await redis.zadd(keys.FINISHED, {"wrong": 1})
    assert await forget_old_jobs(redis, 1) == ["wrong"]
    with pytest.raises(UnknownJob):
        await read_job(redis, "wrong")
    assert not await redis.keys("*")


async def test_a_job_that_already_exists_is_left_alone(redis: ArqRedis) -> None:
    await accept(redis, [1, 2, 3], job_id="wrong")
    before = await redis.execute_command("HGETALL", keys.job("wrong"))
    assert not await reject(redis)
    assert await redis.execute_command("HGETALL", keys.job("wrong")) == before
    assert not await redis.zcard(keys.FINISHED)


async def test_the_same_refusal_twice_is_one(redis: ArqRedis) -> None:
    assert await reject(redis)
    assert await reject(redis)
    assert not await reject(redis, error="something else")
    assert len((await read_job(redis, "wrong")).actions) == 1


async def test_its_id_is_taken(redis: ArqRedis) -> None:
    await reject(redis)
    with pytest.raises(JobExists):
        await accept(redis, [1, 2, 3], job_id="wrong")
    assert (await read_job(redis, "wrong")).total == 0


async def test_a_portal_that_is_no_name_breaks_no_list(redis: ArqRedis) -> None:
    await reject_job(redis, "nameless", "portal: given 5", by="arq")
    await accept(redis, [1, 2, 3], job_id="right")
    assert {job.id: job.portal for job in (await list_jobs(redis)).jobs} == {"nameless": "", "right": "main"}


async def test_an_endless_error_is_cut(redis: ArqRedis) -> None:
    await reject(redis, error="x" * 5000)
    assert len((await read_job(redis, "wrong")).last_error or "") == 1000
