"""Writing to standard output, of which somebody may read only the first lines, and notes to standard error."""

import os
import sys
from typing import TextIO

from rich.console import Console


class ReaderGone(Exception):
    """Whoever read standard output has had enough."""


def out(text: str) -> None:
    """Write text to standard output.

    Raises:
        ReaderGone: nobody reads it any more.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        mute(sys.stdout)
        raise ReaderGone from None


def note(text: str) -> None:
    """Write a line for the person at the terminal to standard error."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        mute(sys.stderr)


def notes() -> Console:
    """Give a console on standard error."""
    return Console(stderr=True, highlight=False)


def rendered(renderable: object) -> str:
    """Render for standard output: in colour on a terminal, as plain text elsewhere."""
    console = Console(file=sys.stdout, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def mute(stream: TextIO) -> None:
    """Let whatever is still written to a broken stream, by the interpreter at its end as well, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def fill_closed_streams() -> None:
    """Give a process that was started without its standard streams some that go nowhere.

    Otherwise the next file or socket opened would get their numbers, and what is printed would end up in it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - open until the end
