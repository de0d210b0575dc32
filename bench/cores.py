"""A core for the measured worker alone.

A sampler counts a process that waits for a core as if it worked. On a small machine a worker waits most often just
after a write, which wakes Redis or the portal on its own core; a profile would show half of the time in writes, and
little of it was spent there. So everything else is kept off one core, and the worker is moved to it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


@contextmanager
def one_core_free() -> Iterator[int | None]:
    """Keep this process, and every process that it starts meanwhile, off one core.

    Yields:
        The core, or None where there is only one or the system does not bind processes to cores.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(allowed) < 2:
        yield None
        return
    core = max(allowed)
    os.sched_setaffinity(0, allowed - {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, allowed)


def move(process: psutil.Process, core: int | None) -> None:
    """Move every thread of a process to a core; None leaves it where it is."""
    if core is None:
        return
    for thread in process.threads():
        os.sched_setaffinity(thread.id, {core})
