"""CPU and memory of the processes of a measurement, by name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import psutil

from bench.measure import peak_rss_bytes
from bench.process import Child

_LOOK_S = 0.05


def cpu_s(child: Child) -> float:
    """Return the user and system time of a process so far, in seconds."""
    times = psutil.Process(child.pid).cpu_times()
    return float(times.user + times.system)


def cpu_of(children: Mapping[str, Child]) -> dict[str, float]:
    """Return the CPU seconds of some processes so far, by name."""
    return {name: cpu_s(child) for name, child in children.items()}


def since(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return how far each of some counters has come."""
    return {name: value - before[name] for name, value in after.items()}


def peaks_of(children: Mapping[str, Child]) -> dict[str, int]:
    """Return the largest resident size of some processes so far, in bytes, by name."""
    return {name: peak_rss_bytes(psutil.Process(child.pid)) for name, child in children.items()}


@contextlib.asynccontextmanager
async def watching_one(child: Child) -> AsyncIterator[dict[str, float]]:
    """Watch the `peak_rss_bytes` and the `cpu_s` of a process that ends by itself, until the context is left."""
    seen, over = {"peak_rss_bytes": 0.0, "cpu_s": 0.0}, asyncio.Event()

    async def watch() -> None:
        process = psutil.Process(child.pid)
        while not over.is_set():
            with contextlib.suppress(psutil.NoSuchProcess):
                seen["peak_rss_bytes"] = max(seen["peak_rss_bytes"], peak_rss_bytes(process))
                seen["cpu_s"] = max(seen["cpu_s"], cpu_s(child))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _LOOK_S)

    watcher = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        over.set()
        await watcher
