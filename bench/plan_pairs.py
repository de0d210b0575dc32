"""A run with a plan against one without: the same contacts, one after the other, in one sitting."""

import random
import statistics
import sys
from dataclasses import dataclass

import aiohttp
from arq.connections import ArqRedis
from pyroaring import BitMap

from bench.load import Load
from bench.measure import Measurement, measure
from bench.ours import PORTAL, settings_for
from bench.planned import approve, planned, start_plan
from bench.process import embedded_redis, flush, module
from bench.rounds import MODELS, stub_portal
from bench.storage import ended
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.store.connection import connect
from jobs.view.job import read_job

_LANES = 8
_BATCHES = {"zero": 1000, "realistic": 100}


@dataclass(frozen=True)
class Pair:
    """One run with a plan and one without, from their approval to the end."""

    with_plan: Measurement
    without: Measurement

    @property
    def ratio(self) -> float:
        """Contacts per second with a plan, divided by those without."""
        return self.with_plan.contacts_per_s / self.without.contacts_per_s

    @property
    def cpu_ratio(self) -> float:
        """CPU time with a plan, divided by that without."""
        return self.with_plan.cpu_s / self.without.cpu_s


async def run_pairs(model: str, contacts: int, pairs: int, *, seed: int) -> list[Pair]:
    """Measure pairs of runs on one portal; which one goes first is shuffled."""
    rng, measured = random.Random(seed), []
    async with (
        embedded_redis() as redis_url,
        stub_portal(MODELS[model], element_bytes=610, listing=contacts) as portal_url,
    ):
        load = Load(portal_url, redis_url, contacts, _BATCHES[model], _LANES)
        for number in range(1, pairs + 1):
            runs: dict[bool, Measurement] = {}
            for with_plan in rng.sample([True, False], 2):
                runs[with_plan] = await _run(load, with_plan=with_plan)
            measured.append(Pair(runs[True], runs[False]))
            ratio = f"{measured[-1].ratio:.3f}"
            print(f"{model} {number}/{pairs}: {ratio} of the speed without a plan", file=sys.stderr, flush=True)
    return measured


async def _run(load: Load, *, with_plan: bool) -> Measurement:
    """Run a job from its approval to its end, with a server, a worker and counters that remember nothing."""
    await flush(load.redis_url)
    async with aiohttp.ClientSession(load.portal_url) as session, session.post("/reset") as response:
        response.raise_for_status()
    redis = connect(settings_for(load).redis.url)
    try:
        async with module("bench.ours", load.as_argument()) as worker:
            job_id = await (_planned(redis, load) if with_plan else _unplanned(redis, load))
            job = await read_job(redis, job_id)
            return await measure(
                load,
                workers=[worker],
                start=lambda: approve(redis, job, load),
                settle=lambda: ended(redis, job_id),
            )
    finally:
        await redis.aclose(close_connection_pool=True)


async def _planned(redis: ArqRedis, load: Load) -> str:
    return (await planned(redis, await start_plan(redis, load, ids=BitMap(load.ids)))).id


async def _unplanned(redis: ArqRedis, load: Load) -> str:
    """Submit a job that waits for approval, after one that has opened all connections, as planning does."""
    warm_up = Submission(portal=PORTAL, ids=BitMap([load.contacts + 1]), needs_approval=False, lanes=load.concurrency)
    await ended(redis, (await submit(redis, warm_up)).job_id)
    async with aiohttp.ClientSession(load.portal_url) as session, session.post("/reset") as response:
        response.raise_for_status()
    wanted = Submission(portal=PORTAL, ids=BitMap(load.ids), needs_approval=True, lanes=load.concurrency)
    return (await submit(redis, wanted)).job_id


def rows(model: str, pairs: list[Pair]) -> list[str]:
    """Return the row of a table: medians, and the ratios from the lowest to the highest."""
    ratios, cpu = [pair.ratio for pair in pairs], [pair.cpu_ratio for pair in pairs]
    return [
        MODELS[model].summary,
        str(len(pairs)),
        f"{statistics.median(pair.without.contacts_per_s for pair in pairs):,.0f}",
        f"{statistics.median(pair.with_plan.contacts_per_s for pair in pairs):,.0f}",
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})",
        f"{statistics.median(cpu):.3f}",
    ]
