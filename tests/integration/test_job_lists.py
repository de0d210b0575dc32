"""Jobs by state: the lists that scripts keep, and those that workers bring up to date after an older version."""

from collections.abc import Sequence
from typing import Any

import pytest
from arq.connections import ArqRedis

import jobs.view.job
from cli.embedded import EmbeddedServer
from config.settings import RedisConfig, Settings, WorkerConfig
from jobs.accept.reject import reject_job
from jobs.ledger.retention import forget_old_jobs
from jobs.steering.retry import retry_failed
from jobs.store import job_lists, keys
from jobs.store.job_lists import Indexer
from jobs.view.job import Job, list_jobs, read_job
from jobs.words.states import Event, State
from tests.support.lanes import accept, answer, start_lane, take, terms
from tests.support.steering import control
from tests.support.sweeping import EAGER, MARKS
from tests.support.waiting import until
from worker.main import working

pytestmark = MARKS


async def listed(redis: ArqRedis) -> dict[State, list[str]]:
    """Return the lists as they are kept, without the empty ones."""
    lists = {state: await redis.zrange(keys.jobs_in(state), 0, -1) for state in State}
    return {state: [one.decode() for one in ids] for state, ids in lists.items() if ids}


async def made_by_an_older_version(redis: ArqRedis, states: Sequence[State], portal: str = "main") -> list[str]:
    """Make jobs that are in no list of a state, the oldest first; several per millisecond."""
    pipe = redis.pipeline(transaction=False)
    made = [f"old-{number:05}" for number in range(len(states))]
    for number, (job_id, state) in enumerate(zip(made, states, strict=True)):
        created_ms = 1_700_000_000_000 + number // 3
        facts: dict[str, Any] = {"state": state, "portal": portal, "label": "", "created_ms": created_ms, "total": 0}
        facts |= {"duplicates": 0, "inflight": 0, "cursor": 0, "digest": "d"}
        pipe.execute_command("HSET", keys.job(job_id), *(part for pair in facts.items() for part in pair))
        pipe.zadd(keys.JOBS, {job_id: created_ms})
    await pipe.execute()
    return made


async def all_pages(redis: ArqRedis, **filters: Any) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = await list_jobs(redis, cursor=cursor, **filters)
        found += [job.id for job in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            return found


async def index(redis: ArqRedis) -> None:
    """Let a worker go through all jobs once."""
    indexer = Indexer()
    while not await redis.exists(keys.JOBS_INDEXED):
        await indexer.advance(redis)


async def test_a_job_is_in_the_list_of_its_state_from_its_beginning_to_its_end(redis: ArqRedis) -> None:
    await accept(redis, range(1, 11), job_id="a")
    await accept(redis, range(1, 11), job_id="large", needs_approval=True)
    await reject_job(redis, "wrong", "no list", by="test")
    others = {State.AWAITING_APPROVAL: ["large"], State.FAILED: ["wrong"]}
    assert await listed(redis) == others | {State.QUEUED: ["a"]}
    ledger = await start_lane(redis)
    batch = await take(ledger, terms(batch_size=5))
    assert await listed(redis) == others | {State.RUNNING: ["a"]}
    await control(redis, "a", Event.PAUSE, by="test")
    assert await listed(redis) == others | {State.PAUSING: ["a"]}
    await answer(redis, ledger, batch)
    assert await listed(redis) == others | {State.PAUSED: ["a"]}
    await control(redis, "large", Event.APPROVE, by="test")
    await control(redis, "a", Event.RESUME, by="test")
    assert await listed(redis) == {State.FAILED: ["wrong"], State.QUEUED: ["a", "large"]}
    await control(redis, "a", Event.CANCEL, by="test")
    assert await listed(redis) == {State.FAILED: ["wrong"], State.QUEUED: ["large"], State.CANCELLED: ["a"]}


async def test_it_is_listed_by_when_it_was_created(redis: ArqRedis) -> None:
    await accept(redis, range(1, 11), job_id="a")
    await take(await start_lane(redis))
    assert await redis.zscore(keys.jobs_in(State.RUNNING), "a") == await redis.zscore(keys.JOBS, "a")


async def test_nothing_is_left_of_it_when_it_is_forgotten(redis: ArqRedis) -> None:
    await accept(redis, range(1, 11), job_id="a")
    await control(redis, "a", Event.CANCEL, by="test")
    await redis.zadd(keys.FINISHED, {"a": 1})
    assert await forget_old_jobs(redis, 1) == ["a"]
    assert await listed(redis) == {}


async def test_a_job_that_is_tried_again_leaves_the_list_of_those_that_ended(redis: ArqRedis) -> None:
    await accept(redis, range(1, 11), job_id="a")
    ledger = await start_lane(redis)
    batch = await take(ledger, terms(batch_size=10))
    await answer(redis, ledger, batch)
    assert await listed(redis) == {State.COMPLETED: ["a"]}
    await retry_failed(redis, "a", by="test", lanes=0)
    assert await listed(redis) == {(await read_job(redis, "a")).state: ["a"]}


@pytest.mark.parametrize("indexed", [False, True])
async def test_every_page_of_a_state_is_complete_and_in_order(redis: ArqRedis, indexed: bool) -> None:
    cycle = [State.COMPLETED, State.CANCELLED, State.COMPLETED, State.PAUSED]
    states = [cycle[number % 4] for number in range(60)]
    made = await made_by_an_older_version(redis, states)
    await accept(redis, [1], job_id="new")
    if indexed:
        await index(redis)
    for state in (State.COMPLETED, State.PAUSED, State.QUEUED, State.RUNNING):
        expected = [job_id for job_id, of in zip(made, states, strict=True) if of is state][::-1]
        expected = ["new"] if state is State.QUEUED else expected
        for limit in (1, 7, 100):
            assert await all_pages(redis, state=state, limit=limit) == expected


@pytest.mark.parametrize("indexed", [False, True])
async def test_a_state_and_a_portal_can_be_asked_for_together(redis: ArqRedis, indexed: bool) -> None:
    for number in range(6):
        await accept(redis, [1], job_id=f"j{number}")
    for number in range(0, 6, 2):
        await redis.execute_command("HSET", keys.job(f"j{number}"), "portal", "other")
    await control(redis, "j5", Event.CANCEL, by="test")
    if indexed:
        await index(redis)
    assert sorted(await all_pages(redis, state=State.QUEUED, portal="main", limit=1)) == ["j1", "j3"]
    assert sorted(await all_pages(redis, state=State.QUEUED, portals=["other"], limit=2)) == ["j0", "j2", "j4"]


async def test_a_page_begun_before_the_lists_were_complete_goes_on_in_them(redis: ArqRedis) -> None:
    made = await made_by_an_older_version(redis, [State.PAUSED] * 10)
    first = await list_jobs(redis, state=State.PAUSED, limit=4)
    await index(redis)
    second = await list_jobs(redis, state=State.PAUSED, limit=100, cursor=first.next_cursor)
    assert [job.id for job in first.jobs + second.jobs] == made[::-1]


async def test_only_jobs_of_the_state_are_read(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    await made_by_an_older_version(redis, [State.COMPLETED] * 300)
    await accept(redis, range(1, 11), job_id="runs")
    await take(await start_lane(redis))
    await index(redis)
    read: list[str] = []
    read_jobs = jobs.view.job.read_jobs

    async def spy(connection: ArqRedis, job_ids: Sequence[str]) -> list[Job | None]:
        read.extend(job_ids)
        return await read_jobs(connection, job_ids)

    monkeypatch.setattr(jobs.view.job, "read_jobs", spy)
    assert [job.id for job in (await list_jobs(redis, state=State.RUNNING)).jobs] == ["runs"]
    assert read == ["runs"]


async def test_what_an_older_version_has_left_is_fixed_a_few_jobs_at_a_time(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_lists, "_STEPS_AT_ONCE", 1)
    made = await made_by_an_older_version(redis, [State.COMPLETED, State.CANCELLED] * 125)
    await redis.zadd(keys.jobs_in(State.RUNNING), {made[0]: 1, "forgotten": 2})  # moved and forgotten without the lists
    await redis.zadd(keys.jobs_in(State.COMPLETED), {"forgotten too": 3})
    indexer = Indexer()
    await indexer.advance(redis)
    assert 0 < await redis.zcard(keys.jobs_in(State.COMPLETED)) < 125
    assert not await redis.exists(keys.JOBS_INDEXED)
    for _ in range(40):
        await indexer.advance(redis)
    assert await redis.exists(keys.JOBS_INDEXED)
    assert await listed(redis) == {State.COMPLETED: made[::2], State.CANCELLED: made[1::2]}


async def test_jobs_that_move_meanwhile_end_up_in_the_right_list(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_lists, "_STEPS_AT_ONCE", 1)
    await made_by_an_older_version(redis, [State.COMPLETED] * 120)
    await accept(redis, range(1, 11), job_id="a")
    workers = Indexer(), Indexer()
    steps = [(Event.PAUSE, State.PAUSED), (Event.RESUME, State.QUEUED), (Event.CANCEL, State.CANCELLED)]
    for event, state in steps:
        for worker in workers:
            await worker.advance(redis)
        await control(redis, "a", event, by="test")
        assert (await listed(redis))[state] == ["a"]
    for worker in workers * 40:
        await worker.advance(redis)
    assert {state: len(ids) for state, ids in (await listed(redis)).items()} == {
        State.COMPLETED: 120,
        State.CANCELLED: 1,
    }


async def test_a_worker_does_so_when_it_starts_and_then_rests(redis: ArqRedis, server: EmbeddedServer) -> None:
    made = await made_by_an_older_version(redis, [State.COMPLETED] * 5)
    settings = Settings(redis=RedisConfig(url=server.url), portals={}, worker=WorkerConfig(**EAGER))
    async with working(settings):
        await until(lambda: redis.exists(keys.JOBS_INDEXED))
    assert await listed(redis) == {State.COMPLETED: made}
    indexer = Indexer()
    await indexer.advance(redis)
    await redis.delete(keys.jobs_in(State.COMPLETED))
    await indexer.advance(redis)
    assert await listed(redis) == {}
    indexer._rests_until_s = 0.0  # the rest is over
    await indexer.advance(redis)
    assert await listed(redis) == {State.COMPLETED: made}
