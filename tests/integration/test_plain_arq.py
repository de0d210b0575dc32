"""Requests from other services, which know arq, JSON and some names, but nothing of this project."""

import asyncio
import json
import pickle
import sys
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.constants import job_key_prefix, result_key_prefix
from redis.exceptions import ResponseError

import simulator
from cli.embedded import EmbeddedServer
from jobs.accept.from_arq import accept
from jobs.store.keys import QUEUE
from jobs.view.job import list_jobs, read_job
from jobs.words.errors import UnknownJob
from jobs.words.outcomes import Outcome
from jobs.words.priority import Priority
from jobs.words.states import State
from simulator import World
from tests.support.sweeping import MARKS, check_against_truth, ended, settings_of
from tests.support.waiting import until
from worker import functions
from worker.main import working

pytestmark = MARKS

CALLER = """
import asyncio, json, sys
from importlib.util import find_spec
from redis.asyncio import ConnectionPool
from arq.connections import ArqRedis

def serialize(value): return json.dumps(value).encode()

async def main():
    url, job_id, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    redis = ArqRedis(ConnectionPool.from_url(url), job_serializer=serialize, job_deserializer=json.loads,
                     default_queue_name="crm-sweep")
    job = await redis.enqueue_job("delete_contacts", _job_id=job_id or None, **arguments)
    ours = {name for name in sys.modules if name.split(".")[0] in ("jobs", "worker", "config")}
    assert not ours, ours
    print(job.job_id if job else "")
    await redis.aclose(close_connection_pool=True)

asyncio.run(main())
"""


async def call(server: EmbeddedServer, job_id: str = "", **arguments: Any) -> str:
    """Enqueue a request from a process of its own; return arq's job ID, empty if arq says it already exists."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-W", "error", "-c", CALLER, server.url.get_secret_value(), job_id, json.dumps(arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode().strip()


async def result(redis: ArqRedis, job_id: str) -> dict[str, Any]:
    """Return what arq keeps of a message that was processed."""

    async def look() -> bytes | None:
        found: bytes | None = await redis.get(result_key_prefix + job_id)
        return found

    kept: dict[str, Any] = json.loads(await until(look))
    return kept


async def test_a_request_becomes_a_job_with_the_ids_of_arq(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(200, read_only=5)) as portal, working(settings_of(server, portal)):
        ids = [*range(200, 0, -1), 7, 7]
        job_id = await call(server, portal="main", contact_ids=ids, label="from billing")
        kept = await result(redis, job_id)
        assert (kept["s"], kept["r"]) == (True, job_id)
        job = await ended(redis, job_id)
        assert (job.total, job.duplicates, job.label) == (200, 2, "from billing")
        await check_against_truth(redis, portal, job_id)


async def test_the_same_id_twice_stays_one_job_and_another_list_is_refused(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(100)) as portal, working(settings_of(server, portal)):
        assert await call(server, "mine", portal="main", contact_ids=[1, 2, 3]) == "mine"
        await ended(redis, "mine")
        await result(redis, "mine")
        await redis.delete(result_key_prefix + "mine")  # arq forgets it after a day
        assert await call(server, "mine", portal="main", contact_ids=[3, 2, 1]) == "mine"
        assert (await result(redis, "mine"))["s"] is True
        await redis.delete(result_key_prefix + "mine")
        assert await call(server, "mine", portal="main", contact_ids=[4]) == "mine"
        kept = await result(redis, "mine")
        assert kept["s"] is False
        assert "mine already exists" in kept["r"]
        assert (await read_job(redis, "mine")).total == 3
        assert set(portal.truth.sent) == {1, 2, 3}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"portal": "nowhere", "contact_ids": [1]}, "nowhere"),
        ({"portal": "main", "contact_ids": []}, "no contact IDs"),
        ({"portal": "main", "contact_ids": [1, 0]}, "contact_ids[1]"),
        ({"portal": "main", "contact_ids": [1, True]}, "contact_ids[1]"),
        ({"portal": "main", "contact_ids": [1, 5.0]}, "contact_ids[1]"),
        ({"portal": "main", "contact_ids": [1, "7"]}, "contact_ids[1]"),
        ({"portal": "main", "contact_ids": [2147483648]}, "contact_ids[0]"),
        ({"portal": "main", "contact_ids": "1,2"}, "contact_ids"),
        ({"portal": "main", "contact_ids": [1], "label": 5}, "label"),
        ({"portal": "main", "contact_ids": [1], "priority": "fast"}, "priority"),
        ({"portal": "main", "contact_ids": [1], "ctx": {}}, "ctx"),
        ({"portal": "main", "contact_ids": [1], "url": "http://x"}, "url"),
        ({"contact_ids": [1]}, "portal"),
    ],
)
async def test_bad_arguments_become_a_failed_job_that_tells_and_nothing_is_sent(
    redis: ArqRedis, server: EmbeddedServer, arguments: dict[str, Any], word: str
) -> None:
    async with simulator.running(World(10)) as portal, working(settings_of(server, portal)):
        job_id = await call(server, "wrong", **arguments)
        kept = await result(redis, job_id)
        assert kept["s"] is False
        assert word in kept["r"]
        job = await read_job(redis, job_id)
        assert (job.state, job.state_reason, job.total, job.ended) == (State.FAILED, "bad_request", 0, True)
        assert word in (job.last_error or "")
        assert [one.id for one in (await list_jobs(redis)).jobs] == [job_id]
        assert not portal.truth.calls


async def test_a_priority_can_be_asked_for(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(10)) as portal, working(settings_of(server, portal)):
        job_id = await call(server, portal="main", contact_ids=[1], priority="background")
        assert (await result(redis, job_id))["s"] is True
        assert (await ended(redis, job_id)).priority is Priority.BACKGROUND


@pytest.mark.parametrize("job_id", ["ticket 4711", "main:segments", "x" * 65, "ümlaut"])
async def test_an_id_that_cannot_be_a_jobs_is_told_under_another_one(
    redis: ArqRedis, server: EmbeddedServer, job_id: str
) -> None:
    async with simulator.running(World(10)) as portal, working(settings_of(server, portal)):
        await call(server, job_id, portal="main", contact_ids=[1])
        kept = await result(redis, job_id)
        [job] = (await list_jobs(redis)).jobs
        assert (job.state, job.portal) == (State.FAILED, "main")
        assert "job ID" in (job.last_error or "")
        assert kept["s"] is False
        assert not portal.truth.calls
    with pytest.raises(UnknownJob):
        await read_job(redis, job_id)


async def test_garbage_in_the_queue_becomes_failed_jobs_and_holds_up_nobody(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    usual: dict[str, Any] = {
        "t": None,
        "f": "delete_contacts",
        "a": [],
        "k": {"portal": "main", "contact_ids": [1]},
        "et": 5,
    }
    garbage = {
        "empty": b"{}",
        "time": json.dumps(usual | {"et": "soon"}).encode(),
        "far": json.dumps(usual | {"et": 10**18}).encode(),
        "function": json.dumps(usual | {"f": ["delete_contacts"]}).encode(),
        "named": json.dumps(usual | {"k": [1]}).encode(),
        "position": json.dumps(usual | {"a": ["main", [1]]}).encode(),
        "wake-up": json.dumps(usual | {"f": "drive_lane", "a": 7}).encode(),
    }
    async with simulator.running(World(10)) as portal, working(settings_of(server, portal)):
        for job_id, data in garbage.items():
            await redis.set(job_key_prefix + job_id, data)
            await redis.zadd(QUEUE, {job_id: 1})
        job_id = await call(server, portal="main", contact_ids=[1, 2])
        assert (await ended(redis, job_id)).counts[Outcome.DELETED] == 2
        for job_id in garbage:
            assert (await ended(redis, job_id)).state is State.FAILED
            assert (await result(redis, job_id))["s"] is False
        assert len(portal.truth.of_kind("delete")) == 1


async def test_a_request_that_redis_does_not_take_is_tried_again(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions, "_PUT_BACK_S", 0.1)
    refusals = iter([ResponseError("OOM command not allowed when used memory > 'maxmemory'")] * 3)

    async def accept_late(*arguments: Any) -> str:
        for refusal in refusals:
            raise refusal
        return await accept(*arguments)

    monkeypatch.setattr(functions, "accept", accept_late)
    async with simulator.running(World(10)) as portal, working(settings_of(server, portal)):
        job_id = await call(server, portal="main", contact_ids=[1, 2])
        assert (await ended(redis, job_id)).counts[Outcome.DELETED] == 2
        assert (await result(redis, job_id))["s"] is True


async def test_a_pickle_is_never_loaded(redis: ArqRedis, server: EmbeddedServer, tmp_path: Any) -> None:
    opened = tmp_path / "opened"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(opened), "w")

    message = {"t": None, "f": "delete_contacts", "a": (), "k": {"portal": Trap()}, "et": 0}
    async with simulator.running(World(10)) as portal, working(settings_of(server, portal)):
        await redis.set(job_key_prefix + "trap", pickle.dumps(message))
        await redis.zadd(QUEUE, {"trap": 1})
        job_id = await call(server, portal="main", contact_ids=[1, 2])
        assert (await ended(redis, job_id)).counts[Outcome.DELETED] == 2

        async def gone() -> bool:
            return await redis.zscore(QUEUE, "trap") is None

        await until(gone)
    assert not opened.exists()
    job = await read_job(redis, "trap")
    assert (job.state, job.total) == (State.FAILED, 0)
    assert "pickle" in (job.last_error or "")
