"""One measured run: how long, how much CPU, how much memory."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import aiohttp
import psutil

from bench.load import Load
from bench.process import Child

_RUN_TIMEOUT_S = 1800.0
_T = TypeVar("_T")


@dataclass(frozen=True)
class Measurement:
    """What one variant did in one run."""

    contacts: int  #: contacts in the portal's answers
    puts: int  #: number of PUTs
    elapsed_s: float  #: from the start of enqueueing until the portal had the last contact
    enqueue_s: float  #: the part of it until everything was enqueued
    settled_s: float  #: from the start until the variant had also finished its own records
    cpu_s: float  #: user and system time of the worker processes and their children, imports excluded
    peak_rss_bytes: int  #: sum of the peaks of the same processes

    @property
    def contacts_per_s(self) -> float:
        """Contacts per second, end to end."""
        return self.contacts / self.elapsed_s

    @property
    def cpu_ms_per_1000(self) -> float:
        """CPU milliseconds per 1000 contacts."""
        return self.cpu_s * 1e6 / self.contacts


async def measure(
    load: Load,
    *,
    workers: Sequence[Child],
    start: Callable[[], Awaitable[object]],
    settle: Callable[[], Awaitable[object]],
) -> Measurement:
    """Start the work and measure until the portal has the last contact.

    Args:
        load: The work to be done; its portal's counters are at zero.
        workers: Processes that do the work, running and ready; their CPU and memory are counted.
        start: Enqueues the work; the clock starts when it is called.
        settle: Returns once the workers have recorded the last answer, so that this CPU time counts too.

    Raises:
        ChildError: A worker ended before the work was done.
        TimeoutError: The work was not done within half an hour.
    """
    async with asyncio.timeout(_RUN_TIMEOUT_S), aiohttp.ClientSession(load.portal_url) as session:
        cpu_before_s = _tree_cpu_s(workers)
        started_at = time.monotonic()
        await start()
        enqueued_at = time.monotonic()
        last_contact_at = (await _unless_ended(workers, _stats(session, until=load.contacts)))["last_contact_at"]
        await _unless_ended(workers, settle())
        settled_at = time.monotonic()
        cpu_s = _tree_cpu_s(workers) - cpu_before_s
        # Read again: a contact that is sent again after all have arrived must show.
        stats = await _stats(session, until=0)
    return Measurement(
        contacts=int(stats["contacts"]),
        puts=int(stats["puts"]),
        elapsed_s=last_contact_at - started_at,
        enqueue_s=enqueued_at - started_at,
        settled_s=settled_at - started_at,
        cpu_s=cpu_s,
        peak_rss_bytes=sum(peak_rss_bytes(process) for process in _tree(workers)),
    )


async def _stats(session: aiohttp.ClientSession, *, until: int) -> dict[str, float]:
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.get("/stats", params={"until": until}, timeout=timeout) as response:
        stats: dict[str, float] = await response.json()
        return stats


async def _unless_ended(workers: Sequence[Child], work: Awaitable[_T]) -> _T:
    """Wait for the work, but fail as soon as a worker ends, instead of waiting for what will never come."""
    task = asyncio.ensure_future(work)
    watches = [asyncio.create_task(worker.fail_when_ended()) for worker in workers]
    try:
        await asyncio.wait([task, *watches], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            for watch in watches:
                if watch.done():
                    watch.result()  # raises what became of the worker
        return await task
    finally:
        for each in (task, *watches):
            each.cancel()
        await asyncio.gather(task, *watches, return_exceptions=True)


def _tree(workers: Sequence[Child]) -> list[psutil.Process]:
    roots = [psutil.Process(worker.pid) for worker in workers]
    return [process for root in roots for process in (root, *root.children(recursive=True))]


def _tree_cpu_s(workers: Sequence[Child]) -> float:
    """Return the user and system time of the living processes, and of the children they have already waited for."""
    total = 0.0
    for process in _tree(workers):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def peak_rss_bytes(process: psutil.Process) -> int:
    """Return the kernel's high-water mark where there is one (Linux), otherwise the current resident size."""
    try:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    with contextlib.suppress(psutil.NoSuchProcess):
        return int(process.memory_info().rss)
    return 0
