"""What the commands do around a run: they end it on a signal, and keep its data if it does not end well."""

import argparse
import asyncio
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from chaos.report import as_json

_Result = TypeVar("_Result")


class Seeded(Protocol):
    """What a run consists of."""

    @property
    def seed(self) -> int:
        """What decides everything that happens."""


class Judged(Protocol):
    """What came of it."""

    @property
    def agreed(self) -> bool:
        """Whether the ledgers tell the truth."""


_Plan = TypeVar("_Plan", bound=Seeded)
_Outcome = TypeVar("_Outcome", bound=Judged)


def perform(
    plan: _Plan,
    parser: argparse.ArgumentParser,
    about: str,
    play: Callable[[Path], Awaitable[_Outcome]],
    as_text: Callable[[_Plan, _Outcome, str], str],
    *,
    json_to: Path | None,
    keep: bool = False,
) -> int:
    """Play a run in a directory of its own, and write its result.

    Args:
        plan: the run; its seed is told at the start, and again if the run does not end well.
        parser: of the command.
        about: what else to tell at the start.
        play: the run; gets the directory.
        as_text: writes the result of the command for people.
        json_to: where to write it for programs as well.
        keep: whether to keep the directory even if the run ends well.

    Returns:
        The exit code: 0 if it is good, 1 if not, 130 if the run was interrupted.
    """
    command = f"{parser.prog} {shlex.join(sys.argv[1:])}".strip()
    directory = Path(tempfile.mkdtemp(prefix="crm-sweep-chaos-"))
    sys.stderr.write(f"seed {plan.seed}, {about}, data in {directory}\n")
    code = 1
    try:
        outcome = asyncio.run(_until_signalled(play(directory)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = 130
    else:
        sys.stdout.write(as_text(plan, outcome, command))
        if json_to:
            json_to.write_bytes(as_json(plan, outcome, command, agreed=outcome.agreed))
        code = 0 if outcome.agreed else 1
    finally:
        if code in (0, 130) and not keep:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            sys.stderr.write(f"seed {plan.seed}; data and logs are in {directory}\n")
    return code


def add_options(parser: argparse.ArgumentParser, *, most_workers: int, fault_rate: float) -> None:
    """Add the options that every run has.

    Args:
        parser: of the command.
        most_workers: the largest number of workers.
        fault_rate: how often faults strike by default, 0 to 0.05.
    """
    workers = range(1, most_workers + 1)
    parser.add_argument("--minutes", type=positive, default=5.0, help="how long things go wrong (default 5)")
    parser.add_argument("--workers", type=int, default=3, choices=workers, metavar="N", help="(default 3)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="repeats a run")
    parser.add_argument(
        "--faults",
        type=_share,
        default=fault_rate,
        metavar="F",
        help=f"how often each fault of the portal strikes, 0 to 0.05 (default {fault_rate:g})",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the result to a file")


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


def _share(text: str) -> float:
    """Read how often faults strike; for argparse."""
    number = float(text)
    if not 0 <= number <= 0.05:
        raise argparse.ArgumentTypeError("0 to 0.05: there are twenty of them, and some calls have to get through")
    return number


async def _until_signalled(run: Awaitable[_Result]) -> _Result:
    """Turn SIGTERM and SIGHUP into a cancellation, so that every process is ended; SIGINT already is one."""
    task = asyncio.current_task()
    if task is not None:
        for signum in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(signum, task.cancel)
    return await run
