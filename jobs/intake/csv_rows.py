"""The rows of CSV text, read strictly as in RFC 4180, each with the lines that it comes from.

A field is quoted if a quote mark is its very first character; a quote mark elsewhere in a field is text. The quote mark
that closes a field is followed by a delimiter or the end of the line, and nothing else.
"""

import contextlib
import csv
from collections.abc import Iterator
from dataclasses import dataclass

from jobs.words.contact_ids import parse_contact_id

#: What can surround a number in a cell that is read as text or as CSV.
_AROUND = b' \t"'


@dataclass(slots=True)
class Row:
    """One row.

    Attributes:
        cells: its cells; None if its quoting is broken. Then it is impossible to tell where it ends, and it counts as
            one line.
        first: position of its first line among those that were passed.
        after: position of the first line after it.
        why: what is wrong with its quoting; empty if nothing is.
    """

    cells: list[str] | None
    first: int
    after: int
    why: str = ""


class Rows:
    """Reads the rows of some whole lines.

    Args:
        lines: the lines, each with its line end, decoded so that every byte is one character.
        delimiter: what separates two cells.
        final: nothing follows the last line.
    """

    def __init__(self, lines: list[str], delimiter: str, *, final: bool) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._final = final
        self._next = 0
        self._ran_out = False
        #: Position of the first line of the row that continues after the lines; None if there is none.
        self.unfinished: int | None = None

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows that are complete. After a broken row, reading resumes at its second line."""
        while self._next < len(self._lines):
            first = self._next
            self._ran_out = False
            try:
                for cells in csv.reader(self._pull(), delimiter=self._delimiter, strict=True):
                    yield Row(cells, first, self._next)
                    first = self._next
            except csv.Error as error:
                if self._ran_out and not self._final:
                    self.unfinished = first
                    return
                yield Row(None, first, first + 1, self._broken(error))
                self._next = first + 1

    def _pull(self) -> Iterator[str]:
        while self._next < len(self._lines):
            self._next += 1
            yield self._lines[self._next - 1]
        # The reader asks for one more line between rows or within a quoted field; an error follows only in the latter.
        self._ran_out = True

    def _broken(self, error: csv.Error) -> str:
        if self._ran_out:
            return "a quote mark opens a field that is never closed"
        if "field limit" in str(error):
            return f"a field of more than {csv.field_size_limit():,} characters: its closing quote mark may be missing"
        return "text follows the quote mark that closes a field"


def split_lines(data: bytes) -> list[str]:
    r"""Split text at \n, \r\n and \r, and map every byte to one character: other columns may be in any encoding."""
    return [line.decode("latin-1") for line in data.splitlines(keepends=True)]


@dataclass(frozen=True, slots=True)
class Columns:
    """What the header says about the rows.

    Attributes:
        delimiter: what separates two cells.
        width: cells of a row.
        position: position of the ID column, from 0.
        nameless: whether there are columns after the ID column, none of which has a name.
    """

    delimiter: str
    width: int
    position: int
    nameless: bool = False

    def other_ids(self, cells: list[str]) -> list[str]:
        """Return the cells of a row that could hold its contact ID if some of its delimiters are text.

        If nothing is quoted, a delimiter within a cell shifts the cells after it to the right: a row with two cells too
        many may have its contact ID up to two cells further on. The first column cannot be shifted.

        Args:
            cells: the cells of a row that has more of them than the header.
        """
        if not self.position:
            return []
        shifted = cells[self.position + 1 : self.position + 1 + len(cells) - self.width]
        return [cell for cell in shifted if contact_id_in(cell) is not None]


def read_otherwise(lines: list[str], columns: Columns, contact_id: int | None) -> tuple[int, int] | None:
    """Check whether the lines of one row could be rows of their own, as when a quote mark is only an inch mark.

    Any line with a contact ID where a row would have it counts, even if it has too few cells or too many.

    Args:
        lines: the lines of the row.
        columns: where a row has its contact ID.
        contact_id: the contact ID of the row as a whole; None if it has none.

    Returns:
        The position of a line that would be a row with another contact ID, and that ID; None if there is none.
    """
    for number, line in enumerate(lines):
        for cells in _readings(line.rstrip("\r\n"), columns.delimiter):
            possible = [*cells[columns.position : columns.position + 1], *columns.other_ids(cells)]
            for other in map(contact_id_in, possible):
                if other not in (None, contact_id):
                    return number, other
    return None


def may_be_rows(lines: list[bytes], delimiter: str, own: str) -> bool:
    """Check quickly whether `read_otherwise` could find anything: a number in a cell that is not the row's own.

    Args:
        lines: the lines of the row, without their line ends.
        delimiter: what separates two cells.
        own: the row's own cell in the ID column.
    """
    between = delimiter.encode()
    known = own.encode("latin-1").strip(_AROUND)
    for line in lines:
        for cell in line.split(between):
            number = cell.strip(_AROUND)
            if number.isdigit() and number != known:
                return True
    return False


def decoded(cells: list[str]) -> list[str]:
    """Return cells as proper text, which only the names of columns need."""
    return [cell.encode("latin-1").decode("utf-8", "replace") for cell in cells]


def contact_id_in(cell: str) -> int | None:
    """Return the contact ID in a cell, or None."""
    try:
        return parse_contact_id(cell)
    except ValueError:
        return None


def _readings(line: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the cells of a single line: with its quote marks as text, and as CSV."""
    yield line.split(delimiter)
    if '"' in line:
        with contextlib.suppress(csv.Error):
            yield from csv.reader([line], delimiter=delimiter, strict=True)
