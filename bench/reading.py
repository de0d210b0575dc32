"""`python -m bench reading`: what it costs the HTTP API to send ledgers, and events to many who watch a job.

In alternate rounds, bare aiohttp handlers send as many bytes, as often. The cost is the CPU time of the server: with
clients and Redis on the same cores, rates would tell of those.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
from pyroaring import BitMap

from bench.api import running_api, serving
from bench.ended_job import make_ended_job
from bench.load import Load
from bench.ours import PORTAL
from bench.process import Child, embedded_redis, module
from bench.rounds import MODELS, stub_portal
from bench.section import add_number, publish, run_with_options, section_parser, table
from config.redis_url import RedisUrl
from jobs.store.connection import connect

_EVERY_S = 0.5
"""How often a job that changes all the time is told of (web/http/limits.py)."""


@dataclass(frozen=True)
class Sent:
    """What one round took.

    Attributes:
        cpu_s: user and system time of the server.
        took_s: until everything had been received.
        pieces: lines of a ledger, or events, all clients together.
        size: bytes that were received.
    """

    cpu_s: float
    took_s: float
    pieces: int
    size: int

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU for each piece."""
        return self.cpu_s * 1e6 / self.pieces


async def _download(server: Child, url: str, lines: int) -> Sent:
    before_s, started_s, size = _cpu_s(server), time.monotonic(), 0
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        response.raise_for_status()
        async for block in response.content.iter_any():
            size += len(block)
    return Sent(_cpu_s(server) - before_s, time.monotonic() - started_s, lines, size)


class _Watcher(asyncio.Protocol):
    """Counts the events that a server sends."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.events = 0
        self.size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        # An event is written as a whole; one that arrives in two parts is found if its first line does not break.
        self.events += data.count(b"event: job\n")
        self.size += len(data)


async def _watch(server: Child, url: str, clients: int, seconds: float) -> Sent:
    """Have a job watched for a while; what it takes to begin is not counted."""
    host, port = url.removeprefix("http://").partition("/")[0].split(":")
    request = f"GET /{url.removeprefix('http://').partition('/')[2]} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    watchers = [(await loop.create_connection(lambda: _Watcher(request), host, int(port)))[1] for _ in range(clients)]
    try:
        await asyncio.sleep(2 * _EVERY_S)
        before_s, started_s = _cpu_s(server), time.monotonic()
        events, size = sum(one.events for one in watchers), sum(one.size for one in watchers)
        await asyncio.sleep(seconds)
        cpu_s, took_s = _cpu_s(server) - before_s, time.monotonic() - started_s
        told = sum(one.events for one in watchers) - events
        if told < clients:
            raise RuntimeError(f"{clients} watchers were told of {told} events in {took_s:.1f} s")
        return Sent(cpu_s, took_s, told, sum(one.size for one in watchers) - size)
    finally:
        for one in watchers:
            one.transport.abort()


def _cpu_s(child: Child) -> float:
    """Return the CPU time of a process as Linux counts it, in nanoseconds: what psutil tells is in steps of 10 ms."""
    tasks = Path(f"/proc/{child.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


async def measure_downloads(lines: int, rounds: int) -> dict[str, list[Sent]]:
    """Download a ledger as NDJSON and as CSV, and as many bytes from the bare handler, in turn."""
    sent: dict[str, list[Sent]] = {"ndjson": [], "csv": [], "bare": []}
    async with embedded_redis() as redis_url:
        redis = connect(RedisUrl(redis_url))
        await make_ended_job(redis, BitMap(range(1, lines + 1)), portal=PORTAL, job_id="ended")
        await redis.aclose(close_connection_pool=True)
        async with running_api(Load("http://127.0.0.1:9", redis_url, lines, 1000, 1)) as api:
            results = f"{api.url}/v1/jobs/ended/results?format="
            size = (await _download(api.child, f"{results}ndjson", lines)).size
            async with serving("bench.bare_api", "1", str(size)) as bare:
                for _ in range(rounds):
                    sent["bare"].append(await _download(bare.child, f"{bare.url}/v1/jobs/ended/results", lines))
                    for form in ("ndjson", "csv"):
                        sent[form].append(await _download(api.child, results + form, lines))
    return sent


async def measure_events(clients: int, rounds: int, seconds: float) -> dict[str, list[Sent]]:
    """Watch a job that changes all the time, and as many bytes from the bare handler as often, in turn."""
    sent: dict[str, list[Sent]] = {"events": [], "bare": []}
    lasts_s = rounds * (2 * seconds + 10) + 30
    async with embedded_redis() as redis_url, stub_portal(MODELS["realistic"], element_bytes=0) as portal_url:
        contacts = round(lasts_s / 0.45) * 200 * 4
        load = Load(portal_url, redis_url, contacts, 200, 4)
        async with (
            running_api(load) as api,
            module("bench.ours", load.as_argument()),
            aiohttp.ClientSession() as session,
        ):
            ids = "\n".join(map(str, load.ids))
            async with session.post(
                f"{api.url}/v1/jobs?portal={PORTAL}", data=ids, headers={"Content-Type": "text/plain"}
            ) as response:
                address = f"/v1/jobs/{(await response.json())['id']}/events"
            first = await _watch(api.child, api.url + address, 1, 4 * _EVERY_S)
            event_bytes = first.size // first.pieces
            async with serving("bench.bare_api", "1", "0", str(event_bytes), str(_EVERY_S)) as bare:
                for _ in range(rounds):
                    sent["bare"].append(await _watch(bare.child, bare.url + address, clients, seconds))
                    sent["events"].append(await _watch(api.child, api.url + address, clients, seconds))
    return sent


def _download_rows(sent: dict[str, list[Sent]]) -> list[list[str]]:
    bare = statistics.median(one.cpu_us for one in sent["bare"])
    rows = []
    for name, rounds in sent.items():
        cpu_us = statistics.median(one.cpu_us for one in rounds)
        megabytes = statistics.median(one.size / 1e6 / one.took_s for one in rounds)
        rows.append([name, f"{cpu_us:.2f}", f"{cpu_us / bare:.1f}", f"{megabytes:.0f}"])
    return rows


def _event_rows(by_clients: dict[int, dict[str, list[Sent]]]) -> list[list[str]]:
    rows = []
    for clients, sent in by_clients.items():
        bare, ours = (statistics.median(one.cpu_us for one in sent[name]) for name in ("bare", "events"))
        idle = statistics.median(one.cpu_s / one.took_s for one in sent["events"])
        rows.append([str(clients), f"{bare:.0f}", f"{ours:.0f}", f"{bare / ours:.2f}", f"{idle:.1%}"])
    return rows


async def _measure(options: argparse.Namespace, command: Sequence[str]) -> None:
    downloads = await measure_downloads(options.lines, options.rounds)
    events = {clients: await measure_events(clients, options.rounds, options.seconds) for clients in options.clients}
    publish(
        f"Ledgers of {options.lines:,} lines, and events",
        [
            table(("download", "CPU µs per line", "of bare", "MB/s"), _download_rows(downloads)),
            table(
                ("who watch", "bare: CPU µs per event", "API", "bare : API", "API, share of a core"),
                _event_rows(events),
            ),
        ],
        {
            "downloads": {name: [asdict(one) for one in rounds] for name, rounds in downloads.items()},
            "events": {
                str(clients): {name: [asdict(one) for one in rounds] for name, rounds in sent.items()}
                for clients, sent in events.items()
            },
        },
        command=command,
        json_to=options.json,
    )


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("reading", __doc__, "--lines 1000000 --clients 1 100 1000")
    add_number(parser, "--lines", 1_000_000, "lines of the ledger")
    add_number(parser, "--rounds", 3, "rounds for each server")
    add_number(parser, "--seconds", 5, "length of a round of events")
    parser.add_argument(
        "--clients", type=int, nargs="+", default=[1, 100], help="connections that watch one job (default: 1 100)"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _measure, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
