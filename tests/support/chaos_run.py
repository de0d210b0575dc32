"""A chaos run in a process of its own."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def chaos_run(module: str, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a run that ends, with its children, at the latest when the block is left.

    Args:
        module: `chaos` or `chaos.hosts`.
        options: of its command.
    """
    command = (sys.executable, "-m", module, *options)
    run = await asyncio.create_subprocess_exec(*command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield run
    finally:
        if run.returncode is None:
            run.kill()
            await run.communicate()
