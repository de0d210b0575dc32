"""A Python process under py-spy, which writes down what it is doing many times a second.

py-spy starts the process itself: a parent may look into its child without any special right.
"""

import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from bench.process import Child, running

_WRITING_TIMEOUT_S = 60.0


def _py_spy() -> str:
    beside = shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if found := beside or shutil.which("py-spy"):
        return found
    raise RuntimeError("py-spy is not installed; `make bench` installs it, as does pip install '.[bench]'")


@asynccontextmanager
async def sampled(name: str, *arguments: str, per_second: int, to: Path) -> AsyncIterator[Child]:
    """Run `python -m name arguments…` like `process.module`, and sample it until the context is left.

    Args:
        name: The module.
        arguments: Its arguments.
        per_second: Samples per second. The process is stopped for each, so that stacks are whole.
        to: Gets one line for each stack that was seen, as text for `stacks.read_stacks`; complete when the context has
            been left without an error.

    Raises:
        RuntimeError: py-spy is not installed.
        ChildError: The process ended, or py-spy could not look into it.
    """
    options = ("--format", "raw", "--function", "--rate", str(per_second), "--output", str(to))
    command = (_py_spy(), "record", *options, "--", sys.executable, "-m", name, *arguments)
    async with running(name, command) as child:
        yield child
        sampled_process(child).terminate()  # py-spy writes the file once its child has ended
        await child.gone(_WRITING_TIMEOUT_S)


def sampled_process(child: Child) -> psutil.Process:
    """Return the process that py-spy has started."""
    [process] = psutil.Process(child.pid).children()
    return process
