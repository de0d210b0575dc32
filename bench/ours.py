"""This program, as `python -m bench speed` measures it. Run as `python -m bench.ours LOAD` it is the worker process.

The worker is the real one, with one difference: the ceiling of calls per second (at most 1000 in a configuration) is
lifted far beyond what anybody reaches, so that the program is measured and not its brake. The brake itself stays in:
every call asks for its turn. Log lines, one per batch, go to the null device.
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
from bench.process import module
from config.logging import configure_logging
from config.settings import LogConfig, Settings, load_settings
from jobs.connection import connect
from jobs.submit import Submission, submit
from jobs.view import read_job
from worker.main import working

PORTAL = "bench"
_UNLIMITED = 1e6


def settings_for(load: Load) -> Settings:
    """The settings of the worker: fixed batch size and concurrency, no rate limit to speak of."""
    names = {
        "URL": load.portal_url,
        "TOKEN": "not-a-secret-of-anybody",
        "MAX_CONCURRENCY": str(load.concurrency),
        "BATCH_SIZE_START": str(load.batch),
        "BATCH_SIZE_MAX": str(load.batch),
    }
    environ = {f"CRM_SWEEP_PORTALS__{PORTAL.upper()}__{name}": value for name, value in names.items()}
    settings = load_settings(Path(os.devnull), environ | {"CRM_SWEEP_REDIS__URL": load.redis_url})
    portal = settings.portals[PORTAL].model_copy(update={"requests_per_second": _UNLIMITED})
    return settings.model_copy(update={"portals": MappingProxyType({PORTAL: portal})})


async def run(load: Load) -> Measurement:
    """Measure one run."""
    redis = connect(settings_for(load).redis.url)
    ids = BitMap(load.ids)
    job_id = ""

    async def enqueue() -> None:
        nonlocal job_id
        job_id = (await submit(redis, Submission(portal=PORTAL, ids=ids, lanes=load.concurrency))).job_id

    async def completed() -> None:
        while not (await read_job(redis, job_id)).ended:  # noqa: ASYNC110  # the end is news in Redis
            await asyncio.sleep(0.02)

    try:
        async with module("bench.ours", load.as_argument()) as worker:
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
