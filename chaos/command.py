"""What the commands do around a run: they end it on a signal, and keep its data if it does not end well."""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")


def perform(
    seed: int,
    about: str,
    play: Callable[[Path], Awaitable[Result]],
    tell: Callable[[Result], bool],
    *,
    keep: bool = False,
) -> int:
    """Play a run in a directory of its own.

    Args:
        seed: told at the start, and again if the run does not end well.
        about: what else to tell at the start.
        play: the run; gets the directory.
        tell: writes the result; returns whether it is good.
        keep: whether to keep the directory even if it is.

    Returns:
        The exit code: 0 if it is good, 1 if not, 130 if the run was interrupted.
    """
    directory = Path(tempfile.mkdtemp(prefix="crm-sweep-chaos-"))
    sys.stderr.write(f"seed {seed}, {about}, data in {directory}\n")
    code = 1
    try:
        result = asyncio.run(_until_signalled(play(directory)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = 130
    else:
        code = 0 if tell(result) else 1
    finally:
        if code in (0, 130) and not keep:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            sys.stderr.write(f"seed {seed}; data and logs are in {directory}\n")
    return code


def forget_settings() -> None:
    """Drop our settings from the environment, so that the processes of a run are configured by its plan alone."""
    for name in [name for name in os.environ if name.startswith("CRM_SWEEP_")]:
        del os.environ[name]


def positive(text: str) -> float:
    """Read a number above 0; for argparse."""
    number = float(text)
    if not 0 < number < 100_000:
        raise argparse.ArgumentTypeError("a number above 0")
    return number


def share(text: str) -> float:
    """Read how often faults strike; for argparse."""
    number = float(text)
    if not 0 <= number <= 0.05:
        raise argparse.ArgumentTypeError("0 to 0.05: there are twenty of them, and some calls have to get through")
    return number


async def _until_signalled(run: Awaitable[Result]) -> Result:
    """Turn SIGTERM and SIGHUP into a cancellation, so that every process is ended; SIGINT already is one."""
    task = asyncio.current_task()
    if task is not None:
        for signum in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(signum, task.cancel)
    return await run
