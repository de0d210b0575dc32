"""`python -m bench api`: how much the HTTP API can carry.

Polls: many clients ask for a job's status while a worker is busy with that job; in alternate rounds, a bare aiohttp
handler answers with as many bytes. Intake: a list is streamed into `POST /v1/jobs`, and the memory of the API and the
worker is watched until its last contact is deleted.
"""

import argparse
import asyncio
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from bench.campaign import write_list
from bench.contact_lists import DENSE_OUT_OF, SPARSE_HIGHEST
from bench.load import Load
from bench.measure import peak_rss_bytes
from bench.ours import PORTAL, environment_for
from bench.poller import Polled, poll
from bench.process import Child, embedded_redis, module
from bench.rounds import MODELS, stub_portal
from bench.section import add_number, publish, run_with_options, section_parser, table

_LISTENING = "^listening on "
_IDLE_S = 2.0


@dataclass(frozen=True)
class Intake:
    """What it took to stream a list in and see the job through."""

    ids: int
    body_bytes: int
    accepted_s: float  #: from the first byte until the answer with the job
    completed_s: float  #: from the first byte until the job was completed
    api_idle_rss_bytes: int
    api_peak_rss_bytes: int
    worker_idle_rss_bytes: int
    worker_peak_rss_bytes: int


@dataclass(frozen=True)
class Server:
    """A running server."""

    child: Child
    url: str


@asynccontextmanager
async def serving(name: str, *arguments: str, environment: dict[str, str] | None = None) -> AsyncIterator[Server]:
    """Run a server until the block ends."""
    async with module(name, *arguments, environment=environment, ready=None) as child:
        yield Server(child, (await child.expect(_LISTENING)).split()[-1])


@asynccontextmanager
async def running_api(load: Load) -> AsyncIterator[Server]:
    """Run the API on the Redis and for the portal of a load."""
    environment = {**environment_for(load), "CRM_SWEEP_LOG__LEVEL": "warning"}
    async with serving("cli", "api", "--port", "0", environment=environment) as server:
        yield server


async def measure_polls(options: argparse.Namespace) -> tuple[list[Polled], list[Polled]]:
    """Poll the bare handler and the API in turn while a worker is busy with the job; return the rounds of each."""
    seconds = options.rounds * 2 * options.seconds + 60
    async with (
        embedded_redis() as redis_url,
        stub_portal(MODELS["realistic"], element_bytes=0) as portal_url,
        aiohttp.ClientSession() as session,
    ):
        # 50 ms plus 2 ms per contact: a call of 200 contacts takes 450 ms, so the job outlasts the rounds.
        contacts = round(seconds / 0.45) * 200 * options.concurrency
        load = Load(portal_url, redis_url, contacts, 200, options.concurrency)
        async with running_api(load) as api, module("bench.ours", load.as_argument()):
            ids = "\n".join(map(str, load.ids))
            async with session.post(
                f"{api.url}/v1/jobs?portal={PORTAL}", data=ids, headers={"Content-Type": "text/plain"}
            ) as response:
                job = await response.json()
            address = f"/v1/jobs/{job['id']}"
            size = 0
            while job["state"] != "running":
                await asyncio.sleep(0.1)
                async with session.get(api.url + address) as response:
                    job, size = await response.json(), len(await response.read())
            async with serving("bench.bare_api", str(size)) as bare:
                rounds: dict[str, list[Polled]] = {bare.url: [], api.url: []}
                for _ in range(options.rounds):
                    for url, polled in rounds.items():
                        polled.append(await poll(url + address, clients=options.clients, seconds=options.seconds))
            async with session.get(api.url + address) as response:
                if (await response.json())["state"] != "running":
                    raise RuntimeError("the job ended before the polls did, so they were not measured beside it")
    return rounds[bare.url], rounds[api.url]


async def measure_intake(options: argparse.Namespace) -> Intake:
    """Stream a list in and see the job through.

    Raises:
        RuntimeError: the list was not accepted, or the job did not complete.
    """
    with tempfile.TemporaryDirectory(prefix="bench-api-") as directory:
        file = Path(directory) / "contacts.txt"
        highest = options.ids * DENSE_OUT_OF if options.spread == "dense" else SPARSE_HIGHEST
        write_list(file, options.ids, highest, seed=1)
        async with (
            embedded_redis() as redis_url,
            stub_portal(MODELS["zero"], element_bytes=0) as portal_url,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1800)) as session,
        ):
            load = Load(portal_url, redis_url, options.ids, 1000, 8)
            async with running_api(load) as api, module("bench.ours", load.as_argument()) as worker:
                await asyncio.sleep(_IDLE_S)
                idle = [psutil.Process(one.pid).memory_info().rss for one in (api.child, worker)]
                started_s = time.monotonic()
                job = await _post(session, f"{api.url}/v1/jobs?portal={PORTAL}", file)
                accepted_s = time.monotonic() - started_s
                while job["state"] not in {"completed", "failed", "cancelled"}:
                    await asyncio.sleep(0.2)
                    async with session.get(f"{api.url}/v1/jobs/{job['id']}") as response:
                        job = await response.json()
                completed_s = time.monotonic() - started_s
                peak = [peak_rss_bytes(psutil.Process(one.pid)) for one in (api.child, worker)]
            if job["counts"]["deleted"] != options.ids:
                raise RuntimeError(f"{options.ids} IDs: {job['counts']}")
            return Intake(
                ids=options.ids,
                body_bytes=file.stat().st_size,
                accepted_s=accepted_s,
                completed_s=completed_s,
                api_idle_rss_bytes=idle[0],
                api_peak_rss_bytes=peak[0],
                worker_idle_rss_bytes=idle[1],
                worker_peak_rss_bytes=peak[1],
            )


async def _post(session: aiohttp.ClientSession, url: str, file: Path) -> dict[str, Any]:
    with file.open("rb") as body:
        async with session.post(url, data=body, headers={"Content-Type": "text/plain"}) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            if response.status != 202:
                raise RuntimeError(f"{response.status}: {answer}")
            return answer


def _poll_rows(bare: Sequence[Polled], ours: Sequence[Polled]) -> list[list[str]]:
    def row(name: str, rounds: Sequence[Polled]) -> list[str]:
        return [
            name,
            f"{statistics.median(one.polls_per_s for one in rounds):,.0f}",
            f"{statistics.median(one.p50_ms for one in rounds):.2f}",
            f"{statistics.median(one.p99_ms for one in rounds):.2f}",
        ]

    ratio = statistics.median(one.polls_per_s for one in ours) / statistics.median(one.polls_per_s for one in bare)
    return [row("bare aiohttp handler", bare), row("GET /v1/jobs/{id}", ours), ["ratio", f"{ratio:.2f}", "", ""]]


def _intake_rows(one: Intake) -> list[list[str]]:
    return [
        ["body", f"{one.body_bytes / 1e6:.0f} MB"],
        ["accepted after", f"{one.accepted_s:.1f} s"],
        ["completed after", f"{one.completed_s:.1f} s"],
        ["API, RSS idle / peak", _mb(one.api_idle_rss_bytes, one.api_peak_rss_bytes)],
        ["worker, RSS idle / peak", _mb(one.worker_idle_rss_bytes, one.worker_peak_rss_bytes)],
    ]


def _mb(idle: int, peak: int) -> str:
    return f"{idle / 1e6:.0f} / {peak / 1e6:.0f} MB"


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("api", __doc__, "--ids 10000000", "--only polls --clients 64")
    parser.add_argument("--only", choices=("polls", "intake"), help="only this one (default: both)")
    add_number(parser, "--rounds", 5, "rounds for each server")
    add_number(parser, "--seconds", 4, "length of a round")
    add_number(parser, "--clients", 16, "connections that poll concurrently")
    add_number(parser, "--concurrency", 4, "the job's calls in flight")
    add_number(parser, "--ids", 1_000_000, "IDs streamed in")
    parser.add_argument(
        "--spread", choices=("dense", "sparse"), default="dense", help="spread of the IDs (default: dense)"
    )
    return parser


async def _measure(options: argparse.Namespace, command: Sequence[str]) -> None:
    tables, document = [], {}
    if options.only != "intake":
        bare, ours = await measure_polls(options)
        tables.append(table(("polls of a running job", "per second", "p50 ms", "p99 ms"), _poll_rows(bare, ours)))
        document["polls"] = {
            "bare": [dataclasses.asdict(one) for one in bare],
            "api": [dataclasses.asdict(one) for one in ours],
        }
    if options.only != "polls":
        one = await measure_intake(options)
        tables.append(table((f"{one.ids:,} IDs streamed in", "measured"), _intake_rows(one)))
        document["intake"] = dataclasses.asdict(one)
    publish(
        f"The HTTP API, polled by {options.clients} clients", tables, document, command=command, json_to=options.json
    )


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _measure, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
