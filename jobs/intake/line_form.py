"""Lists with one ID per line, bare or as NDJSON objects; and what all forms share about lines."""

from typing import Protocol

from jobs.intake.report import Layout
from jobs.intake.tally import IntakeError, Tally
from jobs.intake.values import BLANKS, NoName, ObjectLines, parse_json_value
from jobs.words.contact_ids import parse_contact_id

#: A longer line, record or JSON value ends the intake: it is not a list of IDs, and must not pile up in memory.
MAX_LINE_BYTES = 1 << 20


class Form(Protocol):
    """One form of list, read in blocks of plain text that can end anywhere."""

    def feed(self, block: bytes) -> None:
        """Read the next block; raise IntakeError if the input cannot be read any further."""

    def close(self) -> Layout:
        """Read what is left, and return how the list was laid out; raise IntakeError if the input ends too early."""


class LineForm:
    """One ID per line. A line can also be an object with a key for the ID, unless `objects` is false.

    Args:
        tally: where the IDs go.
        column: the key of the ID in objects; by default any of the usual names.
        objects: whether to read a line that begins with a brace as a JSON object.
        line: number of the first line.
    """

    def __init__(self, tally: Tally, *, column: str | None = None, objects: bool = True, line: int = 1) -> None:
        self._tally = tally
        self._column = column
        self._objects = ObjectLines(column) if objects else None
        self._line = line
        self._has_objects = False
        self._rest = b""

    def feed(self, block: bytes) -> None:
        """Read the lines that are complete."""
        data = self._rest + block
        end = end_of_lines(data)
        self._rest = data[end:]
        self._read(data[:end])
        if len(self._rest) > MAX_LINE_BYTES:
            raise too_long(self._tally, self._line)

    def close(self) -> Layout:
        """Read the last line, which needs no line end."""
        last, self._rest = self._rest, b""
        self._read(last)
        line_count = self._line - 1 + is_open(last)
        return Layout(
            form="ndjson" if self._has_objects else "lines",
            lines=line_count,
            blank_lines=line_count - self._tally.records,
            column=self._column if self._has_objects else None,
            open_ended_id=open_ended(last),
        )

    def _read(self, lines: bytes) -> None:
        numbers = lines.rstrip(BLANKS).replace(b"\r\n", b"\n").replace(b"\n", b",")
        if b"," not in lines and self._tally.add_run(numbers):
            self._line += count_line_ends(lines)
            return
        if self._objects is not None and (ids := self._objects.parse(lines)) is not None:
            self._has_objects = True
            self._tally.add_all(ids)
            self._line += count_line_ends(lines)
            return
        for line in lines.splitlines(keepends=True):
            self._read_line(line)
            self._line += count_line_ends(line)

    def _read_line(self, line: bytes) -> None:
        text = line.strip(BLANKS)
        if not text:
            return
        if len(text) > MAX_LINE_BYTES:
            raise too_long(self._tally, self._line)
        try:
            if self._objects is not None and text.startswith(b"{"):
                self._has_objects = True
                contact_id = parse_json_value(text, self._column)
            else:
                contact_id = parse_contact_id(text.decode("utf-8", "replace"))
        except ValueError as error:
            # A value that spans several lines is torn here: the lines after it may be a part of it.
            is_torn = b'"' in text if not text.startswith(b"{") else str(error) == "not valid JSON"
            if is_torn:
                self._tally.misread(self._line, text, str(error))
            else:
                self._tally.reject(self._line, text, str(error), nameless=isinstance(error, NoName))
        else:
            self._tally.add(contact_id)


def is_open(last: bytes) -> bool:
    """Check whether the last line has some text and no line end."""
    return bool(last) and not last.endswith((b"\n", b"\r"))


def open_ended(last: bytes) -> int | None:
    """Return the contact ID that the last line consists of if nothing follows it, since it may be half of one."""
    try:
        return parse_contact_id(last.decode("ascii")) if last[-1:].isdigit() else None
    except ValueError:
        return None


def end_of_lines(data: bytes) -> int:
    r"""Return where the last complete line ends, or 0; a final \r may be half of a line end and does not count."""
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, max(len(data) - 1, 0))) + 1


def count_line_ends(data: bytes) -> int:
    r"""Count line ends: \n, \r\n or \r."""
    if b"\r" not in data:
        return data.count(b"\n")
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


def too_long(tally: Tally, line: int) -> IntakeError:
    """Return the error for a line, record or value that is too long."""
    return tally.error(f"line {line} is longer than {MAX_LINE_BYTES >> 10} KiB: this is not a list of contact IDs")
