"""`python -m bench storage`: bytes per contact ID in Redis, including IDs and outcomes, from submission to the end.

Every case is one job of the real worker against the simulated portal: a list drawn at random, densely or sparsely, of
which some contacts are missing, read-only or on an invoice. The section measures how much more memory the server needs
than before the job (`used_memory`, without the buffers of connections), and the exact `MEMORY USAGE` of the job's keys.
"""

import argparse
import asyncio
import dataclasses
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from arq.connections import ArqRedis
from pyroaring import BitMap

from bench.contact_lists import DENSE_OUT_OF, SPARSE_HIGHEST, contact_list
from bench.load import Load
from bench.ours import PORTAL, settings_for
from bench.process import embedded_redis, module
from bench.redis_memory import Footprint, Peaks, footprint, watching
from bench.section import add_number, add_seed, positive, publish, run_with_options, section_parser, table
from bench.simulated import simulated_portal
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.steering.control import control
from jobs.store.connection import connect
from jobs.view.job import Job, read_job, to_json
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator.client import SimulatorClient

_CONCURRENCY = 8
_JOB_TIMEOUT_S = 600.0
_STAGES = ("submitted", "peak", "completed")


@dataclass(frozen=True)
class Case:
    """One job to measure."""

    spread: str  #: dense or sparse
    batch: int  #: contact IDs per PUT
    other_percent: float  #: contacts with an outcome other than deleted
    count: int

    @property
    def highest(self) -> int:
        """The upper bound of the IDs, which are drawn from 1."""
        return self.count * DENSE_OUT_OF if self.spread == "dense" else SPARSE_HIGHEST


@dataclass(frozen=True)
class Result:
    """What a job cost beyond an idle server."""

    case: Case
    submitted: Footprint
    peaks: Peaks
    completed: Footprint
    elapsed_s: float
    calls: int

    @property
    def by_server(self) -> list[float]:
        """Bytes per contact ID by the server's total at each stage, without connection buffers."""
        stages = (self.submitted, self.peaks.used, self.completed)
        return [(stage.used - stage.clients) / self.case.count for stage in stages]

    @property
    def by_keys(self) -> list[float]:
        """Bytes per contact ID by the job's keys at each stage."""
        return [stage.keys / self.case.count for stage in (self.submitted, self.peaks.keys, self.completed)]

    def as_json(self) -> dict[str, Any]:
        """Return everything in bytes, and the table's figures per contact ID."""
        stages = {"submitted": self.submitted, "peak_used": self.peaks.used, "peak_keys": self.peaks.keys}
        stages["completed"] = self.completed
        return {
            **dataclasses.asdict(self.case),
            "bytes": {name: dataclasses.asdict(stage) for name, stage in stages.items()},
            "bytes_per_id_server": dict(zip(_STAGES, self.by_server, strict=True)),
            "bytes_per_id_keys": dict(zip(_STAGES, self.by_keys, strict=True)),
            "samples": self.peaks.samples,
            "elapsed_s": self.elapsed_s,
            "calls": self.calls,
        }


async def measure_case(case: Case, portal: SimulatorClient, *, seed: int) -> Result:
    """Run one case with a Redis server and a worker of its own.

    Raises:
        RuntimeError: The outcomes do not match the portal's contacts.
    """
    ids = contact_list(case.count, case.highest, seed=seed)
    missing, read_only, invoiced = others(ids, case.other_percent, seed=seed)
    await portal.reset(
        contacts=list(ids), missing=list(missing), read_only=list(read_only), invoiced=list(invoiced), seed=seed
    )
    async with embedded_redis() as redis_url:
        load = Load(portal.url, redis_url, case.count, case.batch, _CONCURRENCY)
        redis = connect(settings_for(load).redis.url)
        try:
            async with module("bench.ours", load.as_argument()):
                await _warm_up(redis, ids)
                before, started_s = await footprint(redis), time.monotonic()
                # It waits for approval until it has been measured.
                accepted = await submit(redis, Submission(portal=PORTAL, ids=ids, needs_approval=True))
                submitted = await footprint(redis, accepted.job_id)
                async with watching(redis, accepted.job_id) as peaks:
                    await _approve(redis, accepted.job_id)
                    job = await ended(redis, accepted.job_id)
                elapsed_s = time.monotonic() - started_s
                completed = await footprint(redis, accepted.job_id)
        finally:
            await redis.aclose(close_connection_pool=True)
    _check(job, case, missing=len(missing), refused=len(read_only | invoiced))
    calls = (await portal.summary())["calls"]
    peaks = Peaks(peaks.used.above(before), peaks.keys.above(before), peaks.samples)
    return Result(case, submitted.above(before), peaks, completed.above(before), elapsed_s, calls)


def others(ids: BitMap, percent: float, *, seed: int) -> tuple[BitMap, BitMap, BitMap]:
    """Pick at random the contacts that will not be deleted: missing, read-only and invoiced, a third each."""
    picked = random.Random(seed).sample(range(len(ids)), round(len(ids) * percent / 100))
    chosen = [ids[index] for index in picked]
    return BitMap(chosen[::3]), BitMap(chosen[1::3]), BitMap(chosen[2::3])


async def ended(redis: ArqRedis, job_id: str, *, timeout_s: float = _JOB_TIMEOUT_S) -> Job:
    """Wait for the end of a job.

    Raises:
        RuntimeError: It has stopped, or did not end in time.
    """
    deadline_s = time.monotonic() + timeout_s
    while not (job := await read_job(redis, job_id)).ended:
        if job.state is State.PAUSED or time.monotonic() > deadline_s:
            raise RuntimeError(f"the job did not end: {to_json(job).decode()}")
        await asyncio.sleep(0.05)  # only Redis knows
    return job


async def _approve(redis: ArqRedis, job_id: str) -> None:
    await control(redis, job_id, Event.APPROVE, by="bench", lanes=_CONCURRENCY)


async def _warm_up(redis: ArqRedis, ids: BitMap) -> None:
    """Load every script and open every connection before the measurement, by deleting contacts that do not exist."""
    absent = BitMap(range(1, len(ids) + 11)) - ids
    accepted = await submit(redis, Submission(needs_approval=False, portal=PORTAL, ids=absent[:10], lanes=_CONCURRENCY))
    await ended(redis, accepted.job_id)


def _check(job: Job, case: Case, *, missing: int, refused: int) -> None:
    expected = {
        Outcome.DELETED: case.count - missing - refused,
        Outcome.NOT_FOUND: missing,
        Outcome.REFUSED: refused,
    }
    found = {outcome: count for outcome, count in job.counts.items() if count}
    if found != {outcome: count for outcome, count in expected.items() if count}:
        raise RuntimeError(f"{case}: the outcomes are {found} instead of {expected}; {job.last_error}")


def _rows(results: Sequence[Result]) -> list[list[str]]:
    return [
        [
            f"{each.case.spread}, batch {each.case.batch}, {each.case.other_percent:g} % others",
            *(
                f"{by_keys:.2f} / {by_server:.2f}"
                for by_keys, by_server in zip(each.by_keys, each.by_server, strict=True)
            ),
            *(f"{each.peaks.keys.by_kind.get(kind, 0) / each.case.count:.2f}" for kind in ("items", "due")),
            *(f"{each.completed.by_kind.get(kind, 0) / each.case.count:.2f}" for kind in ("segments", "ledger")),
            ", ".join(sorted(set(each.completed.by_kind) - {"segments", "ledger", "facts"})) or "-",
            f"{each.elapsed_s:.1f}",
        ]
        for each in results
    ]


_COLUMNS = (
    "B/ID: keys / server",
    "submitted",
    "peak",
    "completed",
    "items at peak",
    "due at peak",
    "segments at end",
    "ledger at end",
    "left behind",
    "s",
)


def _parser() -> argparse.ArgumentParser:
    parser = section_parser(
        "storage", __doc__, "--json storage.json", "--ids 100000 --spread sparse --batch 200 --others 10"
    )
    add_number(parser, "--ids", 1_000_000, "IDs per job")
    parser.add_argument("--spread", nargs="+", choices=("dense", "sparse"), default=["dense", "sparse"])
    parser.add_argument("--batch", nargs="+", type=positive, default=[200, 1000], help="(default: 200 1000)")
    parser.add_argument(
        "--others",
        nargs="+",
        type=float,
        default=[0, 1, 10],
        metavar="PERCENT",
        help="percent of contacts that are missing, read-only or invoiced (default: 0 1 10)",
    )
    add_seed(parser, "the lists")
    return parser


async def _storage(options: argparse.Namespace, command: Sequence[str]) -> None:
    cases = [
        Case(spread, batch, other_percent, options.ids)
        for spread in options.spread
        for batch in options.batch
        for other_percent in options.others
    ]
    results = []
    async with simulated_portal() as portal:
        for number, case in enumerate(cases, 1):
            result = await measure_case(case, portal, seed=options.seed)
            results.append(result)
            at_end = f"{result.by_keys[-1]:.2f} B/ID at the end"
            print(f"{number}/{len(cases)}  {case}  {at_end}", file=sys.stderr, flush=True)
    publish(
        f"Redis memory of a job of {options.ids:,} IDs",
        [table(_COLUMNS, _rows(results))],
        {"cases": [each.as_json() for each in results]},
        command=command,
        json_to=options.json,
    )


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _storage, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
