"""`python -m bench portals`: many portals and many jobs at once, driven by several workers.

Are the jobs of a portal treated alike, is every portal called at its rate and no faster, and what do the workers, the
API and Redis spend, idle and busy? Every portal is a simulated one with a record of its own.
"""

import argparse
import asyncio
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from arq.connections import ArqRedis
from pyroaring import BitMap

from bench.kept import Kept
from bench.ours import TOKEN
from bench.pacing import busiest_second
from bench.portal_crowd import Crowd, crowd
from bench.process import Child, module, redis_server
from bench.processes import cpu_of, cpu_s, peaks_of, since
from bench.redis_load import RedisLoad, load_of, used_bytes
from bench.section import add_number, publish, run_with_options, section_parser, table
from config.settings import load_settings
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.lanes.lease import look_for_lapses
from jobs.store import keys
from jobs.store.connection import connect
from simulator.client import connect as connect_to_portal
from worker.fleet import Fleet

_BASE_MS, _PER_CONTACT_MS = 20, 1
#: Calls of the first seconds are not counted: lanes are still being woken.
_WARM_UP_S = 3.0
_LOOK_S = 0.5
_SUBMIT_AT_ONCE = 20
_LOOKS = 50
_SCRAPES = 3
_MOST_S = 3600.0

#: What is asked of the API, by the name in the table.
_VIEWS = {
    "GET /v1/jobs?limit=100": "/v1/jobs?limit=100",
    "GET /v1/portals": "/v1/portals",
    "GET /metrics": "/metrics",
    "the page with the jobs": "/",
}


@dataclass
class Busy:
    """What a span of time cost.

    Attributes:
        seconds: its length.
        cpu_s: CPU seconds by process, all workers together.
        redis: of the server.
    """

    seconds: float
    cpu_s: dict[str, float]
    redis: RedisLoad


@dataclass
class Portals:
    """What was measured with many portals."""

    portals: int
    jobs: int
    workers: int
    rate: float
    start_cpu_s: float = 0.0  #: of a worker, until it knows its portals
    submit_s: float = 0.0  #: until all jobs were accepted
    run_s: float = 0.0  #: until all had ended
    calls: int = 0
    busiest_second: list[int] = field(default_factory=list)  #: by portal
    used_share: list[float] = field(default_factory=list)  #: by portal, of the calls that its rate allows
    half_way: list[list[int]] = field(default_factory=list)  #: by portal: contacts decided of each job when half done
    idle: Busy | None = None
    busy: Busy | None = None
    view_ms: dict[str, float] = field(default_factory=dict)  #: median time of an answer, while busy
    view_cpu_ms: dict[str, float] = field(default_factory=dict)  #: CPU of the API for it
    look_ms: dict[str, float] = field(default_factory=dict)  #: Redis CPU of what each worker does again and again
    job_bytes: float = 0.0  #: of Redis, per ended job
    peak_rss_bytes: dict[str, int] = field(default_factory=dict)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run all jobs.

    Raises:
        RuntimeError: a portal was not left as the jobs say.
        TimeoutError: they did not end within an hour.
    """
    one = Portals(options.portals, options.jobs, options.workers, options.rate)
    names = [f"portal-{number}" for number in range(options.portals)]
    per_portal = -(-options.jobs // options.portals)
    async with AsyncExitStack() as stack:
        like = Crowd(options.portals, per_portal * options.contacts, _BASE_MS, _PER_CONTACT_MS)
        crowd_process, urls = await stack.enter_async_context(crowd(like))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-portals-")))
        server, redis_url = await stack.enter_async_context(redis_server(folder))
        config = folder / "portals.toml"
        config.write_text(_configuration(redis_url, dict(zip(names, urls, strict=True)), options))
        environment = {"CRM_SWEEP_CONFIG": str(config)}
        api = await stack.enter_async_context(module("cli", "api", "--port", "0", environment=environment, ready=None))
        api_url = (await api.expect("^listening on ")).split()[-1]
        settings = load_settings(config, {})
        redis = connect(settings.redis.url)
        stack.push_async_callback(redis.aclose, close_connection_pool=True)
        processes = {"redis": server, "api": api, "portals": crowd_process}
        async with AsyncExitStack() as working:
            for number in range(options.workers):
                worker = module("cli", "worker", environment=environment, ready=None)
                processes[f"worker {number}"] = await working.enter_async_context(worker)
            await _started(redis, names, options.workers)
            starts = [spent_s for name, spent_s in cpu_of(processes).items() if name.startswith("worker")]
            one.start_cpu_s = statistics.mean(starts)

            async def spent(work: Awaitable[None]) -> Busy:
                before, load, started_s = cpu_of(processes), await load_of(redis), time.monotonic()
                await work
                grown = since(before, cpu_of(processes))
                workers = [grown.pop(name) for name in list(grown) if name.startswith("worker")]
                load = (await load_of(redis)).since(load)
                return Busy(time.monotonic() - started_s, grown | {"workers": sum(workers)}, load)

            one.idle = await spent(asyncio.sleep(options.idle_s))
            empty, started_s = await used_bytes(redis), time.monotonic()
            job_ids = await _submitted(redis, names, options)
            one.submit_s = time.monotonic() - started_s
            half, half_way = asyncio.Event(), dict[str, list[int]]()
            watching = asyncio.create_task(_watched(redis, job_ids, options.contacts, half_way, half))
            await asyncio.sleep(min(_WARM_UP_S, options.contacts / options.batch / options.rate / 4))
            one.busy = await spent(_set_or_ended(half, watching))
            await _viewed(one, api, api_url, options.scrapes)
            await watching
            one.half_way = list(half_way.values())
            one.run_s = time.monotonic() - started_s
            one.job_bytes = (await used_bytes(redis) - empty) / len(job_ids)
            one.peak_rss_bytes = peaks_of(processes)
        fleet = Fleet(settings, redis)
        one.look_ms["the watch, twice a second"] = await _redis_ms(redis, lambda: look_for_lapses(redis, names))
        one.look_ms["the lifeline, every two seconds"] = await _redis_ms(redis, fleet.look_after_portals)
        for name, url in zip(names, urls, strict=True):
            await _recorded(one, url, sum(portal == name for portal in job_ids.values()) * options.contacts)
    return dataclasses.asdict(one)


def _configuration(redis_url: str, urls: Mapping[str, str], options: argparse.Namespace) -> str:
    parts = [f'[redis]\nurl = "{redis_url}"\n\n[log]\nlevel = "error"\n']
    parts += [
        f"""
[portals.{name}]
url = "{url}"
token = "{TOKEN}"
requests_per_second = {options.rate}
max_concurrency = 1
batch_size_start = {options.batch}
batch_size_max = {options.batch}
"""
        for name, url in urls.items()
    ]
    return "".join(parts)


async def _started(redis: ArqRedis, names: Sequence[str], workers: int) -> None:
    """Wait until all workers have said with which configuration they reach each portal, which is slow on purpose."""
    async with asyncio.timeout(600):
        for name in names:
            while await redis.zcard(keys.configurations(name)) < workers:  # noqa: ASYNC110  # only Redis knows
                await asyncio.sleep(0.05)


async def _submitted(redis: ArqRedis, names: Sequence[str], options: argparse.Namespace) -> dict[str, str]:
    """Submit the jobs, one of each portal in turn; return their portals by ID."""
    gate = asyncio.Semaphore(_SUBMIT_AT_ONCE)

    async def one(number: int) -> tuple[str, str]:
        round_, portal = divmod(number, len(names))
        ids = BitMap(range(round_ * options.contacts + 1, (round_ + 1) * options.contacts + 1))
        async with gate:
            made = Submission(needs_approval=False, portal=names[portal], ids=ids, lanes=1)
            return (await submit(redis, made)).job_id, names[portal]

    return dict(await asyncio.gather(*map(one, range(options.jobs))))


async def _watched(
    redis: ArqRedis, job_ids: Mapping[str, str], contacts: int, half_way: dict[str, list[int]], half: asyncio.Event
) -> None:
    """Note how far each job of a portal is once half of the portal's contacts are decided, until all are.

    Args:
        redis: the connection.
        job_ids: portals by job.
        contacts: of each job.
        half_way: filled with the contacts decided of each job, by portal.
        half: set once half of everything is decided.
    """
    async with asyncio.timeout(_MOST_S):
        while True:
            pipe = redis.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.hget(keys.job(job_id), "n:pending")
            decided: dict[str, list[int]] = {name: [] for name in job_ids.values()}
            for name, pending in zip(job_ids.values(), await pipe.execute(), strict=True):
                decided[name].append(contacts - int(pending or 0))
            for name, each in decided.items():
                if 2 * sum(each) >= len(each) * contacts:
                    half_way.setdefault(name, each)
            done, whole = sum(map(sum, decided.values())), len(job_ids) * contacts
            if 2 * done >= whole:
                half.set()
            if done == whole:
                return
            await asyncio.sleep(_LOOK_S)


async def _set_or_ended(event: asyncio.Event, task: "asyncio.Task[None]") -> None:
    waiter = asyncio.create_task(event.wait())
    await asyncio.wait({waiter, task}, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    if task.done():
        task.result()


async def _viewed(one: Portals, api: Child, url: str, times: int) -> None:
    """Note what the API spends on each of its views."""
    for name, path in _VIEWS.items():
        before_s = cpu_s(api)
        one.view_ms[name] = await _asked(url + path, times)
        one.view_cpu_ms[name] = (cpu_s(api) - before_s) / times * 1000


async def _asked(url: str, times: int) -> float:
    """Return the median time of an answer in milliseconds; far enough apart that none is shared with the next."""
    took_ms = []
    async with aiohttp.ClientSession() as session:
        for number in range(times):
            if number:
                await asyncio.sleep(1.1)
            started_s = time.monotonic()
            async with session.get(url) as answer:
                await answer.read()
                answer.raise_for_status()
            took_ms.append((time.monotonic() - started_s) * 1000)
    return statistics.median(took_ms)


async def _redis_ms(redis: ArqRedis, look: Callable[[], Awaitable[object]]) -> float:
    """Return the CPU time that a look takes in Redis, in milliseconds, with no worker running."""
    await look()
    before = await load_of(redis)
    for _ in range(_LOOKS):
        await look()
    return (await load_of(redis)).since(before).cpu_s / _LOOKS * 1000


async def _recorded(one: Portals, url: str, deleted: int) -> None:
    """Read a portal's own record."""
    async with connect_to_portal(url) as portal:
        arrivals = [call["at_ms"] / 1000 for call in await portal.calls()]
        told = await portal.summary()
    if told["deleted"] != deleted or told["contacts_sent_again"]:
        raise RuntimeError(f"{deleted} contacts were to be deleted: {told}")
    one.calls += len(arrivals)
    one.busiest_second.append(busiest_second(arrivals))
    span_s = arrivals[-1] - arrivals[0]
    one.used_share.append((len(arrivals) - 1) / (span_s * one.rate) if span_s else 1.0)


def _tables(one: dict[str, Any]) -> list[str]:
    spreads = [max(each) - min(each) for each in one["half_way"]]
    ratios = [min(each) / max(each) for each in one["half_way"]]
    most = max(one["busiest_second"])
    busy_calls = one["calls"] / one["run_s"] * one["busy"]["seconds"]  # they are spread evenly
    results = [
        ["start of a worker, CPU s", f"{one['start_cpu_s']:.1f}"],
        ["Redis CPU per call, about, µs", f"{one['busy']['redis']['cpu_s'] / busy_calls * 1e6:.0f}"],
        ["CPU of the workers per call, about, ms", f"{one['busy']['cpu_s']['workers'] / busy_calls * 1e3:.2f}"],
        ["accepted, all jobs", f"{one['submit_s']:.1f} s"],
        ["ended, all jobs", f"{one['run_s']:.1f} s"],
        ["half way: least / most decided among the jobs of a portal, worst portal", f"{min(ratios):.2f}"],
        ["the same, median portal", f"{statistics.median(ratios):.2f}"],
        ["contacts between the two, worst portal", str(max(spreads))],
        [f"calls in the busiest second of any portal, at {one['rate']:g}/s", str(most)],
        ["calls, of those that the rate allows: median portal", f"{statistics.median(one['used_share']):.3f}"],
        ["the same, worst portal", f"{min(one['used_share']):.3f}"],
        ["Redis, bytes per ended job", f"{one['job_bytes']:,.0f}"],
        *([f"Redis CPU, {name}, ms", f"{took_ms:.2f}"] for name, took_ms in one["look_ms"].items()),
        *([f"{name}, peak RSS MB", f"{size / 1e6:.0f}"] for name, size in sorted(one["peak_rss_bytes"].items())),
    ]
    idle, busy = one["idle"], one["busy"]
    cpu = [
        [name, *(f"{100 * each['cpu_s'][name] / each['seconds']:.1f}" for each in (idle, busy))]
        for name in idle["cpu_s"]
    ]
    cpu.append(
        [
            "commands per second in Redis",
            *(f"{each['redis']['commands'] / each['seconds']:,.0f}" for each in (idle, busy)),
        ]
    )
    views = [[name, f"{one['view_ms'][name]:.0f}", f"{one['view_cpu_ms'][name]:.0f}"] for name in one["view_ms"]]
    return [
        table(("what", "measured"), results),
        table(("CPU, % of a core", "idle", "busy"), cpu),
        table(("while busy", "median ms", "CPU ms of the API"), views),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("portals", __doc__, "", "--portals 10 --jobs 100 --rate 10")
    add_number(parser, "--portals", 100, "portals")
    add_number(parser, "--jobs", 1000, "jobs, divided among them")
    add_number(parser, "--contacts", 40, "contacts per job")
    add_number(parser, "--batch", 2, "contacts per PUT")
    add_number(parser, "--rate", 2.0, "calls per second of each portal")
    add_number(parser, "--workers", 3, "worker processes")
    add_number(parser, "--idle-s", 20.0, "how long idle CPU is measured")
    add_number(parser, "--scrapes", _SCRAPES, "answers per view")
    return parser


async def _portals(options: argparse.Namespace, command: Sequence[str]) -> None:
    kept = Kept(options.json, {name: value for name, value in vars(options).items() if name != "json"})
    one = await kept.part("portals", lambda: measure(options))
    publish(
        f"{options.portals} portals, {options.jobs:,} jobs of {options.contacts} contacts, {options.workers} workers",
        _tables(one),
        {"portals": one},
        command=command,
        json_to=options.json,
    )
    kept.forget()


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _portals, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
