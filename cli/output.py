"""Writing to standard output, of which the reader may want only the first lines, and notes to standard error."""

import os
import sys
from io import StringIO, TextIOWrapper
from typing import TextIO

from rich.console import Console

from config.errors import CrmSweepError

#: Width of output that does not go to a terminal, columns.
_NEVER_WRAPPED = 10_000


class ReaderGone(Exception):
    """The reader of standard output has stopped reading, or there never was one."""


class OutputLost(CrmSweepError):
    """The output of a command could not be written, whatever it has done; the message says both."""


def out(text: str) -> None:
    """Write text to standard output.

    Raises:
        ReaderGone: the reader is gone.
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
    """Write to standard output the result of something that is done and cannot be undone.

    If that fails, standard error at least reports what was done. A reader that is gone, or never existed, is not an
    error.

    Args:
        deed: what was done, such as `job X is queued`.
        what: what the text is, such as `its ID`.
        text: for standard output.

    Raises:
        OutputLost: it cannot be written, as on a full disk.
    """
    lost = f"{deed}; {what} could not be written to standard output"
    try:
        out(text)
    except ReaderGone:
        note(f"{lost}: the reader is gone")
    except OutputLost as error:
        raise OutputLost(f"{lost}: {str(error).partition(': ')[2]}") from None
    else:
        if _is_closed():
            note(f"{lost}: it is closed")


def note(text: str) -> None:
    """Write a line for the user to standard error, if it can be written."""
    text = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        mute(sys.stderr)


def plural(count: int, one: str) -> str:
    """Return a count with its noun: 1 line, 2,000 lines."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def notes() -> Console:
    """Return a console on standard error."""
    return Console(stderr=True, highlight=False)


def rendered(renderable: object, *, fitted: bool = True) -> str:
    """Render for standard output: in colour and as wide as the terminal, or as plain lines that are never wrapped.

    Args:
        renderable: anything that Rich can show.
        fitted: cut and wrap to the terminal's width; False if nothing may be cut, such as IDs to be copied.
    """
    terminal = fitted and sys.stdout.isatty()
    # Not to standard output itself: `out` has to find out whether that can be written.
    paper = StringIO()
    console = Console(
        file=paper, highlight=False, force_terminal=terminal or None, width=None if terminal else _NEVER_WRAPPED
    )
    console.print(renderable)
    text = paper.getvalue()
    return text if terminal else "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def mute(stream: TextIO) -> None:
    """Discard whatever is still written to a broken stream, including by the interpreter when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _is_closed() -> bool:
    """Check whether this process was started without standard output: then `prepare_streams` has replaced it."""
    return sys.stdout.name == os.devnull


def prepare_streams() -> None:
    """Replace missing standard streams of this process by ones that discard everything.

    Otherwise the next file or socket that is opened would get their numbers, and printed text would end up in it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - open until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show é must not end the work
