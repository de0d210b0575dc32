"""`python -m bench webhooks`: whether a receiver of events that hangs slows deletions down.

Many small jobs, each of which tells of its start and its end, are deleted without a webhook, with one whose receiver
answers, and with one whose receiver takes every event and never answers. The section measures the time from the first
submission until the last job has ended, in alternate rounds.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from aiohttp import web
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

_RECEIVERS = ("none", "answers", "hangs")
_SECRET = "whsec_" + "A" * 32
_BATCH = 100


@dataclass(frozen=True)
class Round:
    """One run.

    Attributes:
        receiver: how it behaves.
        took_s: from the first submission until the last job had ended.
        received: requests that it had got by then.
    """

    receiver: str
    took_s: float
    received: int


@contextlib.asynccontextmanager
async def _receiver(behaviour: str) -> AsyncIterator[tuple[str, list[str]]]:
    """Run a receiver; yield its address and, as they come, the types of what it gets."""
    received: list[str] = []

    async def take(request: web.Request) -> web.Response:
        received.append((await request.json())["type"])
        if behaviour == "hangs":
            await asyncio.Event().wait()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", received
    finally:
        await runner.cleanup()


async def _round(portal_url: str, behaviour: str, options: argparse.Namespace) -> Round:
    async with embedded_redis() as redis_url, _receiver(behaviour) as (url, received):
        webhooks = [] if behaviour == "none" else [{"name": "bench", "url": url, "secret": _SECRET}]
        load = Load(portal_url, redis_url, options.jobs * options.contacts, _BATCH, 4, webhooks=json.dumps(webhooks))
        redis = connect(settings_for(load).redis.url)
        try:
            async with module("bench.ours", load.as_argument()):
                took_s = await _delete(redis, options)
        finally:
            await redis.aclose(close_connection_pool=True)
        return Round(behaviour, took_s, len(received))


async def _delete(redis: ArqRedis, options: argparse.Namespace) -> float:
    started_s = time.monotonic()
    job_ids = []
    for number in range(options.jobs):
        ids = BitMap(range(1 + number * options.contacts, 1 + (number + 1) * options.contacts))
        accepted = await submit(redis, Submission(needs_approval=False, portal=PORTAL, ids=ids, lanes=4))
        job_ids.append(accepted.job_id)
    for job_id in job_ids:
        while not (await read_job(redis, job_id)).ended:  # noqa: ASYNC110  # only Redis knows
            await asyncio.sleep(0.01)
    return time.monotonic() - started_s


async def run(options: argparse.Namespace) -> list[Round]:
    """Measure every behaviour once per round."""
    async with stub_portal(MODELS[options.model], element_bytes=0) as portal_url:
        return [await _round(portal_url, behaviour, options) for _ in range(options.rounds) for behaviour in _RECEIVERS]


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("webhooks", __doc__, "--jobs 500 --rounds 5")
    add_number(parser, "--jobs", 200, "jobs")
    add_number(parser, "--contacts", 200, "contacts per job")
    add_number(parser, "--rounds", 3, "rounds")
    parser.add_argument("--model", choices=sorted(MODELS), default="realistic", help="the portal (default: realistic)")
    return parser


async def _measure(options: argparse.Namespace, command: Sequence[str]) -> None:
    rounds = await run(options)
    medians = {name: statistics.median(one.took_s for one in rounds if one.receiver == name) for name in _RECEIVERS}
    rows = []
    for name in _RECEIVERS:
        took_s = [one.took_s for one in rounds if one.receiver == name]
        spread = f"{min(took_s):.2f}-{max(took_s):.2f}"
        events = statistics.median(one.received for one in rounds if one.receiver == name)
        rows.append([name, f"{medians[name]:.2f}", spread, f"{medians[name] / medians['none']:.3f}", f"{events:g}"])
    publish(
        f"{options.jobs} jobs of {options.contacts} contacts, {options.model} portal, {options.rounds} rounds",
        [table(("receiver", "median s", "range s", "ratio", "events received"), rows)],
        {"webhooks": [dataclasses.asdict(one) for one in rounds]},
        command=command,
        json_to=options.json,
    )


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _measure, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
