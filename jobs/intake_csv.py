"""Lists that are one column of a CSV file: header, sniffed delimiter, quoted fields."""

import csv
from collections.abc import Iterator
from io import StringIO

from jobs.contact_ids import parse_contact_id
from jobs.intake_lines import MAX_LINE_BYTES, count_line_ends, end_of_lines, too_long
from jobs.intake_tally import Tally, printable
from jobs.intake_values import BLANKS, find_id

#: Tried in this order.
DELIMITERS = (",", ";", "\t", "|")
#: Column names that an error message lists.
_NAMES_TOLD = 20


class CsvForm:
    """The ID column of a CSV file whose first record is a header.

    A row may leave out empty cells at its end, and have too many of them; a row with too many cells that are not empty
    is a bad line: "1,234" in a file of one column is no contact 1. Rows without any content are blank lines.

    Args:
        tally: where the IDs go.
        column: name of the ID column; by default any of the usual names.
        line: number of the first line.
    """

    def __init__(self, tally: Tally, *, column: str | None = None, line: int = 1) -> None:
        self._tally = tally
        self._column = column
        self._line = line
        self._rest = b""
        self._delimiter = ""  # empty until the header has been read
        self._width = 0
        self._position = 0

    def feed(self, block: bytes) -> None:
        """Read the records that are complete."""
        data = self._rest + block
        end = end_of_lines(data)
        self._rest = self._read(data[:end]) + data[end:]
        if len(self._rest) > MAX_LINE_BYTES:
            raise too_long(self._tally, self._line)

    def close(self) -> None:
        """Read the last record, which needs no line end."""
        if self._read(self._rest):
            raise self._tally.error(f"the record in line {self._line} has a quoted field without an end")
        if not self._delimiter:
            raise self._tally.error("there is no header line in the CSV input")

    def _read(self, lines: bytes) -> bytes:
        """Read all records of some whole lines; what comes back is the beginning of a record that goes on."""
        if not self._delimiter:
            lines = self._read_header(lines)
            if not self._delimiter:
                return lines
        if self._read_plain(lines) or self._read_quoted(lines):
            self._line += count_line_ends(lines)
            return b""
        return self._read_records(lines)

    def _read_header(self, lines: bytes) -> bytes:
        text = lines.lstrip(BLANKS)
        self._line += count_line_ends(lines[: len(lines) - len(text)])
        best: tuple[list[str], str, int] | None = None
        cut_off = False
        for delimiter in DELIMITERS:
            records = _Records(text, delimiter)
            cells = next(iter(self._guarded(records)), None)
            if cells is None or records.cut_off:
                cut_off = True
                continue
            names = [cell.encode("latin-1").decode("utf-8", "replace") for cell in cells]
            if best is None or _fits(names, self._column) > _fits(best[0], self._column):
                best = names, delimiter, records.lines_read
        if best is None or (cut_off and not _fits(best[0], self._column)[0]):
            return text
        names, delimiter, line_count = best
        try:
            self._position = find_id(names, self._column, "column")
        except ValueError as error:
            told = ", ".join(f"'{printable(name.encode())}'" for name in names[:_NAMES_TOLD])
            raise self._tally.error(f"line {self._line}: {error}; the columns are {told}") from None
        self._delimiter, self._width = delimiter, len(names)
        self._line += line_count
        return _after_lines(text, line_count)

    def _read_plain(self, lines: bytes) -> bool:
        """Read rows without quotes that all have as many cells as the header: one split for all of them.

        Returns:
            False if the lines are anything else; nothing has been counted.
        """
        rows = lines.replace(b"\r\n", b"\n")
        if not rows or b'"' in rows or b"\r" in rows:
            return False
        if not rows.endswith(b"\n"):
            rows += b"\n"
        delimiter = self._delimiter.encode()
        row_count = rows.count(b"\n")
        # Each line end becomes a cell of its own, so that a row of another width shows as a cell out of place.
        cells = rows.replace(b"\n", delimiter + b"\n" + delimiter).split(delimiter)
        cells.pop()
        step = self._width + 1
        if len(cells) != row_count * step or cells[self._width :: step].count(b"\n") != row_count:
            return False
        return self._tally.add_run(b",".join(cells[self._position :: step]), count=row_count)

    def _read_quoted(self, lines: bytes) -> bool:
        """Read rows with quotes that all have as many cells as the header; like `_read_plain` otherwise."""
        records = _Records(lines, self._delimiter)
        cells = []
        try:
            for row in records:
                if records.cut_off or len(row) != self._width:
                    return False
                cells.append(row[self._position])
        except csv.Error:
            return False
        return self._tally.add_run(",".join(cells).encode("latin-1"), count=len(cells))

    def _read_records(self, lines: bytes) -> bytes:
        """Read rows one by one, with everything that CSV allows."""
        first_line = self._line
        records = _Records(lines, self._delimiter)
        for cells in self._guarded(records):
            if records.cut_off:
                return _after_lines(lines, self._line - first_line)
            self._read_cells(cells)
            self._line = first_line + records.lines_read
        return b""

    def _read_cells(self, cells: list[str]) -> None:
        if len(cells) > self._position and len(cells) <= self._width:
            text = cells[self._position]
            try:
                self._tally.add(parse_contact_id(text))
            except ValueError as error:
                why = str(error)
            else:
                return
        elif len(cells) > self._width and any(cell.strip() for cell in cells[self._width :]):
            text, why = self._delimiter.join(cells), f"{len(cells)} cells under a header of {self._width}"
        elif len(cells) > self._width:
            self._read_cells(cells[: self._width])
            return
        else:
            text, why = self._delimiter.join(cells), "no cell in the ID column"
        if any(cell.strip() for cell in cells):
            self._tally.reject(self._line, text.encode("latin-1"), why)

    def _guarded(self, records: "_Records") -> Iterator[list[str]]:
        try:
            yield from records
        except csv.Error:
            limit = csv.field_size_limit()
            raise self._tally.error(
                f"line {self._line}: a field is longer than {limit} characters; a quote may lack its partner"
            ) from None


class _Records:
    """The records in some whole lines, and whether the last one goes on after them."""

    def __init__(self, lines: bytes, delimiter: str) -> None:
        # Latin-1 maps every byte to one character and back: columns that are not ours may be in any encoding.
        self._lines = StringIO(lines.decode("latin-1"), newline="")
        self._reader = csv.reader(self._pull(), delimiter=delimiter, skipinitialspace=True)
        self.cut_off = False  #: the record that has just been read stopped within a quoted field.

    @property
    def lines_read(self) -> int:
        """Lines up to the end of the record that has just been read."""
        return self._reader.line_num

    def __iter__(self) -> Iterator[list[str]]:
        return self._reader

    def _pull(self) -> Iterator[str]:
        yield from self._lines
        # The reader asks for one more line either between records or within a quoted field; only in the latter case a
        # record follows.
        self.cut_off = True


def looks_like_csv(line: bytes, column: str | None) -> bool:
    """Tell whether a list that begins with this line is a CSV: it names an ID column, or at least only words."""
    if b'"' in line:
        return True
    for delimiter in DELIMITERS:
        names = line.decode("utf-8", "replace").split(delimiter)
        if _fits(names, column)[0] or (len(names) > 1 and not any(name.strip().isdigit() for name in names)):
            return True
    return False


def _fits(names: list[str], column: str | None) -> tuple[bool, int]:
    try:
        find_id(names, column, "column")
    except ValueError as error:
        return str(error).startswith("more"), len(names)
    return True, len(names)


def _after_lines(data: bytes, line_count: int) -> bytes:
    return b"".join(data.splitlines(keepends=True)[line_count:])
