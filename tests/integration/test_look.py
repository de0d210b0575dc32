"""Jobs are read together with what is shown of their portals: at one moment, in one round trip."""

from typing import Any

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

from config.portal import Portal
from jobs.accept.submit import submit
from jobs.lanes import presence
from jobs.steering.switch import Switch, switch
from jobs.store import keys
from jobs.store.clock import read_clocks
from jobs.store.portal_state import read_states
from jobs.store.round_trip import round_trip
from jobs.view.job import read_jobs
from jobs.view.look import look
from tests.support.lanes import lane
from tests.support.submitting import request

PORTALS = ("main", "archive", "old")


@pytest.fixture
async def job_ids(redis: ArqRedis) -> list[str]:
    """Return the IDs of more jobs than one step of the server reads, of several portals."""
    return [
        (await submit(redis, request(portal=PORTALS[number % 3], ids=BitMap([number + 1]), lanes=0))).job_id
        for number in range(45)
    ]


async def test_any_number_of_jobs_is_read_in_one_round_trip(
    redis: ArqRedis, job_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[int] = []

    async def counted(client: Any, commands: Any) -> list[Any]:
        trips.append(len(commands))
        return await round_trip(client, commands)

    await look(redis, [])  # the script is loaded
    monkeypatch.setattr("jobs.store.scripts.round_trip", counted)
    jobs = await read_jobs(redis, job_ids)
    assert trips == [3]
    assert [job and job.id for job in jobs] == job_ids
    assert [job and job.portal for job in jobs] == [PORTALS[number % 3] for number in range(45)]


async def test_what_is_not_there_is_left_out(redis: ArqRedis, job_ids: list[str]) -> None:
    looked = await look(redis, ["nobody", job_ids[7], job_ids[8]])
    assert list(looked.jobs) == [job_ids[7], job_ids[8]]
    assert set(looked.portals) == {PORTALS[1], PORTALS[2]}
    stored = await redis.execute_command("HGETALL", keys.job(job_ids[7]))
    assert looked.jobs[job_ids[7]] == {name.decode(): value.decode() for name, value in stored.items()}


async def test_it_finds_what_is_read_one_by_one(redis: ArqRedis, job_ids: list[str]) -> None:
    await presence.beat(redis, "a worker", ["main", "archive"], {"main": "f" * 32})
    stopped = Portal.model_validate({"name": "archive", "url": "http://127.0.0.1:9", "token": "t"})
    await switch(redis, Switch.STOP, [stopped], of_all=False, by="me")
    assert await lane(redis, "one").acquire(3)
    looked = await look(redis, job_ids)
    assert (looked.workers, set(looked.served), looked.replicated_ms) == (1, {"main", "archive"}, None)
    one_by_one = await read_states(redis, PORTALS)
    for name, state in looked.portals.items():
        assert abs(state.now_ms - one_by_one[name].now_ms) < 5000
        for fact in ("lanes", "active_jobs", "rest", "fault", "hold", "stop", "set_rate", "day"):
            assert getattr(state, fact) == getattr(one_by_one[name], fact), fact
    assert looked.portals["main"].lanes == 1
    assert looked.portals["archive"].hold


async def test_the_clocks_are_those_of_the_server(redis: ArqRedis) -> None:
    before = await read_clocks(redis)
    clocks = (await look(redis, [])).clocks
    after = await read_clocks(redis)
    for clock in ("wall_ms", "steady_ms", "presence_ms"):
        assert getattr(before, clock) <= getattr(clocks, clock) <= getattr(after, clock)


async def test_until_when_replicas_have_everything_is_told(redis: ArqRedis) -> None:
    await redis.set(keys.REPLICATED_UNTIL, 1_763_900_000_000)
    assert (await look(redis, [])).replicated_ms == 1_763_900_000_000
