"""The header of a CSV: what its delimiter is, and which of its columns holds the contact IDs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from jobs.intake.csv_rows import Columns, Row, Rows, contact_id_in, decoded, read_otherwise, split_lines
from jobs.intake.line_form import count_line_ends, end_of_lines
from jobs.intake.tally import IntakeError, Tally, WayOut, printable
from jobs.intake.values import BLANKS, find_id, find_ids

#: Delimiters that a header can have, unless a line `sep=` before it names another one.
DELIMITERS = (",", ";", "\t", "|")
_DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_DECLARED = re.compile(r'("?)sep=(?P<delimiter>[\t!#-&(-/:-@\[-`{-~])\1', re.IGNORECASE | re.ASCII)
#: How many column names an error message lists.
_NAMES_TOLD = 20
#: How many rows are searched for columns that look as if they held contact IDs.
_ROWS_TRIED = 20


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says.

    Attributes:
        columns: how the rows are laid out.
        column: name of the ID column.
        names: names of all columns.
        line_count: lines up to the end of the header, including blank ones and `sep=` before it.
        blank_lines: how many of these lines are blank.
    """

    columns: Columns
    column: str
    names: tuple[str, ...]
    line_count: int
    blank_lines: int

    def is_named(self, names: list[str]) -> bool:
        """Check whether these are the same names, ignoring case and the blanks around them."""
        return [_plain(name) for name in names] == [_plain(name) for name in self.names]


def read_header(
    data: bytes, tally: Tally, *, column: str | None, multiline: bool, line: int, final: bool
) -> Header | None:
    """Read the header of a CSV.

    Args:
        data: the input from its beginning, in whole lines.
        tally: makes the errors.
        column: name of the ID column; None for any of the usual names.
        multiline: a field can span several lines, whatever they contain.
        line: number of the first line.
        final: nothing follows the lines.

    Returns:
        The header, or None while more lines are needed to tell.

    Raises:
        IntakeError: there is no ID column, or more than one, or more than one way to read the header.
    """
    # Only whole blank lines are dropped: a header begins with a tab if its first column has no name.
    blank = end_of_lines(data[: len(data) - len(data.lstrip(BLANKS))])
    blank_lines = before = count_line_ends(data[:blank])
    lines = split_lines(data[blank:])
    declared = _declared(lines[0]) if lines else None
    if declared is not None:
        lines, before = lines[1:], before + 1
    if not lines:
        if final:
            raise tally.error("the CSV has no header line")
        return None
    rows = _first_rows(lines, DELIMITERS if declared is None else (declared,), final=final)
    if rows is None:
        return None
    at = f"line {line + before}"
    if not rows:
        raise tally.error(f"{at}: the quoting of the header is broken")
    fitting = {delimiter: row for delimiter, row in rows.items() if find_ids(_names(row), column)}
    if not fitting and not final and len(lines) <= _ROWS_TRIED:
        return None  # the rows after it tell which column it may be
    # A header of one column reads the same with every delimiter that it does not contain.
    fitting = {delimiter: row for delimiter, row in fitting.items() if len(_names(row)) > 1} or fitting
    if len(fitting) > 1 and any(len(_names(row)) > 1 for row in fitting.values()):
        told = " and with ".join(_DELIMITER_NAMES[delimiter] for delimiter in fitting)
        raise tally.error(
            f"{at}: the header has an ID column with {told}; name the delimiter in a line before it, such as sep=;"
        )
    delimiter, row = max((fitting or rows).items(), key=lambda one: len(_names(one[1])))
    names = _names(row)
    try:
        position = find_id(names, column, "column")
    except ValueError as error:
        likely = _likely_columns(names, lines[row.after :], delimiter)
        raise _no_column(tally, at, str(error), names, likely) from None
    if contact_id_in(names[position]) is not None:
        raise _no_header(tally, at, names[position])
    after = names[position + 1 :]
    columns = Columns(delimiter, len(names), position, nameless=bool(after) and not any(name.strip() for name in after))
    other = None if multiline or row.after == 1 else read_otherwise(lines[: row.after], columns, None)
    if other is not None:
        number, contact_id = other
        last, alone = line + before + row.after - 1, line + before + number
        raise tally.error(
            f"{at}: either the header continues to line {last}, or line {alone} is a row of its own, with contact ID "
            f"{contact_id}, and a quote mark is plain text",
            WayOut.MULTILINE,
        )
    return Header(columns, names[position].strip(), tuple(names), before + row.after, blank_lines)


def looks_like_csv(line: bytes, column: str | None) -> bool:
    """Check whether a list that begins with this line is a CSV: it names an ID column, or consists only of words."""
    if b'"' in line or _declared(line.decode("latin-1")) is not None:
        return True
    for delimiter in DELIMITERS:
        names = line.decode("utf-8", "replace").split(delimiter)
        if find_ids(names, column) or (len(names) > 1 and not any(name.strip().isdigit() for name in names)):
            return True
    return False


def _declared(line: str) -> str | None:
    """Return the delimiter that a first line such as `sep=;` declares, as spreadsheets write and read it; else None."""
    declared = _DECLARED.fullmatch(line.rstrip("\r\n"))
    return declared and declared["delimiter"]


def _first_rows(lines: list[str], delimiters: Iterable[str], *, final: bool) -> dict[str, Row] | None:
    """Read the first row with each delimiter, leaving out broken quoting; return None while more lines are needed."""
    rows = {}
    for delimiter in delimiters:
        row = next(iter(Rows(lines, delimiter, final=final)), None)
        if row is None:
            return None
        if row.cells is not None:
            rows[delimiter] = row
    return rows


def _names(row: Row) -> list[str]:
    return decoded(row.cells or [])


def _no_column(tally: Tally, at: str, what: str, names: list[str], likely: list[str]) -> IntakeError:
    for name in likely:
        if contact_id_in(name) is not None:
            return _no_header(tally, at, name)
    told = ", ".join(_quoted(name) for name in names[:_NAMES_TOLD])
    hint = f"; contact IDs may be in {' or '.join(_quoted(name) for name in likely)}" if likely else ""
    return tally.error(f"{at}: {what}; the columns are {told}{hint}", WayOut.COLUMN)


def _no_header(tally: Tally, at: str, name: str) -> IntakeError:
    """Return the error for a list that begins with its first row: taken for the header, that row would be lost."""
    return tally.error(f"{at}: contact ID {name.strip()} is where the header should be", WayOut.HEADER)


def _likely_columns(names: list[str], lines: list[str], delimiter: str) -> list[str]:
    """Return the names of the columns that hold nothing but contact IDs in the first rows."""
    rows = [row.cells for row in Rows(lines[:_ROWS_TRIED], delimiter, final=True) if row.cells and any(row.cells)]
    return [
        name
        for position, name in enumerate(names)
        if rows and all(len(cells) > position and contact_id_in(cells[position]) is not None for cells in rows)
    ]


def _plain(name: str) -> str:
    return name.strip(' \t"').casefold()


def _quoted(name: str) -> str:
    return f"'{printable(name.encode())}'"
