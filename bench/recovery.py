"""`python -m bench recovery`: what a killed worker, a stopped one and a restarted Redis cost.

    kill       SIGKILL of the only driving worker while a second one is idle
    replace    SIGKILL of the only worker; a new one is started right after
    terminate  SIGTERM of the only driving worker while a second one is idle
    redis      SIGKILL of Redis (append-only file, fsync always), some seconds down, started again
    start      an idle system: from before submit() to the arrival of the first PUT
    idle       CPU of a worker and a Redis server with nothing to do

The first four run a job against the simulated portal and measure the time until the next call of a living worker
arrives there; then the job runs to its end, and its ledger is compared with the portal's truth, ID by ID. A call that a
dead worker has left in a socket does not count: a call counts once a living worker holds a claim.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil
from arq.connections import ArqRedis
from pyroaring import BitMap

from bench.load import Load
from bench.ours import PORTAL, environment_for, settings_for
from bench.process import Child, module, redis_server
from bench.section import add_number, add_seed, publish, run_with_options, section_parser, table
from bench.simulated import simulated_portal
from bench.storage import ended
from bench.truth_check import Verdict, compare
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.ledger.items import Call
from jobs.store import keys
from jobs.store.connection import connect
from simulator.client import SimulatorClient

_LANES, _BATCH = 4, 100
_MOST_HELD = 2 * _LANES  # a lane holds the batch that is in flight, and the one whose answer is being recorded
_BASE_MS = 250.0  # so that every lane has a call in flight nearly all of the time
_RESUME_TIMEOUT_S = 90.0
_END_TIMEOUT_S = 120.0
_GONE_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Interruption:
    """One run with a fault in the middle."""

    resumed_s: float  #: from the fault (Redis: from when the server was back) to the next call at the portal
    #: PUTs claimed at that moment, up to two per lane. With a killed worker, no more than these become doubtful; Redis
    #: is asked just before it is killed, and lanes may claim others meanwhile.
    held: int
    verdict: Verdict


@dataclass(frozen=True)
class Bench:
    """What all scenarios share."""

    portal: SimulatorClient
    directory: Path
    ids: int
    down_s: float
    random: random.Random

    def load(self, redis_url: str) -> Load:
        """Return what the workers are told to do."""
        return Load(self.portal.url, redis_url, self.ids, _BATCH, _LANES)


@dataclass
class Campaign:
    """A job in the middle of its run, driven by one worker."""

    bench: Bench
    redis: ArqRedis
    load: Load
    job_id: str
    ids: BitMap

    async def claims_of(self, worker: Child) -> list[bytes]:
        """Return the claims that a worker's lanes hold, as stored in Redis."""
        held = await self.redis.execute_command("HGETALL", keys.claims(PORTAL))
        return [claim for token, claim in held.items() if token.split(b":")[1] == str(worker.pid).encode()]

    async def next_call_s(self, worker: Child) -> float:
        """Return when the first call of a worker that has made none so far reaches the portal, on the monotonic clock.

        Raises:
            RuntimeError: It made none in time.
        """
        deadline_s = time.monotonic() + _RESUME_TIMEOUT_S
        asked_s = time.monotonic()
        while not await self.claims_of(worker):
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"no worker resumed within {_RESUME_TIMEOUT_S:.0f} s")
            await asyncio.sleep(0.002)
            asked_s = time.monotonic()
        return await self.arrival_s(asked_s - 0.005)

    async def arrival_s(self, since_s: float) -> float:
        """Return when the first call after `since_s` arrives at the portal, both on the monotonic clock.

        Raises:
            RuntimeError: There was none in time.
        """
        deadline_s = time.monotonic() + _RESUME_TIMEOUT_S
        while time.monotonic() < deadline_s:
            for call in await self.bench.portal.calls():
                if call["monotonic_s"] >= since_s:
                    return float(call["monotonic_s"])
            await asyncio.sleep(0.01)
        raise RuntimeError(f"the portal saw no call within {_RESUME_TIMEOUT_S:.0f} s")

    async def verdict(self) -> Verdict:
        """Let the job finish at full speed, and compare its ledger with the truth."""
        await self.bench.portal.behave(base_ms=0)
        await ended(self.redis, self.job_id, timeout_s=_END_TIMEOUT_S)
        return await compare(self.redis, self.job_id, self.ids, self.bench.portal)


@contextlib.asynccontextmanager
async def _worker(load: Load) -> AsyncIterator[Child]:
    """Run the worker as an operator starts it."""
    async with module("cli", "worker", environment=environment_for(load), ready="worker_started") as worker:
        yield worker


@contextlib.asynccontextmanager
async def _connected(load: Load) -> AsyncIterator[ArqRedis]:
    redis = connect(settings_for(load).redis.url)
    try:
        yield redis
    finally:
        await redis.aclose(close_connection_pool=True)


@contextlib.asynccontextmanager
async def _under_way(bench: Bench, worker: Child, load: Load) -> AsyncIterator[Campaign]:
    """Submit a job and yield it once one worker drives it with all lanes."""
    await bench.portal.reset(contacts=bench.ids)
    await bench.portal.behave(base_ms=_BASE_MS)
    ids = BitMap(range(1, bench.ids + 1))
    async with _connected(load) as redis:
        accepted = await submit(redis, Submission(needs_approval=False, portal=PORTAL, ids=ids, lanes=_LANES))
        campaign = Campaign(bench, redis, load, accepted.job_id, ids)
        async with asyncio.timeout(30):
            while len(await campaign.claims_of(worker)) < _LANES:  # noqa: ASYNC110  # only Redis knows
                await asyncio.sleep(0.01)
        await bench.portal.wait(answered=_LANES)
        yield campaign


async def kill(bench: Bench) -> Interruption:
    """Kill the only driving worker (SIGKILL) while a second one is idle."""
    return await _fell_with_a_second_one(bench, signal.SIGKILL)


async def terminate(bench: Bench) -> Interruption:
    """Stop the only driving worker (SIGTERM) while a second one is idle."""
    return await _fell_with_a_second_one(bench, signal.SIGTERM)


async def _fell_with_a_second_one(bench: Bench, signum: signal.Signals) -> Interruption:
    async with (
        _scene(bench) as (load, _, _),
        _worker(load) as first,
        _under_way(bench, first, load) as campaign,
        _worker(load) as second,
    ):
        await asyncio.sleep(bench.random.uniform(0.5, 2.5))
        if await campaign.claims_of(second):
            raise RuntimeError("the second worker was not idle")
        fell_s = time.monotonic()
        os.kill(first.pid, signum)
        held = await _left_by(first, campaign) if signum is signal.SIGKILL else 0
        resumed_s = await campaign.next_call_s(second) - fell_s
        return Interruption(resumed_s, held, await campaign.verdict())


async def replace(bench: Bench) -> Interruption:
    """Kill the only worker (SIGKILL) and start a new one right after."""
    async with (
        _scene(bench) as (load, _, _),
        _worker(load) as first,
        _under_way(bench, first, load) as campaign,
    ):
        await asyncio.sleep(bench.random.uniform(0.0, 2.0))
        fell_s = time.monotonic()
        os.kill(first.pid, signal.SIGKILL)
        held = await _left_by(first, campaign)
        async with _worker(load) as second:
            resumed_s = await campaign.next_call_s(second) - fell_s
            return Interruption(resumed_s, held, await campaign.verdict())


async def redis(bench: Bench) -> Interruption:
    """Kill Redis (SIGKILL) and restart it some seconds later; the time is measured from when the server is back."""
    async with (
        _scene(bench) as (load, stack, server),
        _worker(load) as worker,
        _under_way(bench, worker, load) as campaign,
    ):
        await asyncio.sleep(bench.random.uniform(0.0, 2.0))
        held = _puts(await campaign.claims_of(worker))
        os.kill(server.pid, signal.SIGKILL)
        await asyncio.sleep(bench.down_s)
        started_s = time.monotonic()
        await stack.enter_async_context(redis_server(bench.directory, durable=True))
        back_s = time.monotonic()
        # Without Redis, no lane gets a batch: whatever arrives from now on was handed out by the new server.
        resumed_s = max(0.0, await campaign.arrival_s(started_s) - back_s)
        return Interruption(resumed_s, held, await campaign.verdict())


@contextlib.asynccontextmanager
async def _scene(bench: Bench) -> AsyncIterator[tuple[Load, AsyncExitStack, Child]]:
    """Run an empty durable server; servers that replace it are entered into the same stack."""
    shutil.rmtree(bench.directory, ignore_errors=True)
    bench.directory.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        server, redis_url = await stack.enter_async_context(redis_server(bench.directory, durable=True))
        yield bench.load(redis_url), stack, server


async def _left_by(killed: Child, campaign: Campaign) -> int:
    """Return how many PUTs a worker that has just been killed leaves claimed."""
    await killed.gone(_GONE_TIMEOUT_S)  # it claims nothing more
    return _puts(await campaign.claims_of(killed))


def _puts(claims: Sequence[bytes]) -> int:
    """Return how many of the claims are PUTs; a look-up leaves nothing in doubt."""
    decoded = map(msgspec.msgpack.decode, claims)
    # The claim of a PUT also has named fields, so it is a map, with the numbers that Lua counts from 1.
    return sum(isinstance(claim, dict) and claim[3] == chr(Call.PUT) for claim in decoded)


@dataclass(frozen=True)
class Idle:
    """A quiet system."""

    start_ms: list[float]  #: from before submit() to the arrival of the first PUT, job by job
    submit_ms: list[float]  #: how much of it was submit() itself
    worker_percent: float  #: of one core
    server_percent: float  #: of one core


async def quiet(bench: Bench, *, starts: int, idle_s: float) -> Idle:
    """Measure the start latency, and the cost of waiting for the next job."""
    async with _scene(bench) as (load, _, server), _worker(load) as worker, _connected(load) as client:
        await bench.portal.reset(contacts=starts + 1)
        await bench.portal.behave(base_ms=0)
        times_ms = [await _start_ms(bench, client, number) for number in range(1, starts + 2)]
        await asyncio.sleep(1.0)
        processes = [psutil.Process(child.pid) for child in (worker, server)]
        before_s, since_s = [_cpu_s(process) for process in processes], time.monotonic()
        await asyncio.sleep(idle_s)
        elapsed_s = time.monotonic() - since_s
        spent_s = [_cpu_s(process) - before for process, before in zip(processes, before_s, strict=True)]
    # The first job also opens the connections and is not counted.
    return Idle(
        start_ms=[start_ms for start_ms, _ in times_ms[1:]],
        submit_ms=[submit_ms for _, submit_ms in times_ms[1:]],
        worker_percent=spent_s[0] / elapsed_s * 100,
        server_percent=spent_s[1] / elapsed_s * 100,
    )


async def _start_ms(bench: Bench, client: ArqRedis, number: int) -> tuple[float, float]:
    """Submit a job of one contact; return the milliseconds until its PUT arrived, and those that submit() took."""
    await asyncio.sleep(bench.random.uniform(0.15, 0.35))  # any phase of the worker's polling
    since_s = time.monotonic()
    accepted = await submit(client, Submission(needs_approval=False, portal=PORTAL, ids=BitMap([number]), lanes=_LANES))
    submitted_s = time.monotonic()
    await bench.portal.wait(arrived=number)
    await ended(client, accepted.job_id)
    calls = [call for call in await bench.portal.calls() if call["kind"] == "delete"]
    return (calls[number - 1]["monotonic_s"] - since_s) * 1000, (submitted_s - since_s) * 1000


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@dataclass(frozen=True)
class Scenario:
    """A fault, and the target for the time that it costs."""

    run: Callable[[Bench], Awaitable[Interruption]]
    summary: str
    aim: str


SCENARIOS = {
    "kill": Scenario(kill, "SIGKILL, an idle worker beside it", "5"),
    "replace": Scenario(replace, "SIGKILL, a new worker started immediately", "5"),
    "terminate": Scenario(terminate, "SIGTERM, an idle worker beside it", "-"),
    "redis": Scenario(redis, "Redis SIGKILL and restart, from when the server is back", "5 / 2"),
}


def _interruption_rows(found: dict[str, list[Interruption]]) -> list[list[str]]:
    rows = []
    for name, runs in found.items():
        times = [run.resumed_s for run in runs]
        rows.append(
            [
                SCENARIOS[name].summary,
                str(len(runs)),
                f"{statistics.median(times):.2f}",
                f"{min(times):.2f}-{max(times):.2f}",
                SCENARIOS[name].aim,
                f"{max(run.held for run in runs)} of {_MOST_HELD}",
                f"{max(run.verdict.presumed for run in runs):,}",
                f"{sum(run.verdict.resent for run in runs)}",
                f"{sum(run.verdict.lost for run in runs)}",
                f"{sum(run.verdict.untrue for run in runs)}",
            ]
        )
    return rows


_INTERRUPTION_COLUMNS = (
    "until the next call arrives",
    "n",
    "median s",
    "min-max",
    "target / stretch",
    "batches held, most",
    "IDs presumed, most",
    "confirmed IDs sent again",
    "IDs lost",
    "IDs misreported",
)


def _idle_rows(idle: Idle) -> list[list[str]]:
    in_order = sorted(idle.start_ms)
    p95 = in_order[min(len(in_order) - 1, round(0.95 * len(in_order)))]
    percent = idle.worker_percent + idle.server_percent
    return [
        [f"submit() to first PUT, p50 of {len(in_order)}", f"{statistics.median(in_order):.0f} ms", "<= 15 ms"],
        ["submit() to first PUT, p95 / max", f"{p95:.0f} / {in_order[-1]:.0f} ms", "-"],
        ["of which submit() itself, p50", f"{statistics.median(idle.submit_ms):.0f} ms", "-"],
        [
            "idle CPU, worker + server",
            f"{idle.worker_percent:.2f} + {idle.server_percent:.2f} = {percent:.2f} %",
            "<= 0.5 %",
        ],
    ]


def _parser() -> argparse.ArgumentParser:
    names = (*SCENARIOS, "idle")
    parser = section_parser("recovery", __doc__)
    parser.add_argument("--only", nargs="+", choices=names, default=list(names), help="only these (default: all)")
    add_number(parser, "--repeats", 5, "runs of each fault")
    add_number(parser, "--ids", 20_000, "IDs per job")
    add_number(parser, "--down-s", 3.0, "how long Redis is down")
    add_number(parser, "--starts", 40, "jobs for the start latency")
    add_number(parser, "--idle-s", 10.0, "how long to watch the idle CPU")
    add_seed(parser, "the moments of the faults")
    return parser


async def _recovery(options: argparse.Namespace, command: Sequence[str]) -> None:
    found: dict[str, list[Interruption]] = {}
    idle: Idle | None = None
    with tempfile.TemporaryDirectory(prefix="bench-recovery-") as directory:
        async with simulated_portal() as portal:
            bench = Bench(portal, Path(directory) / "redis", options.ids, options.down_s, random.Random(options.seed))
            for name in options.only:
                if name == "idle":
                    idle = await quiet(bench, starts=options.starts, idle_s=options.idle_s)
                    continue
                for number in range(1, options.repeats + 1):
                    run = await SCENARIOS[name].run(bench)
                    found.setdefault(name, []).append(run)
                    print(f"{name} {number}/{options.repeats}  {run}", file=sys.stderr, flush=True)
    tables = [table(_INTERRUPTION_COLUMNS, _interruption_rows(found))] if found else []
    if idle:
        tables.append(table(("idle system", "measured", "target"), _idle_rows(idle)))
    publish(
        f"Recovery: {options.ids:,} IDs, {_LANES} lanes, batch {_BATCH}, {_BASE_MS:.0f} ms per call",
        tables,
        {
            "interruptions": {name: [dataclasses.asdict(run) for run in runs] for name, runs in found.items()},
            "idle": dataclasses.asdict(idle) if idle else None,
        },
        command=command,
        json_to=options.json,
    )


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _recovery, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
