"""Steering a job that no worker has taken yet, even if one takes it at that very moment."""

import asyncio
import json
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix, result_key_prefix

import simulator
from cli.embedded import EmbeddedServer
from config.errors import UnknownPortal
from config.settings import Portal, Settings
from jobs.accept.from_arq import accept
from jobs.accept.submit import Asked, submit
from jobs.accept.take_in import take_in
from jobs.arq_messages.message import hold_message
from jobs.ledger.retention import forget_old_jobs
from jobs.steering.priority import set_priority
from jobs.store import keys
from jobs.store.connection import connect
from jobs.store.keys import QUEUE
from jobs.view.job import list_jobs, read_job
from jobs.words.errors import IllegalMove, NotDue, UnknownJob
from jobs.words.outcomes import Outcome
from jobs.words.priority import Priority
from jobs.words.states import Event, State
from simulator import World
from tests.conftest import settings_for
from tests.support.redis_proxy import losing_replies
from tests.support.steering import control
from tests.support.sweeping import MARKS, ended, settings_of
from tests.support.waiting import until
from worker.main import working

pytestmark = MARKS


@pytest.fixture
def settings(server: EmbeddedServer) -> Settings:
    return settings_for(server, Portal.model_validate({"name": "main", "url": "http://127.0.0.1:9", "token": "t"}))


async def hand_in(redis: ArqRedis, job_id: str = "mine", *, later_s: float | None = None, **arguments: Any) -> None:
    request = {"portal": "main", "contact_ids": [1, 2, 3]} | arguments
    assert await redis.enqueue_job("delete_contacts", _job_id=job_id, _defer_by=later_s, **request)


async def steer(redis: ArqRedis, settings: Settings, event: Event, job_id: str = "mine") -> State:
    taken_in = await take_in(redis, settings, job_id, Asked(event, "tests"))
    return taken_in or await control(redis, job_id, event, by="tests")


async def result(redis: ArqRedis, job_id: str = "mine") -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(await redis.get(result_key_prefix + job_id))
    return kept


async def test_paused_before_a_worker_took_it_nothing_is_sent_until_it_is_resumed(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(10)) as portal:
        settings = settings_of(server, portal)
        await hand_in(redis)
        assert await steer(redis, settings, Event.PAUSE) is State.PAUSED
        job = await read_job(redis, "mine")
        assert (job.state_reason, job.total) == ("operator", 3)
        assert [(action.by, action.action) for action in job.actions] == [("arq", "submit"), ("tests", "pause")]
        async with working(settings):
            await hand_in(redis, "other", contact_ids=[7])
            await ended(redis, "other")
            assert set(portal.truth.sent) == {7}
            await control(redis, "mine", Event.RESUME, by="tests")
            job = await ended(redis, "mine")
            assert job.counts[Outcome.DELETED] == 3
            assert job.started_at is not None, "so it has a pace"


async def test_cancelled_before_a_worker_took_it_nothing_is_ever_sent(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(10)) as portal:
        settings = settings_of(server, portal)
        await hand_in(redis)
        assert await steer(redis, settings, Event.CANCEL) is State.CANCELLED
        assert (await read_job(redis, "mine")).counts[Outcome.SKIPPED] == 3
        await redis.zadd(keys.FINISHED, {"mine": 1})
        assert await forget_old_jobs(redis, 1) == ["mine"]  # the workers were down for longer than the retention
        async with working(settings):
            await hand_in(redis, "other", contact_ids=[7])
            await ended(redis, "other")
            with pytest.raises(UnknownJob):
                await read_job(redis, "mine")
            assert set(portal.truth.sent) == {7}


async def test_the_sender_is_told_by_arq_that_it_was_accepted(redis: ArqRedis, settings: Settings) -> None:
    await hand_in(redis)
    await steer(redis, settings, Event.PAUSE)
    kept = await result(redis)
    assert (kept["s"], kept["r"], kept["id"], kept["q"]) == (True, "mine", "mine", QUEUE)
    assert not await redis.exists(job_key_prefix + "mine", in_progress_key_prefix + "mine")
    assert await redis.zscore(QUEUE, "mine") is None


async def test_approved_before_a_worker_took_it(redis: ArqRedis, settings: Settings) -> None:
    portal = settings.portals["main"].model_copy(update={"approval_above": 2})
    settings = settings.model_copy(update={"portals": {"main": portal}})
    await hand_in(redis)
    with pytest.raises(IllegalMove, match="pause is not possible while the job is awaiting_approval"):
        await steer(redis, settings, Event.PAUSE)
    assert await redis.zscore(QUEUE, "mine") is not None, "left alone"
    assert await steer(redis, settings, Event.APPROVE) is State.QUEUED


@pytest.mark.parametrize("event", [Event.RESUME, Event.APPROVE, Event.RETRY_FAILED])
async def test_what_a_job_that_waits_does_not_allow_leaves_the_message_alone(
    redis: ArqRedis, settings: Settings, event: Event
) -> None:
    await hand_in(redis)
    with pytest.raises(IllegalMove, match="queued"):
        await take_in(redis, settings, "mine", Asked(event, "tests"))
    assert not await redis.exists(keys.job("mine"))
    assert await redis.zscore(QUEUE, "mine") is not None


async def test_a_priority_given_before_a_worker_took_it(redis: ArqRedis, settings: Settings) -> None:
    await hand_in(redis)
    await take_in(redis, settings, "mine")
    await set_priority(redis, "mine", Priority.URGENT, by="tests")
    assert (await read_job(redis, "mine")).priority is Priority.URGENT


async def test_a_job_that_was_put_off_is_not_started_by_steering_it(redis: ArqRedis, settings: Settings) -> None:
    await hand_in(redis, later_s=3600)
    with pytest.raises(NotDue, match="deferred until"):
        await take_in(redis, settings, "mine")
    assert not await redis.exists(keys.job("mine"))
    assert await steer(redis, settings, Event.CANCEL) is State.CANCELLED


async def test_a_request_that_is_wrong_fails_as_it_would_with_a_worker(redis: ArqRedis, settings: Settings) -> None:
    await hand_in(redis, contact_ids=[0])
    with pytest.raises(IllegalMove, match="failed"):
        await steer(redis, settings, Event.CANCEL)
    assert "contact_ids[0]" in ((await read_job(redis, "mine")).last_error or "")
    kept = await result(redis)
    assert kept["s"] is False
    assert "contact_ids[0]" in kept["r"]


async def test_a_portal_that_is_not_configured_here_may_be_configured_elsewhere(
    redis: ArqRedis, settings: Settings
) -> None:
    await hand_in(redis, portal="elsewhere")
    with pytest.raises(UnknownPortal):
        await steer(redis, settings, Event.CANCEL)
    assert await redis.zscore(QUEUE, "mine") is not None


async def test_what_is_no_message_of_ours_is_left_alone(redis: ArqRedis, settings: Settings) -> None:
    await redis.enqueue_job("drive_lane", "main", _job_id="lane")
    for job_id in ("lane", "nothing", "not an ID"):
        with pytest.raises(UnknownJob):
            await steer(redis, settings, Event.CANCEL, job_id)
    assert await redis.zscore(QUEUE, "lane") is not None


@pytest.mark.parametrize("worker_first", [True, False])
async def test_a_worker_that_takes_the_message_at_the_same_moment_makes_the_same_job(
    redis: ArqRedis, settings: Settings, monkeypatch: pytest.MonkeyPatch, worker_first: bool
) -> None:
    """The worker has marked the message as its own before the caller could, and reads it before it disappears."""
    await hand_in(redis)
    data = await redis.get(job_key_prefix + "mine")
    await redis.set(in_progress_key_prefix + "mine", b"1", px=3_610_000)

    async def submit_in_the_middle(*arguments: Any) -> Any:
        if worker_first:
            assert await accept(redis, settings, "mine", data) == "mine"
        return await submit(*arguments)

    monkeypatch.setattr("jobs.accept.take_in.submit", submit_in_the_middle)
    state = await steer(redis, settings, Event.PAUSE)
    assert state is State.PAUSED
    assert await redis.zscore(QUEUE, "mine") is not None, "the message is the worker's"
    assert await accept(redis, settings, "mine", data) == "mine"
    assert (await read_job(redis, "mine")).state is State.PAUSED
    assert len((await list_jobs(redis)).jobs) == 1


async def test_another_request_under_the_same_id_stands(
    redis: ArqRedis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came through another door between two checks."""
    await hand_in(redis)
    data = await redis.get(job_key_prefix + "mine")

    async def hold_too_late(*arguments: Any) -> bool:
        await accept(redis, settings, "mine", data.replace(b"[1,2,3]", b"[7]"))
        return await hold_message(*arguments)

    monkeypatch.setattr("jobs.accept.take_in.hold_message", hold_too_late)
    assert await steer(redis, settings, Event.PAUSE) is State.PAUSED
    assert (await read_job(redis, "mine")).total == 1
    assert (await result(redis))["s"] is False
    assert "already exists" in (await result(redis))["r"]


@pytest.mark.parametrize(("event", "state"), [(Event.CANCEL, State.CANCELLED), (Event.PAUSE, State.PAUSED)])
async def test_a_caller_that_dies_on_the_way_has_done_what_was_asked(
    redis: ArqRedis, settings: Settings, monkeypatch: pytest.MonkeyPatch, event: Event, state: State
) -> None:
    """The job is made and steered in one step: there is no moment at which only half is done."""
    await hand_in(redis)

    async def die(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jobs.accept.take_in.finish_message", die)
    with pytest.raises(KeyboardInterrupt):
        await take_in(redis, settings, "mine", Asked(event, "tests"))
    job = await read_job(redis, "mine")
    assert job.state is state
    assert [(action.by, action.action) for action in job.actions] == [("arq", "submit"), ("tests", event.value)]
    assert 0 < await redis.pttl(in_progress_key_prefix + "mine") <= 10_000


@pytest.mark.parametrize("event", [Event.CANCEL, Event.PAUSE])
async def test_what_a_caller_that_died_left_in_the_queue_is_taken_out_by_the_next_one(
    redis: ArqRedis, settings: Settings, monkeypatch: pytest.MonkeyPatch, event: Event
) -> None:
    """A message that is put off for longer than jobs are kept would make a cancelled job again."""
    await hand_in(redis, later_s=90 * 86_400)

    async def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("jobs.accept.take_in.finish_message", die)
        with pytest.raises(KeyboardInterrupt):
            await take_in(redis, settings, "mine", Asked(Event.CANCEL, "tests"))
    await redis.delete(in_progress_key_prefix + "mine")  # seconds later
    with pytest.raises(IllegalMove, match="cancelled"):
        await steer(redis, settings, event)
    assert await redis.zscore(QUEUE, "mine") is None
    assert not await redis.exists(job_key_prefix + "mine", in_progress_key_prefix + "mine")
    assert (await result(redis))["r"] == "mine"


async def test_another_list_that_waits_under_the_id_of_a_job_is_left_alone(redis: ArqRedis, settings: Settings) -> None:
    await hand_in(redis, later_s=3600)
    data = await redis.get(job_key_prefix + "mine")
    await accept(redis, settings, "mine", data.replace(b"[1,2,3]", b"[7]"))
    assert await steer(redis, settings, Event.CANCEL) is State.CANCELLED
    assert await redis.get(job_key_prefix + "mine") == data
    assert not await redis.exists(in_progress_key_prefix + "mine")


async def test_a_mark_whose_reply_got_lost_is_known_as_ones_own(server: EmbeddedServer, redis: ArqRedis) -> None:
    async with losing_replies(server) as proxy:
        unlucky = connect(proxy.url)
        proxy.lose_reply(in_progress_key_prefix.encode())
        told = [await hold_message(unlucky, "mine", 10_000) for _ in range(2)]
        await unlucky.aclose(close_connection_pool=True)
    assert proxy.lost
    assert told == [True, False], "the second one belongs to another caller"
    assert 0 < await redis.pttl(in_progress_key_prefix + "mine") <= 10_000


async def test_many_callers_and_a_worker_at_once_make_one_job(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(300)) as portal:
        settings = settings_of(server, portal, batch_size_max=10, batch_size_start=10)
        async with working(settings):
            for n in range(5):
                await hand_in(redis, f"j{n}", contact_ids=list(range(1 + 60 * n, 61 + 60 * n)))
                await asyncio.gather(
                    *(steer(redis, settings, Event.CANCEL, f"j{n}") for _ in range(3)), return_exceptions=True
                )
            for n in range(5):
                job = await ended(redis, f"j{n}")
                assert (job.state in {State.CANCELLED, State.COMPLETED}, job.total) == (True, 60)

            async def read() -> bool:
                return not await redis.exists(*(job_key_prefix + f"j{n}" for n in range(5)))

            await until(read)
        assert len((await list_jobs(redis)).jobs) == 5
