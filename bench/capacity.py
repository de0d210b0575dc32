"""`python -m bench capacity`: how much one Redis can carry: calls a second, jobs, contacts.

Redis uses one core for everything that counts here, so what it can carry is what a call costs it: workers delete from a
portal that answers immediately, and the CPU time of the server is divided by the calls. One core then carries a second
divided by that, wherever the workers run. Memory is what many small jobs, and one large one, leave in it.
"""

import argparse
import asyncio
import dataclasses
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
from arq.connections import ArqRedis
from pyroaring import BitMap

from bench.kept import Kept
from bench.load import Load
from bench.ours import PORTAL, settings_for
from bench.process import embedded_redis, module
from bench.redis_load import load_of, used_bytes
from bench.rounds import MODELS, stub_portal
from bench.section import add_number, positive, publish, run_with_options, section_parser, table
from bench.simulated import simulated_portal
from bench.storage import Case, ended, measure_case
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.store import keys
from jobs.store.connection import connect

_LANES = 8
_JOB_TIMEOUT_S = 1800.0
_LOOK_S = 0.1
_SUBMIT_AT_ONCE = 20
#: Options without which measured parts are not those of this run.
_SAME = ("calls", "jobs", "contacts", "ids", "idle_s")
#: What a full server leaves to buffers, fragmentation and the copy that is written to disk.
_USABLE = 0.5


@dataclass(frozen=True)
class Calls:
    """What calls cost Redis."""

    workers: int
    batch: int
    calls: int
    seconds: float
    redis_cpu_s: float
    commands: int
    scripts: int
    script_s: float

    @property
    def redis_us(self) -> float:
        """CPU time of Redis per call, in microseconds."""
        return self.redis_cpu_s / self.calls * 1e6


@dataclass(frozen=True)
class Jobs:
    """What small jobs cost Redis."""

    jobs: int
    contacts: int  #: of each
    waiting_bytes: float  #: per job that waits
    ended_bytes: float  #: per job that has ended
    redis_us: float  #: CPU per job, from its submission to its end, its one call included
    idle_redis_percent: float  #: of a core, one worker, no job
    waiting_redis_percent: float  #: of a core, one worker, with all jobs waiting for approval


async def measure_calls(workers: int, batch: int, contacts: int) -> dict[str, Any]:
    """Let some workers delete from a portal that answers at once.

    Raises:
        RuntimeError: the job did not complete.
    """
    async with AsyncExitStack() as stack:
        redis_url = await stack.enter_async_context(embedded_redis())
        portal_url = await stack.enter_async_context(stub_portal(MODELS["zero"], element_bytes=0))
        load = Load(portal_url, redis_url, contacts, batch, _LANES * workers)
        redis = await _connected(stack, load)
        for _ in range(workers):
            await stack.enter_async_context(module("bench.ours", load.as_argument()))
        before, started_s = await load_of(redis), time.monotonic()
        made = Submission(needs_approval=False, portal=PORTAL, ids=BitMap(load.ids), lanes=load.concurrency)
        await ended(redis, (await submit(redis, made)).job_id, timeout_s=_JOB_TIMEOUT_S)
        seconds, spent = time.monotonic() - started_s, (await load_of(redis)).since(before)
        async with aiohttp.ClientSession(portal_url) as session, session.get("/stats") as response:
            puts = int((await response.json())["puts"])
    one = Calls(workers, batch, puts, seconds, spent.cpu_s, spent.commands, spent.scripts, spent.script_s)
    return dataclasses.asdict(one) | {"redis_us": one.redis_us}


async def measure_jobs(jobs: int, contacts: int, idle_s: float) -> dict[str, Any]:
    """Submit many small jobs: some that wait for approval, and as many that are carried out."""
    async with AsyncExitStack() as stack:
        redis_url = await stack.enter_async_context(embedded_redis())
        portal_url = await stack.enter_async_context(stub_portal(MODELS["zero"], element_bytes=0))
        load = Load(portal_url, redis_url, contacts, contacts, _LANES)
        redis = await _connected(stack, load)
        await stack.enter_async_context(module("bench.ours", load.as_argument()))

        async def idle_percent() -> float:
            before = await load_of(redis)
            await asyncio.sleep(idle_s)
            return (await load_of(redis)).since(before).cpu_s / idle_s * 100

        await _run(redis, 1, contacts, first=0)  # scripts are loaded by their first use
        idle, empty = await idle_percent(), await used_bytes(redis)
        await _submit(redis, jobs, contacts, first=1, needs_approval=True)
        waiting_bytes = (await used_bytes(redis) - empty) / jobs
        waiting, beside = await idle_percent(), await used_bytes(redis)
        before = await load_of(redis)
        await _run(redis, jobs, contacts, first=jobs + 1)
        spent = (await load_of(redis)).since(before)
        return dataclasses.asdict(
            Jobs(
                jobs=jobs,
                contacts=contacts,
                waiting_bytes=waiting_bytes,
                ended_bytes=(await used_bytes(redis) - beside) / jobs,
                redis_us=spent.cpu_s / jobs * 1e6,
                idle_redis_percent=idle,
                waiting_redis_percent=waiting,
            )
        )


async def measure_contacts(spread: str, contacts: int) -> dict[str, Any]:
    """Return what each contact of one large job leaves in Redis, one in a hundred of which was not simply deleted."""
    async with simulated_portal() as portal:
        result = await measure_case(Case(spread, 1000, 1.0, contacts), portal, seed=1)
    return {"spread": spread, "contacts": contacts, "bytes": max(result.by_keys)}


async def _connected(stack: AsyncExitStack, load: Load) -> ArqRedis:
    redis = connect(settings_for(load).redis.url)
    stack.push_async_callback(redis.aclose, close_connection_pool=True)
    return redis


async def _run(redis: ArqRedis, jobs: int, contacts: int, *, first: int) -> None:
    """Submit jobs and wait until they have ended."""
    before = await redis.zcard(keys.FINISHED)
    await _submit(redis, jobs, contacts, first=first, needs_approval=False)
    async with asyncio.timeout(_JOB_TIMEOUT_S):
        while await redis.zcard(keys.FINISHED) < before + jobs:  # noqa: ASYNC110  # only Redis knows
            await asyncio.sleep(_LOOK_S)


async def _submit(redis: ArqRedis, jobs: int, contacts: int, *, first: int, needs_approval: bool) -> None:
    gate = asyncio.Semaphore(_SUBMIT_AT_ONCE)

    async def one(number: int) -> None:
        ids = BitMap(range(number * contacts + 1, (number + 1) * contacts + 1))
        async with gate:
            await submit(redis, Submission(needs_approval=needs_approval, portal=PORTAL, ids=ids, lanes=_LANES))

    await asyncio.gather(*map(one, range(first, first + jobs)))


def _tables(measured: dict[str, Any], memory_gb: float) -> list[str]:
    calls = [
        [
            f"{one['workers']} workers, batches of {one['batch']}",
            f"{one['calls'] / one['seconds']:,.0f}",
            f"{100 * one['redis_cpu_s'] / one['seconds']:.0f}",
            f"{one['redis_us']:.0f}",
            f"{1e6 / one['redis_us']:,.0f}",
            f"{1e6 / one['redis_us'] * one['batch']:,.0f}",
        ]
        for one in measured["calls"]
    ]
    jobs, usable = measured["jobs"], memory_gb * 1e9 * _USABLE
    few = [
        ["bytes of a job that waits", f"{jobs['waiting_bytes']:,.0f}"],
        ["bytes of a job that has ended", f"{jobs['ended_bytes']:,.0f}"],
        ["Redis CPU of a job of one call, submission to end, µs", f"{jobs['redis_us']:,.0f}"],
        ["jobs of one call per second, of one core of Redis", f"{1e6 / jobs['redis_us']:,.0f}"],
        ["Redis CPU with one idle worker, % of a core", f"{jobs['idle_redis_percent']:.2f}"],
        [f"the same with {jobs['jobs']:,} jobs that wait for approval", f"{jobs['waiting_redis_percent']:.2f}"],
        [f"ended jobs in {memory_gb:g} GB, half of it used", f"{usable / jobs['ended_bytes']:,.0f}"],
    ]
    contacts = [
        [one["spread"], f"{one['bytes']:.2f}", f"{usable / one['bytes'] / 1e6:,.0f}"] for one in measured["contacts"]
    ]
    return [
        table(
            ("calls", "calls/s here", "Redis CPU %", "µs per call", "calls/s of a core", "contacts/s of a core"), calls
        ),
        table((f"jobs of {jobs['contacts']} contacts", "measured"), few),
        table(("contact IDs", "bytes each", f"millions in {memory_gb:g} GB, half of it used"), contacts),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("capacity", __doc__, "", "--workers 1 2 4 --memory-gb 16")
    parser.add_argument("--workers", type=positive, nargs="+", default=[1, 2, 4], help="processes (default: 1 2 4)")
    parser.add_argument("--batches", type=positive, nargs="+", default=[10, 1000], help="sizes (default: 10 1000)")
    add_number(parser, "--calls", 10_000, "PUTs of each run")
    add_number(parser, "--jobs", 1000, "small jobs")
    add_number(parser, "--contacts", 10, "contacts of each")
    add_number(parser, "--ids", 1_000_000, "contacts of a large job")
    parser.add_argument(
        "--spreads", choices=("dense", "sparse"), nargs="+", default=["dense", "sparse"], help="(default: both)"
    )
    add_number(parser, "--idle-s", 20.0, "how long idle CPU is measured")
    add_number(parser, "--memory-gb", 8.0, "memory that is reckoned with")
    return parser


async def _capacity(options: argparse.Namespace, command: Sequence[str]) -> None:
    kept = Kept(options.json, {name: getattr(options, name) for name in _SAME})
    measured: dict[str, Any] = {"calls": [], "contacts": []}
    for batch in options.batches:
        for workers in options.workers:
            work = partial(measure_calls, workers, batch, options.calls * batch)
            measured["calls"].append(await kept.part(f"{workers} workers, batches of {batch}", work))
    measured["jobs"] = await kept.part("jobs", lambda: measure_jobs(options.jobs, options.contacts, options.idle_s))
    for spread in options.spreads:
        measured["contacts"].append(await kept.part(spread, partial(measure_contacts, spread, options.ids)))
    publish(
        "What one Redis can carry",
        _tables(measured, options.memory_gb),
        measured,
        command=command,
        json_to=options.json,
    )
    kept.forget()


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _capacity, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
