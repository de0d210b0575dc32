"""`python -m bench fair-share`: how long a small job takes while a campaign of millions is under way.

The campaign keeps every lane of the portal busy; small jobs are submitted one after the other, each once the previous
one has ended. The section measures the time from each submission until the job's last contact is decided, and how long
the same job takes on an idle portal.
"""

import argparse
import asyncio
import dataclasses
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from arq.connections import ArqRedis
from pyroaring import BitMap

from bench.load import Load
from bench.ours import PORTAL, settings_for
from bench.process import embedded_redis, module
from bench.rounds import MODELS, stub_portal
from bench.section import add_number, publish, run_with_options, section_parser, table
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.store.connection import connect
from jobs.view.job import read_job
from jobs.words.outcomes import Outcome
from jobs.words.priority import Priority

_LOOK_S = 0.01


@dataclass(frozen=True)
class SmallJobs:
    """How long small jobs took, one after the other."""

    beside: str  #: what else the portal was busy with
    priority: Priority
    took_s: list[float]  #: from the submission until the job had ended


async def small_jobs(
    redis: ArqRedis, *, beside: str, priority: Priority, count: int, contacts: int, first_id: int
) -> SmallJobs:
    """Submit small jobs and see each through."""
    took_s = []
    for number in range(count):
        start = first_id + number * contacts
        started_s = time.monotonic()
        accepted = await submit(
            redis,
            Submission(
                needs_approval=False,
                portal=PORTAL,
                ids=BitMap(range(start, start + contacts)),
                lanes=1,
                priority=priority,
            ),
        )
        while not (await read_job(redis, accepted.job_id)).ended:  # noqa: ASYNC110  # only Redis knows
            await asyncio.sleep(_LOOK_S)
        took_s.append(time.monotonic() - started_s)
    return SmallJobs(beside, priority, took_s)


async def run(options: argparse.Namespace) -> list[SmallJobs]:
    """Measure on an idle portal, then beside the campaign.

    Raises:
        RuntimeError: the campaign ended before the small jobs did.
    """
    async with embedded_redis() as redis_url, stub_portal(MODELS["realistic"], element_bytes=0) as portal_url:
        load = Load(portal_url, redis_url, options.ids, 200, options.concurrency)
        redis = connect(settings_for(load).redis.url)
        try:
            async with module("bench.ours", load.as_argument()):

                async def some(beside: str, priority: Priority) -> SmallJobs:
                    first_id = options.ids + 1
                    return await small_jobs(
                        redis,
                        beside=beside,
                        priority=priority,
                        count=options.jobs,
                        contacts=options.contacts,
                        first_id=first_id,
                    )

                idle = await some("nothing", Priority.NORMAL)
                ids = BitMap(range(1, options.ids + 1))
                campaign = await submit(
                    redis, Submission(needs_approval=False, portal=PORTAL, ids=ids, lanes=load.concurrency)
                )
                await _under_way(redis, campaign.job_id, 10 * load.batch)
                beside = f"a campaign of {options.ids:,}"
                measured = [idle, *[await some(beside, priority) for priority in Priority]]
                if (await read_job(redis, campaign.job_id)).ended:
                    raise RuntimeError("the campaign ended before the small jobs did")
        finally:
            await redis.aclose(close_connection_pool=True)
    return measured


async def _under_way(redis: ArqRedis, job_id: str, deleted: int) -> None:
    while (await read_job(redis, job_id)).counts[Outcome.DELETED] < deleted:  # noqa: ASYNC110  # only Redis knows
        await asyncio.sleep(_LOOK_S)


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("fair-share", __doc__, "--ids 10000000 --jobs 20")
    add_number(parser, "--ids", 10_000_000, "IDs in the campaign")
    add_number(parser, "--jobs", 10, "small jobs of each kind")
    add_number(parser, "--contacts", 100, "contacts per small job")
    add_number(parser, "--concurrency", 4, "calls in flight")
    return parser


async def _measure(options: argparse.Namespace, command: Sequence[str]) -> None:
    measured = await run(options)
    rows = [
        [f"{one.priority}, beside {one.beside}", f"{statistics.median(one.took_s):.2f}", f"{max(one.took_s):.2f}"]
        for one in measured
    ]
    publish(
        f"Small jobs of {options.contacts} contacts, {options.concurrency} calls in flight, 50 ms + 2 ms per contact",
        [table(("priority of the small job", "median s", "longest s"), rows)],
        {"small_jobs": [dataclasses.asdict(one) for one in measured]},
        command=command,
        json_to=options.json,
    )


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _measure, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
