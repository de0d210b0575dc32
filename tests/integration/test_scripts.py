"""Running scripts: by hash, in one round trip, even on a server that has forgotten them."""

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from jobs.lanes.grants import Batch, Turn
from jobs.lanes.lease import ACQUIRE, PACE, SETTLE, rescue
from jobs.lanes.settlement import NewRest, Settlement
from jobs.store import keys, scripts
from jobs.store.scripts import Script, run_together
from jobs.store.scripts import ScriptCall as Call
from jobs.view.job import read_job
from jobs.words.outcomes import Outcome
from jobs.words.reasons import StateReason
from jobs.words.states import lua_table
from tests.support.lanes import PORTAL, accept, answer, field, start_lane, take, terms

ROOT = Path(__file__).parents[2]

FILES = sorted(
    (package, file.name.removesuffix(".lua"))
    for package in ("jobs.store.lua", "worker.lua")
    for file in resources.files(package).iterdir()
    if file.name.endswith(".lua")
)


@pytest.mark.parametrize(("package", "name"), FILES)
async def test_every_script_compiles_under_the_hash_that_is_sent(redis: ArqRedis, package: str, name: str) -> None:
    script = Script(name, package)
    assert await redis.script_load(script.source) == script.sha
    assert (lua_table() in script.source) == ("MOVES[" in script.source)


def test_every_script_is_loaded_and_every_one_that_is_loaded_is_there() -> None:
    found: list[tuple[str, str]] = []
    call = re.compile(r"= Script\(\"(\w+)\"(?:, \"([\w.]+)\")?(?:, replicated=True)?(?:, after=\[\w+\])?\)")
    for package in ("jobs", "worker", "web", "restore", "cli"):
        for source in (ROOT / package).rglob("*.py"):
            for name, where in call.findall(source.read_text()):
                found.append((where or "jobs.store.lua", name))
    assert sorted(found) == FILES


async def test_a_server_that_is_restarted_right_after_it_was_given_a_script_is_given_it_again(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loads = scripts._load, 0

    async def load_and_forget(redis: Redis, needed: Sequence[Script]) -> None:
        nonlocal loads
        await load(redis, needed)
        loads += 1
        if loads == 1:
            await redis.script_flush()

    monkeypatch.setattr(scripts, "_load", load_and_forget)
    await redis.script_flush()
    await rescue(redis, PORTAL, 0.0)
    assert loads == 2


async def test_a_server_that_was_restarted_in_the_middle_is_given_the_scripts_again(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 51))
    await redis.script_flush()
    ledger = await start_lane(redis)
    for _ in range(4):
        batch = await take(ledger)
        await redis.script_flush()
        await answer(redis, ledger, batch)
        await redis.script_flush()
    await rescue(redis, PORTAL, 0.0)
    assert (await read_job(redis, job_id)).counts[Outcome.DELETED] == 40


async def test_forgetting_between_two_scripts_of_one_trip_records_once(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 51))
    ledger = await start_lane(redis)
    batch = await take(ledger)
    await redis.script_flush()
    await redis.script_load(
        SETTLE.source
    )  # the server knows the first of the two, so at first only the second is refused
    _, grant = await ledger.settle_and_next(batch, Settlement(items=[(batch.items[0], 600.0)], sent=1), terms())
    assert isinstance(grant, Batch)
    assert grant.seq == batch.seq + 1
    assert (await read_job(redis, job_id)).requests.sent == 1
    assert await field(redis, keys.job(job_id), "inflight") == b"1"


async def test_nothing_is_handed_out_before_what_was_to_be_recorded_first(redis: ArqRedis) -> None:
    """A server that has been started anew gets a lane's first question before it gets the first record."""
    await redis.script_flush()
    await accept(redis, range(1, 51))
    ledger = await start_lane(redis)
    batch = await take(ledger)
    pushed_back = Settlement(items=[(batch.items[0], 0.0)], rest=NewRest(60, StateReason.PUSH_BACK))
    is_recorded, grant = await ledger.settle_and_next(batch, pushed_back, terms())
    assert is_recorded
    assert isinstance(grant, Turn), "the portal rests"
    assert grant.wait_s > 50


async def test_a_refusal_raises_and_changes_nothing(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 51))
    ledger = await start_lane(redis)
    batch = await take(ledger)
    before = {key: await redis.dump(key) for key in await redis.keys("*")}
    with pytest.raises(ResponseError, match="UNBALANCED"):
        await ledger.settle(batch, Settlement())
    assert {key: await redis.dump(key) for key in await redis.keys("*")} == before
    await answer(redis, ledger, batch)
    assert (await read_job(redis, job_id)).counts[Outcome.DELETED] == 10


async def test_an_error_of_one_script_does_not_stop_those_behind_it(redis: ArqRedis) -> None:
    await redis.set("a text", "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await run_together(redis, [(ACQUIRE, ["a text"], ["t", 1000, 1]), (PACE, ["a text"], [10, 1, 0])])
    first: Call = (PACE, ["a text"], [10, 1, 0])
    second: Call = (ACQUIRE, [keys.portal(PORTAL)], ["t", 600_000, 1])
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await run_together(redis, [first, second])
    assert await redis.zscore(keys.leases(PORTAL), "t")
