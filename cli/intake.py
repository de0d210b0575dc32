"""From FILE on the command line to a list of contact IDs that the user has agreed to delete."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from pyroaring import BitMap
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from cli.errors import UsageError
from cli.output import note, notes, plural
from jobs.intake.parser import read_contact_ids
from jobs.intake.tally import Intake, IntakeError
from jobs.words.filters import Filter
from jobs.words.priority import Priority

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="The contact IDs, plain or gzipped: one per line, a CSV with a column id, contact_id or contactid, "
        "a JSON array, or NDJSON. - is standard input.",
        show_default=False,
    ),
]
OptionalFile = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]",
        help="A list of contact IDs, in place of a filter: the same forms as for `submit`.",
        show_default=False,
    ),
]
PortalName = Annotated[
    str, typer.Option("--portal", metavar="NAME", help="The configured portal to delete from.", show_default=False)
]
Column = Annotated[
    str | None,
    typer.Option("--column", metavar="NAME", help="Column or key of the contact ID, if it has another name."),
]
SkipInvalid = Annotated[
    bool, typer.Option("--skip-invalid", help="Skip and count what is not a contact ID, instead of refusing the list.")
]
Multiline = Annotated[
    bool,
    typer.Option(
        "--multiline",
        help="Fields of a CSV span several lines. Needed only if such a line could be a row of its own.",
    ),
]
WantedPriority = Annotated[
    Priority,
    typer.Option(
        "--priority",
        metavar="PRIORITY",
        help=f"How often the job gets a turn among the other jobs of its portal: {', '.join(Priority)}.",
    ),
]
WantsUndo = Annotated[
    bool | None,
    typer.Option(
        "--undo/--no-undo",
        help="Keep the contacts' records before they are deleted, or do not; by default as the portal's undo says.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed above confirm_above without a terminal.")]


def read_list(file: str, *, column: str | None = None, skip_invalid: bool = False, multiline: bool = False) -> Intake:
    """Read a list of contact IDs, with a progress bar on a terminal.

    Args:
        file: a path, or - for standard input.
        column: name of the ID column or key, instead of the usual names.
        skip_invalid: skip and count what is not a contact ID.
        multiline: fields of a CSV can span several lines, even if one of these could be a row of its own.

    Raises:
        IntakeError: it is not a list of contact IDs.
        UsageError: the file cannot be read.
    """
    name = _name(file)
    try:
        with _opened(file) as source, _progress(name, source) as on_progress:
            return read_contact_ids(
                source, column=column, skip_invalid=skip_invalid, multiline=multiline, on_progress=on_progress
            )
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror or error}") from None
    except IntakeError as error:
        raise IntakeError(f"{name}: {error.message}", error.bad_lines, error.total_bad, error.way_out) from None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The contacts that a command is about: those of a list, or none yet, where a filter is going to choose them.

    Attributes:
        intake: the list, as it was read; None for a filter.
    """

    intake: Intake | None

    @property
    def ids(self) -> BitMap:
        """The contact IDs; none for a filter."""
        return self.intake.ids if self.intake else BitMap()

    @property
    def duplicates(self) -> int:
        """How many contact IDs of the list were repetitions."""
        return self.intake.duplicates if self.intake else 0


def list_or_filter(
    file: str | None,
    selection: Filter | None,
    *,
    column: str | None = None,
    skip_invalid: bool = False,
    multiline: bool = False,
) -> Chosen:
    """Return the contacts of a list, or none where a filter chooses them; further arguments are those of `read_list`.

    Raises:
        IntakeError: it is not a list of contact IDs.
        UsageError: there is neither a list nor a filter, or both.
    """
    if (file is None) == (selection is None):
        raise UsageError(
            "name a list or a filter, not both"
            if file
            else "name a list, or say with a filter which contacts are meant, such as --tag trash"
        )
    if file is None:
        return Chosen(None)
    return Chosen(read_list(file, column=column, skip_invalid=skip_invalid, multiline=multiline))


def will_ask(intake: Intake, *, above: int, yes: bool) -> bool:
    """Check whether `confirm` is going to ask the user, who should first see how the list was read."""
    return not yes and (len(intake.ids) > above or intake.report.perhaps_cut_off) and sys.stdin.isatty()


def tell(file: str, intake: Intake) -> None:
    """Tell the user what was in a list, and how it was read."""
    name, report = _name(file), intake.report
    note(f"{name}: {', '.join([plural(len(intake.ids), 'contact ID'), *_left_out(intake)])}")
    note(f"{name}: read as {report.understood()}; {report.counted()}")
    for doubt in report.doubts():
        note(f"{name}: {doubt}")


def confirm(intake: Intake, portal: str, *, above: int, yes: bool) -> None:
    """Have the user type the number of contacts before deleting many of them, or those of a list that may be cut off.

    Without a terminal, a list that may be cut off is treated like any other, so that scripts keep going.

    Args:
        intake: the contact IDs that would be deleted.
        portal: the portal's name.
        above: up to this many contacts, do not ask.
        yes: whether the user has already agreed.

    Raises:
        UsageError: the user did not agree.
    """
    count = len(intake.ids)
    if yes or (count <= above and not will_ask(intake, above=above, yes=yes)):
        return
    what = f"{plural(count, 'contact')} from portal {portal} for good"
    if not sys.stdin.isatty():
        raise UsageError(f"this deletes {what}: without a terminal to ask at, --yes is needed; nothing was queued")
    left_out = f" ({', '.join(_left_out(intake))})" if _left_out(intake) else ""
    sys.stderr.write(f"This deletes {what}{left_out}. Type the number of contacts to go ahead: ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if answer.strip().translate({ord(mark): None for mark in ",._' "}) != str(count):
        raise UsageError(f"that is not {count:,}; nothing was queued")


def _left_out(intake: Intake) -> list[str]:
    """Return in words what a list holds besides the contact IDs that would be deleted."""
    told = []
    if intake.duplicates:
        told.append(f"{plural(intake.duplicates, 'duplicate')} left out")
    if intake.invalid:
        told.append(f"{plural(intake.invalid, 'invalid value')} skipped")
    return told


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as source:
        yield source


@contextlib.contextmanager
def _progress(name: str, source: BinaryIO) -> Iterator[Callable[[int], None] | None]:
    console = notes()
    size = os.fstat(source.fileno()).st_size
    if not console.is_terminal:
        yield None
        return
    columns = TextColumn("reading {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=size or None)
        yield lambda bytes_read: progress.update(task, completed=bytes_read)


def _name(file: str) -> str:
    return "standard input" if file == "-" else file
