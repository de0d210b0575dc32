"""Lists that are one JSON array of integers, or of objects with a key for the ID."""

import re

from jobs.intake.line_form import MAX_LINE_BYTES, count_line_ends, too_long
from jobs.intake.report import Layout
from jobs.intake.tally import Tally
from jobs.intake.values import BLANKS, NoName, parse_json_value

# Possessive, so that an unterminated string costs one pass and no backtracking.
_MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[][{},"]', re.DOTALL)


class JsonForm:
    """A JSON array, read value by value: only the value at the end of a block is ever held back.

    Commas and brackets must be right; what is between them is checked value by value.

    Args:
        tally: where the IDs go.
        column: the key of the ID in objects; by default any of the usual names.
        line: number of the first line.
    """

    def __init__(self, tally: Tally, *, column: str | None = None, line: int = 1) -> None:
        self._tally = tally
        self._column = column
        self._line = line
        self._rest = b""
        self._open = False
        self._closed = False
        self._empty = True
        self._has_objects = False
        self._last_byte = b""

    def feed(self, block: bytes) -> None:
        """Read the values that are complete."""
        data = self._rest + block
        self._last_byte = block[-1:] or self._last_byte
        if not self._open:
            data = self._skip_blanks(data)
            if not data:
                return
            if not data.startswith(b"["):
                raise self._tally.error(f"line {self._line}: a JSON array begins with a square bracket")
            self._open = True
            data = data[1:]
        if self._closed:
            self._end(data)
        else:
            self._read(data)
            if len(self._rest) > MAX_LINE_BYTES:
                raise too_long(self._tally, self._line)

    def close(self) -> Layout:
        """Check that the array has ended."""
        if not self._closed:
            line = self._line + count_line_ends(self._rest)
            raise self._tally.error(f"line {line}: the JSON array is cut off before its end")
        has_column = self._has_objects and self._column is not None
        line_count = self._line - (self._last_byte == b"\n")
        return Layout(form="json", lines=line_count, column=self._column if has_column else None)

    def _read(self, data: bytes) -> None:
        start = data.rfind(b",") + 1
        if start and self._tally.add_run(data[: start - 1]):
            self._line += count_line_ends(data[:start])
            self._empty = False
        else:
            start = 0
        while (end := _end_of_value(data, start)) is not None:
            last = data[end : end + 1] == b"]"
            self._read_value(data[start:end], last=last)
            start = end + 1
            if last:
                self._closed = True
                self._end(data[start:])
                return
        self._rest = data[start:]

    def _read_value(self, raw: bytes, *, last: bool) -> None:
        text = raw.strip(BLANKS)
        before = raw.find(text) if text else 0
        line = self._line + count_line_ends(raw[:before])
        self._line += count_line_ends(raw)
        if not text:
            if last and self._empty:
                return
            raise self._tally.error(f"line {line}: a value is missing in the JSON array")
        self._empty = False
        self._has_objects = self._has_objects or text.startswith(b"{")
        try:
            contact_id = parse_json_value(text, self._column)
        except ValueError as error:
            if str(error) == "not valid JSON":  # its end is not known: what follows may be a part of it
                self._tally.misread(line, text, str(error))
            else:
                self._tally.reject(line, text, str(error), nameless=isinstance(error, NoName))
        else:
            self._tally.add(contact_id)

    def _end(self, data: bytes) -> None:
        if self._skip_blanks(data):
            raise self._tally.error(f"line {self._line}: something follows the end of the JSON array")

    def _skip_blanks(self, data: bytes) -> bytes:
        text = data.lstrip(BLANKS)
        # The other half of a line end may come with the next block.
        self._rest = b"\r" if not text and data.endswith(b"\r") else b""
        self._line += count_line_ends(data[: len(data) - len(text) - len(self._rest)])
        return text


def _end_of_value(data: bytes, start: int) -> int | None:
    """Find the comma or bracket that ends the value beginning at `start`; None if the data stops before it."""
    depth = 0
    for mark in _MARK.finditer(data, start):
        match mark[0]:
            case b"[" | b"{":
                depth += 1
            case b"," | b"]" if depth == 0:
                return mark.start()
            case b"]" | b"}":
                depth = max(depth - 1, 0)
            case b'"':
                return None
            case _:
                pass
    return None
