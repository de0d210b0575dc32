"""`python -m bench pacing`: whether all workers together keep the rate, and how well they find a hidden one.

Three questions, all answered by the simulated portal's own record of when every call arrived:

- steady: how much of a configured rate is used, and how many calls arrive in the busiest second, with 1, 2, 4 workers;
- push-back: whether any worker calls while the portal has asked for silence with `Retry-After`;
- capacity: how much of an unknown and changing capacity is used, and how many calls are turned away.
"""

import argparse
import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from pyroaring import BitMap

from bench.ours import PORTAL, TOKEN
from bench.process import embedded_redis, flush, module
from bench.section import add_number, positive, publish, run_with_options, section_parser, table
from bench.simulated import simulated_portal
from config.redis_url import RedisUrl
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.store.connection import connect
from simulator.client import SimulatorClient

#: Calls in the first seconds are not counted: workers that have just started are still warming up.
_WARM_UP_S = 2.0

#: Hidden capacity: from this second on, this many calls per second.
_STEPS = ((0, 20), (60, 60), (120, 10))
_CEILING = 200


@dataclass(frozen=True)
class Steady:
    """Calls at a configured rate."""

    workers: int
    rate: float
    calls: int
    due: float
    busiest_second: int  #: the most calls that arrived within any one second


@dataclass(frozen=True)
class Silence:
    """What happened after the portal had asked to be left alone."""

    form: str
    asked_s: float
    kept_s: float  #: from its answer to the next call
    calls_too_early: int


@dataclass(frozen=True)
class Found:
    """How a hidden capacity was used."""

    burst: int  #: calls that the portal accepts at the same moment after a quiet period; 1 judges the exact spacing
    capacity: str
    available: float
    used: int
    throttled: int


def _environment(redis_url: str, portal: SimulatorClient, **settings: float) -> dict[str, str]:
    given = {"URL": portal.url, "TOKEN": TOKEN, **{name: str(value) for name, value in settings.items()}}
    environ = {f"CRM_SWEEP_PORTALS__{PORTAL.upper()}__{name}": value for name, value in given.items()}
    return {
        "CRM_SWEEP_CONFIG": os.devnull,
        "CRM_SWEEP_REDIS__URL": redis_url,
        "CRM_SWEEP_LOG__LEVEL": "error",
        **environ,
    }


@asynccontextmanager
async def _sweeping(
    portal: SimulatorClient, redis_url: str, contacts: int, workers: int, **settings: float
) -> AsyncIterator[None]:
    """Run workers that delete contacts until the context is left."""
    await flush(redis_url)
    await portal.reset(contacts=contacts)
    redis = connect(RedisUrl(redis_url))
    try:
        async with AsyncExitStack() as stack:
            environ = _environment(redis_url, portal, **settings)
            for _ in range(workers):
                await stack.enter_async_context(module("cli", "worker", environment=environ, ready=None))
            lanes = round(settings["MAX_CONCURRENCY"])
            await submit(
                redis, Submission(needs_approval=False, portal=PORTAL, ids=BitMap(range(1, contacts + 1)), lanes=lanes)
            )
            await portal.wait(arrived=1)
            yield
    finally:
        await redis.aclose(close_connection_pool=True)


async def measure_steady(
    portal: SimulatorClient, redis_url: str, *, workers: int, rate: float, seconds: float
) -> Steady:
    """Drive the portal at the configured rate, one contact per call."""
    await portal.behave(base_ms=5, capacity_calls_per_s=0, capacity_changes=[])
    contacts = round(rate * (seconds + _WARM_UP_S) * 1.5) + 50
    one_each = {"BATCH_SIZE_START": 1, "BATCH_SIZE_MAX": 1}
    limits = {"REQUESTS_PER_SECOND": rate, "MAX_CONCURRENCY": 8, **one_each}
    async with _sweeping(portal, redis_url, contacts, workers, **limits):
        await asyncio.sleep(_WARM_UP_S + seconds + 0.5)
        calls = await portal.calls()
    arrivals = sorted(call["at_ms"] / 1000 for call in calls)
    # Whole intervals from one call to another: a window cut anywhere else would be off by up to one call.
    start_s = next(at for at in arrivals if at >= arrivals[0] + _WARM_UP_S)
    counted = sum(start_s < at <= start_s + seconds + 0.5 / rate for at in arrivals)
    return Steady(workers, rate, counted, rate * seconds, busiest_second(arrivals))


def busiest_second(arrivals: Sequence[float]) -> int:
    """Return the largest number of calls within any one second.

    Args:
        arrivals: times in seconds, ascending.
    """
    first = most = 0
    for last, at in enumerate(arrivals):
        while at - arrivals[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


async def measure_silence(portal: SimulatorClient, redis_url: str, *, form: str, asked_s: float) -> Silence:
    """Let the portal ask for silence while four workers are busy."""
    await portal.behave(base_ms=20, capacity_calls_per_s=0, capacity_changes=[])
    limits = {"REQUESTS_PER_SECOND": 20, "MAX_CONCURRENCY": 4, "BATCH_SIZE_START": 1, "BATCH_SIZE_MAX": 1}
    rule = {"fault": "throttle", "next_calls": 1, "retry_after_s": asked_s, "retry_after_form": form}
    async with _sweeping(portal, redis_url, 2000, 4, **limits):
        await asyncio.sleep(3)
        await portal.misbehave(rule)
        await asyncio.sleep(asked_s + 3)
        calls = await portal.calls()
    throttled = next(call for call in calls if call["status"] == 429)
    answered_s = throttled["answered_at_ms"] / 1000
    # A date has no fraction, so the silence that it asks for may be up to a second shorter.
    asked_until_s = answered_s + asked_s - (throttled["at"] % 1 if form == "date" else 0)
    after = sorted(call["at_ms"] / 1000 for call in calls if call["at_ms"] / 1000 > answered_s)
    too_early = sum(at < asked_until_s - 0.01 for at in after)
    return Silence(form, asked_until_s - answered_s, after[0] - answered_s, too_early)


async def measure_capacity(portal: SimulatorClient, redis_url: str, *, burst: int, step_s: float) -> list[Found]:
    """Let two workers find a capacity that changes twice."""
    steps = [(since_s * step_s / 60, rate) for since_s, rate in _STEPS]
    await portal.behave(
        base_ms=20,
        per_contact_ms=0.1,
        capacity_calls_per_s=steps[0][1],
        capacity_burst=burst,
        capacity_changes=[list(step) for step in steps[1:]],
    )
    limits = {"REQUESTS_PER_SECOND": _CEILING, "MAX_CONCURRENCY": 4, "BATCH_SIZE_START": 20, "BATCH_SIZE_MAX": 20}
    contacts = round(sum(rate * step_s for _, rate in steps)) * 20 * 2
    async with _sweeping(portal, redis_url, contacts, 2, **limits):
        began_s = min(call["at_ms"] for call in await portal.calls()) / 1000
        await asyncio.sleep(len(steps) * step_s - began_s + 0.5)
        calls = await portal.calls()
    found = []
    ends = [since_s for since_s, _ in steps[1:]] + [len(steps) * step_s]
    for (since_s, rate), end_s in zip(steps, ends, strict=True):
        from_s = max(since_s, began_s)
        within = [call for call in calls if from_s <= call["at_ms"] / 1000 < end_s]
        throttled = sum(call["status"] == 429 for call in within)
        found.append(Found(burst, f"{rate}", rate * (end_s - from_s), len(within) - throttled, throttled))
    whole = (sum(getattr(part, name) for part in found) for name in ("available", "used", "throttled"))
    return [*found, Found(burst, "all of it", *whole)]


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("pacing", __doc__)
    parser.add_argument("--workers", type=positive, nargs="+", default=[1, 2, 4], help="(default 1 2 4)")
    parser.add_argument("--rates", type=positive, nargs="+", default=[5, 50, 200], help="calls/s (default 5 50 200)")
    add_number(parser, "--seconds", 20, "length of each steady run")
    add_number(parser, "--step", 60, "seconds of each capacity")
    parser.add_argument(
        "--bursts", type=positive, nargs="*", default=[5, 1], help="bursts of the capacity (default 5 1)"
    )
    parser.add_argument("--only", choices=["steady", "silence", "capacity"], nargs="+", help="only these questions")
    return parser


async def _measure(given: argparse.Namespace, command: Sequence[str]) -> None:
    wanted = given.only or ["steady", "silence", "capacity"]
    document: dict[str, Any] = {}
    tables = []
    async with embedded_redis() as redis_url, simulated_portal() as portal:
        if "steady" in wanted:
            steady = [
                await measure_steady(portal, redis_url, workers=workers, rate=rate, seconds=given.seconds)
                for rate, workers in itertools.product(given.rates, given.workers)
            ]
            document["steady"] = [asdict(one) for one in steady]
            tables.append(_steady_table(steady))
        if "silence" in wanted:
            silences = [await measure_silence(portal, redis_url, form=form, asked_s=4) for form in ("seconds", "date")]
            document["silence"] = [asdict(one) for one in silences]
            tables.append(_silence_table(silences))
        if "capacity" in wanted:
            found = [
                part
                for burst in given.bursts
                for part in await measure_capacity(portal, redis_url, burst=burst, step_s=given.step)
            ]
            document["capacity"] = [asdict(one) for one in found]
            tables.append(_capacity_table(found))
    publish("Pacing", tables, document, command=command, json_to=given.json)


def _steady_table(results: Sequence[Steady]) -> str:
    rows = [
        [f"{one.rate:g}", f"{one.workers}", f"{one.calls / one.due:.1%}", f"{one.busiest_second}"] for one in results
    ]
    return table(["calls/s configured", "workers", "used", "calls in the busiest second"], rows)


def _silence_table(results: Sequence[Silence]) -> str:
    rows = [[one.form, f"{one.asked_s:.2f}", f"{one.kept_s:.2f}", f"{one.calls_too_early}"] for one in results]
    return table(["Retry-After as", "silence asked for, s", "kept, s", "calls too early"], rows)


def _capacity_table(results: Sequence[Found]) -> str:
    rows = [
        [
            f"{one.capacity}",
            f"{one.burst}",
            f"{one.used / one.available:.1%}",
            f"{one.throttled / max(one.used + one.throttled, 1):.1%}",
        ]
        for one in results
    ]
    return table(["hidden capacity, calls/s", "its burst", "used", "turned away"], rows)


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _measure, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
