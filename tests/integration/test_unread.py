"""A job that was submitted with plain arq is shown immediately, before any worker has taken it."""

import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.constants import job_key_prefix

from cli.embedded import EmbeddedServer
from config.settings import Portal
from jobs.accept.from_arq import accept
from jobs.arq_messages import unread
from jobs.arq_messages.message import Waiting, find_message, read_message
from jobs.lanes import presence
from jobs.store.keys import QUEUE
from jobs.store.times import iso
from jobs.view.job import list_jobs, read_job, read_jobs
from jobs.words.errors import UnknownJob
from jobs.words.outcomes import Outcome
from jobs.words.priority import Priority
from jobs.words.states import State
from tests.conftest import settings_for

REQUEST: dict[str, Any] = {"portal": "main", "contact_ids": [3, 1, 2, 1], "label": "from billing"}
MAIN = {"name": "main", "url": "http://127.0.0.1:9", "token": "t"}


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    """Forget what other tests have read."""
    unread._read.clear()
    yield
    unread._read.clear()


async def hand_in(redis: ArqRedis, job_id: str = "mine", **arguments: Any) -> None:
    assert await redis.enqueue_job("delete_contacts", _job_id=job_id, **(REQUEST | arguments))


async def test_it_is_shown_as_queued_with_what_it_asks_for(redis: ArqRedis) -> None:
    await hand_in(redis, priority="urgent")
    job = await read_job(redis, "mine")
    assert (job.state, job.state_reason, job.ended) == (State.QUEUED, "no_worker", False)
    assert (job.portal, job.label, job.priority) == ("main", "from billing", Priority.URGENT)
    assert (job.total, job.duplicates, job.progress, job.eta_s) == (3, 1, 0.0, None)
    assert job.counts == {**dict.fromkeys(Outcome, 0), Outcome.PENDING: 3}
    enqueued_ms = json.loads(await redis.get(job_key_prefix + "mine"))["et"]
    assert job.created_at == iso(enqueued_ms)
    assert (job.started_at, job.finished_at, job.last_error, job.actions) == (None, None, None, ())


async def test_with_a_worker_alive_it_is_about_to_start(redis: ArqRedis) -> None:
    await hand_in(redis)
    await presence.beat(redis, "somebody", ["main"])
    assert (await read_job(redis, "mine")).state_reason == "starting"
    await presence.leave(redis, "somebody")
    assert (await read_job(redis, "mine")).state_reason == "no_worker"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ({"portal": 5}, {"portal": "", "total": 3}),
        ({"portal": "no such:portal"}, {"portal": "", "total": 3}),
        ({"contact_ids": [1, 0, True, 2]}, {"portal": "main", "total": 2}),
        ({"contact_ids": "1,2"}, {"portal": "main", "total": 0}),
        ({"label": ["x"]}, {"label": "", "total": 3}),
        ({"label": "x" * 500}, {"label": "", "total": 3}),
        ({"priority": "fast"}, {"priority": "normal", "total": 3}),
        ({"url": "http://x"}, {"portal": "main", "total": 3}),
    ],
    ids=str,
)
async def test_a_request_that_is_wrong_is_queued_until_a_worker_has_judged_it(
    redis: ArqRedis, arguments: dict[str, Any], shown: dict[str, Any]
) -> None:
    await hand_in(redis, **arguments)
    job = await read_job(redis, "mine")
    assert job.state is State.QUEUED
    assert {name: getattr(job, name) for name in shown} == shown
    assert sum(job.counts.values()) == job.total


async def test_other_messages_are_no_jobs(redis: ArqRedis) -> None:
    await redis.enqueue_job("drive_lane", "main", _job_id="lane")
    await redis.enqueue_job("delete_contacts", _job_id="elsewhere", _queue_name="arq:queue", **REQUEST)
    for job_id, data in {"pickled": pickle.dumps({"f": "delete_contacts"}), "garbage": b"{", "gone": b""}.items():
        await redis.set(job_key_prefix + job_id, data)
        await redis.zadd(QUEUE, {job_id: 1})
    await redis.zadd(QUEUE, {"expired": 1})
    for job_id in ("lane", "elsewhere", "pickled", "garbage", "gone", "expired", "nothing", "not an ID", ""):
        with pytest.raises(UnknownJob):
            await read_job(redis, job_id)


async def test_the_list_has_it_when_a_worker_took_it(redis: ArqRedis) -> None:
    await hand_in(redis)
    assert (await list_jobs(redis)).jobs == []
    assert [job and job.id for job in await read_jobs(redis, ["nobody", "mine"])] == [None, "mine"]


async def test_its_list_is_read_once(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    async def spy(redis: ArqRedis, job_id: str) -> bytes | None:
        read.append(job_id)
        return await read_message(redis, job_id)

    monkeypatch.setattr("jobs.arq_messages.unread.read_message", spy)
    await hand_in(redis)
    assert [(await read_job(redis, "mine")).total for _ in range(3)] == [3, 3, 3]
    assert read == ["mine"]
    await redis.delete(job_key_prefix + "mine")  # and another one comes under the same ID
    await hand_in(redis, contact_ids=[3, 1, 2, 5, 6])
    assert (await read_job(redis, "mine")).total == 5


async def test_what_was_read_is_not_kept_forever(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "_KEPT", 5)
    for n in range(20):
        await hand_in(redis, f"j{n}", contact_ids=list(range(1, n + 2)))
    for _ in range(2):
        assert [(await read_job(redis, f"j{n}")).total for n in range(20)] == list(range(1, 21))
    assert len(unread._read) == 5


async def test_a_huge_one_is_shown_by_its_id_alone(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "_LARGEST", 1000)
    await hand_in(redis, contact_ids=list(range(1, 1000)))
    job = await read_job(redis, "mine")
    assert (job.state, job.portal, job.total, job.progress) == (State.QUEUED, "", 0, 0.0)
    await redis.enqueue_job("drive_lane", '"f": "delete_contacts"' * 100, _job_id="lane")
    with pytest.raises(UnknownJob):
        await read_job(redis, "lane")


async def test_it_is_seen_when_a_worker_takes_it_between_two_reads(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(server, Portal.model_validate(MAIN))
    await hand_in(redis)
    data = await redis.get(job_key_prefix + "mine")

    async def find_too_late(redis: ArqRedis, job_id: str) -> Waiting | None:
        await accept(redis, settings, job_id, data)
        await redis.delete(job_key_prefix + job_id)
        await redis.zrem(QUEUE, job_id)
        return await find_message(redis, job_id)

    monkeypatch.setattr("jobs.arq_messages.unread.find_message", find_too_late)
    job = await read_job(redis, "mine")
    assert (job.state, job.total) == (State.QUEUED, 3)
    assert [action.action for action in job.actions] == ["submit"]


async def test_an_existing_job_is_shown_and_not_the_message_under_its_id(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    await hand_in(redis)
    await accept(redis, settings_for(server, Portal.model_validate(MAIN)), "mine", await redis.get("arq:job:mine"))
    await redis.delete(job_key_prefix + "mine")
    await hand_in(redis, contact_ids=[7])
    assert (await read_job(redis, "mine")).total == 3
