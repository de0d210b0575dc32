"""Lists that are one column of a CSV file: a header, then rows that are all as wide as the header."""

import csv
import re
from io import StringIO

from jobs.intake.csv_header import Header, read_header
from jobs.intake.csv_rows import Columns, Rows, contact_id_in, decoded, may_be_rows, read_otherwise, split_lines
from jobs.intake.line_form import MAX_LINE_BYTES, count_line_ends, end_of_lines, is_open, too_long
from jobs.intake.report import Layout
from jobs.intake.tally import Tally, WayOut
from jobs.intake.values import find_ids
from jobs.words.contact_ids import parse_contact_id

#: What the first cells of a row look like if a number such as 1,234 has been cut at its comma.
_GROUP_FIRST = re.compile(r"\s*[1-9][0-9]{0,2}")
_GROUP_NEXT = re.compile(r"[0-9]{3}\s*")


class CsvForm:
    """The ID column of a CSV file whose first row is a header.

    Every row has as many cells as the header. Extra empty cells at the end do no harm if all rows have the same number
    of them and leave no doubt about which cell is the ID. A row of another width, or with broken quoting, is a bad
    line: its ID column could hold anything. Rows without any content are blank lines.

    Args:
        tally: where the IDs go.
        column: name of the ID column; by default any of the usual names.
        multiline: a field can span several lines, whatever they contain. Otherwise it can only if none of the lines
            could be a row with another contact ID.
        line: number of the first line.
    """

    def __init__(self, tally: Tally, *, column: str | None = None, multiline: bool = False, line: int = 1) -> None:
        self._tally = tally
        self._column = column
        self._multiline = multiline
        self._line = line
        self._rest = b""
        self._header: Header | None = None
        self._columns = Columns("", 0, 0)
        self._usual_surplus: int | None = None
        self._numbered_rows = 0
        self._blank_lines = line - 1
        self._multiline_records = 0
        self._first_multiline_line: int | None = None

    def feed(self, block: bytes) -> None:
        """Read the rows that are complete."""
        data = self._rest + block
        end = end_of_lines(data)
        self._rest = self._read(data[:end]) + data[end:]
        if len(self._rest) > MAX_LINE_BYTES:
            raise too_long(self._tally, self._line)

    def close(self) -> Layout:
        """Read the last row, which needs no line end."""
        last, self._rest = self._rest, b""
        self._read(last, final=True)
        if self._numbered_rows and self._numbered_rows == self._tally.records:
            raise self._tally.error(
                "the rows have one cell more than the header, and their first cells count up from 1: these may be row "
                "numbers, with the contact IDs in the next column; name every column in the header"
            )
        return Layout(
            form="csv",
            lines=self._line - 1 + is_open(last),
            blank_lines=self._blank_lines,
            delimiter=self._columns.delimiter if self._columns.width > 1 else None,
            column=self._header.column if self._header else None,
            multiline_records=self._multiline_records,
            first_multiline_line=self._first_multiline_line,
            open_ended_id=self._open_ended(last),
        )

    def _read(self, lines: bytes, *, final: bool = False) -> bytes:
        """Read all rows of some whole lines, and return the beginning of a row that is not complete yet."""
        if self._header is None:
            header = read_header(
                lines, self._tally, column=self._column, multiline=self._multiline, line=self._line, final=final
            )
            if header is None:
                return lines
            self._header = header
            self._columns = header.columns
            rows = b"".join(lines.splitlines(keepends=True)[header.line_count :])
            self._line += count_line_ends(lines[: len(lines) - len(rows)])
            self._blank_lines += header.blank_lines
            lines = rows
        if self._read_plain(lines) or self._read_quoted(lines):
            self._line += count_line_ends(lines)
            return b""
        return self._read_rows(lines, final=final)

    def _read_plain(self, lines: bytes) -> bool:
        """Read rows without quotes that all have as many cells as the header: one split for all of them.

        Returns:
            False if the lines are anything else; nothing has been counted.
        """
        rows = lines.replace(b"\r\n", b"\n")
        if not rows or b'"' in rows or b"\r" in rows or not self._is_simple():
            return False
        if not rows.endswith(b"\n"):
            rows += b"\n"
        delimiter = self._columns.delimiter.encode()
        row_count = rows.count(b"\n")
        # Each line end becomes a cell of its own, so that a row of another width shows up as a cell out of place.
        cells = rows.replace(b"\n", delimiter + b"\n" + delimiter).split(delimiter)
        cells.pop()
        step = self._columns.width + 1
        if len(cells) != row_count * step or cells[self._columns.width :: step].count(b"\n") != row_count:
            return False
        return self._add_run(b",".join(cells[self._columns.position :: step]), row_count)

    def _read_quoted(self, lines: bytes) -> bool:
        """Read rows with quotes that all have as many cells as the header; see `_read_plain`."""
        if not self._is_simple():
            return False
        rows = csv.reader(StringIO(lines.decode("latin-1"), newline=""), delimiter=self._columns.delimiter, strict=True)
        width, position = self._columns.width, self._columns.position
        cells: list[str] = []
        ends: list[int] = []
        try:
            for row in rows:
                if len(row) != width:
                    return False
                cells.append(row[position])
                ends.append(rows.line_num)
        except csv.Error:
            return False
        multiline = [] if len(cells) == rows.line_num else _over_several_lines(ends)
        if multiline and not self._multiline:
            physical = lines.splitlines()
            for number, first, after in multiline:
                if may_be_rows(physical[first:after], self._columns.delimiter, cells[number]):
                    return False
        if not self._add_run(",".join(cells).encode("latin-1"), len(cells)):
            return False
        if multiline:
            self._note_multiline(len(multiline), self._line + multiline[0][1])
        return True

    def _is_simple(self) -> bool:
        """Check whether rows as wide as the header leave no doubt."""
        return not (self._usual_surplus and self._columns.position) and not self._columns.nameless

    def _add_run(self, numbers: bytes, count: int) -> bool:
        """Count the IDs of rows that are as wide as the header, or none of them."""
        if not self._tally.add_run(numbers, count=count):
            return False
        self._usual_surplus = 0
        return True

    def _read_rows(self, data: bytes, *, final: bool) -> bytes:
        """Read rows one by one, with all that CSV allows."""
        lines = split_lines(data)
        rows = Rows(lines, self._columns.delimiter, final=final)
        for row in rows:
            if row.cells is None:
                self._misread(lines[row.first], row.why)
            else:
                if row.after - row.first > 1:
                    self._take_multiline(lines[row.first : row.after], row.cells)
                self._take(row.cells, lines[row.first])
            self._line += sum(line.endswith(("\n", "\r")) for line in lines[row.first : row.after])
        return b"" if rows.unfinished is None else "".join(lines[rows.unfinished :]).encode("latin-1")

    def _take(self, cells: list[str], line: str) -> None:
        surplus = len(cells) - self._columns.width
        if not any(cell.strip() for cell in cells):
            self._blank_lines += 1
        elif surplus < 0 or any(cell.strip() for cell in cells[self._columns.width :]):
            self._misread(line, f"{_cells(len(cells))} under a header of {self._columns.width}")
        elif why := self._doubt(cells, surplus):
            why = f"{_cells(len(cells))} under a header of {self._columns.width}: {why}"
            self._misread(line, why, before=surplus < (self._usual_surplus or 0))
        else:
            self._take_id(cells, line)

    def _doubt(self, cells: list[str], surplus: int) -> str:
        """Return why it is not certain which cell of a row holds its contact ID; empty if it is certain."""
        usual = self._usual_surplus = surplus if self._usual_surplus is None else self._usual_surplus
        if (surplus or self._columns.nameless) and (other := self._other_id(cells)):
            return f"the contact ID may be {other}"
        if self._columns.position and surplus != usual:
            # A delimiter that is text makes one row longer than the others, and shifts an empty cell.
            return f"the rows before it have {self._columns.width + usual}"
        return ""

    def _take_id(self, cells: list[str], line: str) -> None:
        text = cells[self._columns.position]
        try:
            contact_id = parse_contact_id(text)
        except ValueError as error:
            if self._is_other_header(cells):
                self._misread(line, "the header of another table")
            else:
                self._tally.reject(self._line, text.encode("latin-1"), str(error))
        else:
            self._tally.add(contact_id)
            # Some exporters number the rows, and leave that column without a name.
            is_number = not self._columns.position and contact_id == self._tally.records
            if is_number and len(cells) > self._columns.width and contact_id_in(cells[1]) is not None:
                self._numbered_rows += 1

    def _is_other_header(self, cells: list[str]) -> bool:
        """Check whether tables were concatenated: the row names an ID column, and does not repeat the header."""
        names = [name.lstrip("\ufeff").strip(' \t"') for name in decoded(cells)]
        return bool(find_ids(names, self._column)) and (self._header is None or not self._header.is_named(names))

    def _other_id(self, cells: list[str]) -> str:
        """Return the other contact ID that a row with cells beyond the named ones may mean; empty if there is none."""
        first, second = cells[self._columns.position : self._columns.position + 2]
        if _GROUP_FIRST.fullmatch(first) and _GROUP_NEXT.fullmatch(second):
            return first.strip() + second.strip()
        if len(cells) == self._columns.width:
            return ""
        return next(iter(self._columns.other_ids(cells)), "").strip()

    def _take_multiline(self, lines: list[str], cells: list[str]) -> None:
        """Count a row that spans several lines, if its lines cannot mean anything else."""
        contact_id = contact_id_in(cells[self._columns.position]) if len(cells) > self._columns.position else None
        other = None if self._multiline else read_otherwise(lines, self._columns, contact_id)
        if other is not None:
            number, other_id = other
            first, last, alone = self._line, self._line + len(lines) - 1, self._line + number
            raise self._tally.error(
                f"lines {first} to {last} can be read in two ways: as one row with {_id(contact_id)} and a field that "
                f"spans several lines, or with line {alone} as a row of its own, with contact ID {other_id}, and a "
                "quote mark as plain text",
                WayOut.MULTILINE,
            )
        self._note_multiline(1, self._line)

    def _note_multiline(self, count: int, first_line: int) -> None:
        self._multiline_records += count
        self._first_multiline_line = self._first_multiline_line or first_line

    def _misread(self, line: str, why: str, *, before: bool = False) -> None:
        text = line.encode("latin-1")
        if self._columns.width > 1 or '"' in line:
            self._tally.misread(self._line, text, why, before=before)
        else:  # the row is the contact ID, and nothing else can break it
            self._tally.reject(self._line, text, why)

    def _open_ended(self, last: bytes) -> int | None:
        if not is_open(last) or self._columns.position != self._columns.width - 1:
            return None
        cell = last.splitlines()[-1].rpartition(self._columns.delimiter.encode())[2].decode("latin-1")
        return contact_id_in(cell) if cell[-1:].isdigit() else None


def _over_several_lines(ends: list[int]) -> list[tuple[int, int, int]]:
    """Find the rows that span several lines.

    Args:
        ends: for each row, the number of lines up to its end.

    Returns:
        For each such row, its number and the positions of its first line and of the line after it.
    """
    starts = [0, *ends]
    return [(number, starts[number], end) for number, end in enumerate(ends) if end - starts[number] > 1]


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _id(contact_id: int | None) -> str:
    return "no contact ID" if contact_id is None else f"contact ID {contact_id}"
