"""This program, as `python -m bench speed` measures it. Run as `python -m bench.ours LOAD` it is the worker process.

The worker is the real one, with one difference: the ceiling of calls per second (at most 1000 in a configuration) is
raised far beyond anything that can be reached, so that the program is measured and not its brake. The brake itself
stays: every call asks for its turn. Log lines, one per batch, go to the null device.
"""

import asyncio
import os
import sys
from pathlib import Path
from types import MappingProxyType

import uvloop
from pyroaring import BitMap

from bench.load import Load
from bench.measure import Measurement, measure
from bench.process import Child, module
from config.logging import configure_logging
from config.settings import LogConfig, Settings, load_settings
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.store.connection import connect
from jobs.view.job import read_job
from worker.main import working

WORKER = "bench.ours"  #: the module that is the worker process, with a load as its argument
PORTAL = "bench"
# A word that also stands in log lines, such as the name of the portal, would have each of them masked.
TOKEN = "no-portal-checks-it"  # noqa: S105
_UNLIMITED = 1e6


def environment_for(load: Load) -> dict[str, str]:
    """Return the load's configuration as environment variables: fixed batch size and concurrency."""
    portal = {
        "URL": load.portal_url,
        "TOKEN": TOKEN,
        "MAX_CONCURRENCY": str(load.concurrency),
        "BATCH_SIZE_START": str(load.batch),
        "BATCH_SIZE_MAX": str(load.batch),
        "REQUESTS_PER_SECOND": "1000",
    }
    environ = {f"CRM_SWEEP_PORTALS__{PORTAL.upper()}__{name}": value for name, value in portal.items()}
    usual = {"CRM_SWEEP_CONFIG": os.devnull, "CRM_SWEEP_REDIS__URL": load.redis_url}
    replicas = {"CRM_SWEEP_REDIS__MIN_REPLICAS": str(load.min_replicas)}
    return {**usual, **replicas, "CRM_SWEEP_WEBHOOKS": load.webhooks, **environ}


def settings_for(load: Load) -> Settings:
    """Return the worker's settings: fixed batch size and concurrency, no rate limit to speak of."""
    settings = load_settings(Path(os.devnull), environment_for(load))
    portal = settings.portals[PORTAL].model_copy(update={"requests_per_second": _UNLIMITED})
    return settings.model_copy(update={"portals": MappingProxyType({PORTAL: portal})})


async def run(load: Load) -> Measurement:
    """Measure one run."""
    async with module(WORKER, load.as_argument()) as worker:
        return await delete_all(load, worker)


async def delete_all(load: Load, worker: Child) -> Measurement:
    """Have a worker, which is running and ready, delete every contact, and measure it."""
    redis = connect(settings_for(load).redis)
    ids = BitMap(load.ids)
    job_id = ""

    async def enqueue() -> None:
        nonlocal job_id
        job_id = (
            await submit(redis, Submission(needs_approval=False, portal=PORTAL, ids=ids, lanes=load.concurrency))
        ).job_id

    async def completed() -> None:
        while not (await read_job(redis, job_id)).ended:  # noqa: ASYNC110  # only Redis knows
            await asyncio.sleep(0.02)

    try:
        return await measure(load, workers=[worker], start=enqueue, settle=completed)
    finally:
        await redis.aclose(close_connection_pool=True)


async def _work(load: Load) -> None:
    async with working(settings_for(load)):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with Path(os.devnull).open("w") as null:
        configure_logging(LogConfig(), null)
        uvloop.run(_work(Load.from_argument(sys.argv[1])))
