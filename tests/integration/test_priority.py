"""Jobs of one portal take turns by weight, and whatever users do to a job is kept with it."""

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

from jobs.accept.submit import submit
from jobs.steering.priority import set_priority
from jobs.view.job import read_job
from jobs.words.errors import JobHasEnded, UnknownJob
from jobs.words.priority import Priority
from jobs.words.states import Event
from tests.support.lanes import PORTAL, answer, start_lane, take
from tests.support.steering import control
from tests.support.submitting import request


async def add(redis: ArqRedis, job_id: str, priority: Priority = Priority.NORMAL) -> None:
    ids = BitMap(range(1, 10_001))
    await submit(redis, request(portal=PORTAL, ids=ids, job_id=job_id, lanes=0, priority=priority, by="me"))


async def served(redis: ArqRedis, batches: int) -> list[str]:
    """Return which job each of the next batches belonged to."""
    driver = await start_lane(redis)
    order = []
    for _ in range(batches):
        batch = await take(driver)
        order.append(batch.job_id)
        await answer(redis, driver, batch)
    await driver.release()
    return order


async def test_turns_go_by_weight(redis: ArqRedis) -> None:
    await add(redis, "urgent", Priority.URGENT)
    await add(redis, "normal")
    await add(redis, "background", Priority.BACKGROUND)
    order = await served(redis, 222)
    assert 190 <= order.count("urgent") <= 204
    assert 18 <= order.count("normal") <= 22
    assert 1 <= order.count("background") <= 3


async def test_a_priority_that_is_changed_counts_from_the_next_batch_on(redis: ArqRedis) -> None:
    await add(redis, "one")
    await add(redis, "other", Priority.BACKGROUND)
    assert (await served(redis, 20)).count("other") <= 2
    await set_priority(redis, "other", Priority.URGENT, by="me")
    assert (await served(redis, 22)).count("other") >= 18
    assert (await read_job(redis, "other")).priority is Priority.URGENT


async def test_what_people_do_is_kept_with_the_job(redis: ArqRedis) -> None:
    await add(redis, "job")
    await set_priority(redis, "job", Priority.BACKGROUND, by="billing")
    await control(redis, "job", Event.PAUSE, by="cli:ann", lanes=0)
    actions = (await read_job(redis, "job")).actions
    assert [(one.by, one.action, one.detail) for one in actions] == [
        ("me", "submit", None),
        ("billing", "priority", "background"),
        ("cli:ann", "pause", None),
    ]
    assert all(one.at.endswith("Z") for one in actions)


async def test_only_the_newest_actions_are_kept(redis: ArqRedis) -> None:
    await add(redis, "job")
    for number in range(120):
        await set_priority(redis, "job", Priority.URGENT, by=f"number {number}")
    actions = (await read_job(redis, "job")).actions
    assert [one.by for one in actions] == [f"number {number}" for number in range(100, 120)]


async def test_a_job_that_has_ended_or_never_was_has_no_priority(redis: ArqRedis) -> None:
    await add(redis, "job")
    await control(redis, "job", Event.CANCEL, by="me", lanes=0)
    with pytest.raises(JobHasEnded, match="job job is cancelled"):
        await set_priority(redis, "job", Priority.URGENT, by="me")
    with pytest.raises(UnknownJob):
        await set_priority(redis, "nobody", Priority.URGENT, by="me")
