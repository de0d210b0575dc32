"""`python -m bench failover`: a fail-over of Redis behind an address that keeps connections to the old primary.

A worker is in the middle of a job when the replica, which has everything, becomes the primary, and the old primary its
replica. The time is measured from when the new primary accepts writes until a call that it has handed out arrives at
the portal. Then the job runs to its end, and its ledger is compared with the portal's truth, ID by ID.
"""

import argparse
import asyncio
import dataclasses
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from bench.load import Load
from bench.moving_address import moving_address
from bench.ours import PORTAL, environment_for, settings_for
from bench.process import module
from bench.section import add_number, publish, run_with_options, section_parser, table
from bench.simulated import simulated_portal
from bench.storage import ended
from bench.truth_check import Verdict, compare
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.store.connection import connect
from simulator.client import SimulatorClient

_LANES, _BATCH = 4, 100
_BASE_MS = 250.0
_RESUME_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class FailOver:
    """One fail-over in the middle of a job."""

    resumed_s: float  #: from the new primary accepting writes to the next call handed out after that
    verdict: Verdict


async def fail_over(portal: SimulatorClient, ids: int) -> FailOver:
    """Run one job with a fail-over in the middle."""
    async with moving_address() as address:
        load = Load(portal.url, address.url, ids, _BATCH, _LANES)
        await portal.reset(contacts=ids)
        await portal.behave(base_ms=_BASE_MS)
        redis = connect(settings_for(load).redis.url, patience_s=30)
        try:
            async with module("cli", "worker", environment=environment_for(load), ready="worker_started"):
                wanted = BitMap(range(1, ids + 1))
                job_id = (
                    await submit(redis, Submission(needs_approval=False, portal=PORTAL, ids=wanted, lanes=_LANES))
                ).job_id
                await portal.wait(answered=2 * _LANES)
                taken_s = await address.fail_over()
                resumed_s = await _next_call_s(portal, taken_s) - taken_s
                await portal.behave(base_ms=0)
                await ended(redis, job_id, timeout_s=60)
                return FailOver(resumed_s, await compare(redis, job_id, wanted, portal))
        finally:
            await redis.aclose(close_connection_pool=True)


async def _next_call_s(portal: SimulatorClient, since_s: float) -> float:
    """Return when the first call handed out after `since_s` arrives, both on the monotonic clock.

    Each lane may already have had its next call: the first calls, one for each lane, prove nothing.
    """
    deadline_s = time.monotonic() + _RESUME_TIMEOUT_S
    while time.monotonic() < deadline_s:
        calls = [call["monotonic_s"] for call in await portal.calls() if call["kind"] == "delete"]
        later_s = sorted(arrived_s for arrived_s in calls if arrived_s >= since_s)
        if len(later_s) > _LANES:
            return float(later_s[_LANES])
        await asyncio.sleep(0.01)
    raise RuntimeError(f"the portal saw no call within {_RESUME_TIMEOUT_S:.0f} s")


async def _section(options: argparse.Namespace, command: Sequence[str]) -> None:
    runs = []
    async with simulated_portal() as portal:
        for number in range(1, options.repeats + 1):
            runs.append(await fail_over(portal, options.ids))
            print(f"failover {number}/{options.repeats}  {runs[-1]}", file=sys.stderr, flush=True)
    times_s = [run.resumed_s for run in runs]
    row = [f"{len(runs)} fail-overs", f"{statistics.median(times_s):.2f}", f"{max(times_s):.2f}", "5"]
    row += [str(sum(getattr(run.verdict, name) for run in runs)) for name in ("presumed", "resent", "lost", "untrue")]
    columns = ("until the next call arrives", "median s", "worst s", "target s")
    counts = ("IDs presumed", "confirmed IDs sent again", "IDs lost", "IDs misreported")
    publish(
        f"Fail-over behind an address that stays the same: {options.ids:,} IDs, {_LANES} lanes, batch {_BATCH}",
        [table((*columns, *counts), [row])],
        {"runs": [dataclasses.asdict(run) for run in runs]},
        command=command,
        json_to=options.json,
    )


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    parser = section_parser("failover", __doc__)
    add_number(parser, "--repeats", 10, "fail-overs")
    add_number(parser, "--ids", 10_000, "IDs per job")
    return run_with_options(parser, _section, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
