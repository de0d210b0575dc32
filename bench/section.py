"""What every section shares: how it runs, how it ends, and how its results are written."""

import argparse
import asyncio
import json
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import report
from bench.process import ChildError


def positive(text: str) -> int:
    """Parse an option that has to be a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, not {text!r}")
    return int(text)


def section_parser(name: str, description: str, *examples: str, epilog: str = "") -> argparse.ArgumentParser:
    """Return the parser of a section's options; it knows `--json` already.

    Args:
        name: The section, as in `python -m bench NAME`.
        description: What it measures, and how.
        examples: Options of the commands that its help shows; "" is the command without any.
        epilog: What its help says before the examples.
    """
    prog = f"python -m bench {name}"
    shown = "\n".join(["examples:", *(f"  {prog} {options}".rstrip() for options in examples)]) if examples else ""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog="\n\n".join(filter(None, (epilog, shown))),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write every measurement to a file")
    return parser


def add_number(parser: argparse.ArgumentParser, option: str, default: float, meaning: str) -> None:
    """Add an option that is a number, whole and above 0 if its default is an `int`; its help tells the default."""
    if isinstance(default, int):
        parser.add_argument(option, type=positive, default=default, help=f"{meaning} (default: {default:,})")
    else:
        parser.add_argument(option, type=float, default=default, help=f"{meaning} (default: {default:g})")


def add_seed(parser: argparse.ArgumentParser, drawn: str) -> None:
    """Add `--seed`, from which something is drawn."""
    parser.add_argument("--seed", type=int, default=1, help=f"seed of {drawn} (default: 1)")


def run_with_options(
    parser: argparse.ArgumentParser,
    section: Callable[[argparse.Namespace, Sequence[str]], Awaitable[None]],
    argv: Sequence[str],
) -> int:
    """Run a section with the options of a command line.

    Args:
        parser: Of these options, from `section_parser`.
        section: Gets the options, and the whole command for its report.
        argv: The command line after the section's name.

    Returns:
        The exit code, as `run_section` does.
    """
    return run_section(section(parser.parse_args(argv), (*parser.prog.split(), *argv)))


def run_section(work: Awaitable[None]) -> int:
    """Run a section, and end every child process however the section ends.

    Returns:
        The exit code: 0, 1 when something went wrong, 130 when interrupted.
    """
    try:
        asyncio.run(_until_signalled(work))
    except (ChildError, RuntimeError, TimeoutError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return 0


async def _until_signalled(work: Awaitable[None]) -> None:
    """Turn SIGTERM and SIGHUP into a cancellation, so that every child process is ended; SIGINT already is one."""
    task = asyncio.current_task()
    assert task is not None
    for signum in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, task.cancel)
    await work


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is text, the others are numbers."""
    lines = [columns, ["---", *(["--:"] * (len(columns) - 1))], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def publish(
    title: str, tables: Sequence[str], document: Mapping[str, Any], *, command: Sequence[str], json_to: Path | None
) -> None:
    """Print the tables under a heading with the command, the machine and the versions; write everything as JSON."""
    facts = report.machine()
    told = "; ".join(f"{name} {value}" for name, value in facts.items())
    print("\n\n".join([f"### {title}", f"`{shlex.join(command)}`  \n{told}.", *tables]))
    if json_to:
        whole = {"title": title, "command": list(command), "facts": facts, **document}
        json_to.write_text(json.dumps(whole, indent=2) + "\n")
