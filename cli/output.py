"""Writing to standard output, of which somebody may read only the first lines, and notes to standard error."""

import os
import sys
from io import StringIO, TextIOWrapper
from typing import TextIO

from rich.console import Console

from config.errors import CrmSweepError

#: Columns of a line that nobody looks at on a terminal.
_NEVER_WRAPPED = 10_000


class ReaderGone(Exception):
    """Whoever read standard output has had enough, or never wanted any."""


class OutputLost(CrmSweepError):
    """What a command has to say could not be written, whatever it has done; the message tells both."""


def out(text: str) -> None:
    """Write text to standard output.

    Raises:
        ReaderGone: nobody reads it any more.
        OutputLost: it cannot be written, as on a full disk.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        mute(sys.stdout)
        raise ReaderGone from None
    except OSError as error:
        mute(sys.stdout)
        raise OutputLost(f"standard output cannot be written: {error.strerror or error}") from None


def out_after(deed: str, what: str, text: str) -> None:
    """Write to standard output what came of something that is done, and cannot be taken back.

    Where that fails, standard error tells the deed at least. A reader that has gone, or that there never was, is no
    error.

    Args:
        deed: what was done, `job X is queued`.
        what: what the text is, `its ID`.
        text: for standard output.

    Raises:
        OutputLost: it cannot be written, as on a full disk.
    """
    lost = f"{deed}; {what} could not be written to standard output"
    try:
        out(text)
    except ReaderGone:
        note(f"{lost}: nobody reads it")
    except OutputLost as error:
        raise OutputLost(f"{lost}: {str(error).partition(': ')[2]}") from None
    else:
        if _is_closed():
            note(f"{lost}: it is closed")


def note(text: str) -> None:
    """Write a line for the person at the terminal to standard error, if it can be written."""
    text = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        mute(sys.stderr)


def plural(count: int, one: str) -> str:
    """Count things in words: 1 line, 2,000 lines."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def notes() -> Console:
    """Give a console on standard error."""
    return Console(stderr=True, highlight=False)


def rendered(renderable: object, *, fitted: bool = True) -> str:
    """Render for standard output: in colour and as wide as the terminal, or as plain lines that are never wrapped.

    Args:
        renderable: what Rich can show.
        fitted: cut and wrap to the terminal's width; False where nothing may be cut, such as IDs to be copied.
    """
    terminal = fitted and sys.stdout.isatty()
    # Not onto standard output itself: whether that can be written is for `out` to find out.
    paper = StringIO()
    console = Console(
        file=paper, highlight=False, force_terminal=terminal or None, width=None if terminal else _NEVER_WRAPPED
    )
    console.print(renderable)
    text = paper.getvalue()
    return text if terminal else "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def mute(stream: TextIO) -> None:
    """Let whatever is still written to a broken stream, by the interpreter at its end as well, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _is_closed() -> bool:
    """Whether this process was started without a standard output: `prepare_streams` has put a file in its place."""
    return sys.stdout.name == os.devnull


def prepare_streams() -> None:
    """Give a process that was started without its standard streams some that go nowhere.

    Otherwise the next file or socket opened would get their numbers, and what is printed would end up in it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - open until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no é must not end the work
