"""Reading a ledger back from a CSV file, plain or gzip, strictly: what is hashed has to be what was signed."""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BufferedReader
from itertools import pairwise
from operator import lt
from typing import IO, cast

from jobs.ledger.rows import COLUMNS
from jobs.receipts.errors import Mismatch
from jobs.words.outcomes import Outcome

_HEADER = ",".join(COLUMNS).encode()
_GZIP_MAGIC = b"\x1f\x8b"
#: Bytes read at a time, some twenty thousand lines.
_PIECE_BYTES = 1 << 20
#: No line of a ledger is longer than this.
_MOST_LINE_BYTES = 200

_LINE = re.compile(
    rb"[1-9][0-9]{0,9},(%s),[a-z_]*,[0-9]{0,3},[0-9]{1,3},([0-9TZ:.-]{24})?" % "|".join(Outcome).encode()
)
_OUTCOMES = {outcome.encode(): outcome for outcome in Outcome}


class LedgerFile:
    """The lines of a ledger, and their outcomes as far as they have been read.

    The line end of the header, a line feed with or without a carriage return before it, is that of the whole file, and
    no part of any line. The last line has one too: a file without it may have been cut off.

    Args:
        source: the file, opened for reading.
    """

    def __init__(self, source: BufferedReader) -> None:
        self._source = source
        self._outcomes: Counter[bytes] = Counter()
        self.read_bytes = 0

    @property
    def counts(self) -> dict[Outcome, int]:
        """Lines read so far, by outcome."""
        return {outcome: self._outcomes[word] for word, outcome in _OUTCOMES.items()}

    def pieces(self) -> Iterator[list[bytes]]:
        """Yield all lines after the header, some at a time, without their line ends.

        Raises:
            Mismatch: the file is damaged or incomplete, or a line cannot be one of a ledger; it says which line.
            OSError: it cannot be read.
        """
        rest, line_end, number, last_id = b"", b"", 1, 0
        for data in self._plain():
            self.read_bytes += len(data)
            rest += data
            if not line_end:
                line_end = _line_end(rest)
                if not line_end:
                    continue
                rest, number = rest[len(_HEADER) + len(line_end) :], 2
            *lines, rest = rest.split(line_end)
            if len(rest) > _MOST_LINE_BYTES:
                raise Mismatch(f"line {number + len(lines)}", "it is too long for a line of a ledger")
            if lines:
                last_id = self._check(lines, number, last_id)
                yield lines
                number += len(lines)
        if rest or not line_end:
            raise Mismatch(f"line {number}", "it has no line end: the file may have been cut off")

    def _plain(self) -> Iterator[bytes]:
        packed = self._source.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
        file = cast("IO[bytes]", gzip.GzipFile(fileobj=self._source)) if packed else self._source
        try:
            while data := file.read(_PIECE_BYTES):
                yield data
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Mismatch("ledger", f"the gzip file is damaged or was cut off ({error})") from None

    def _check(self, lines: Sequence[bytes], number: int, last_id: int) -> int:
        """Check lines and count their outcomes; return the last contact ID."""
        width = len(COLUMNS)
        if {line.count(b",") for line in lines} != {width - 1}:
            raise _first_wrong(lines, number)
        cells = b",".join(lines).split(b",")  # of all lines in one list: a list per line would take three times as long
        counts = Counter(cells[1::width])
        try:
            numbers = [last_id, *map(int, cells[::width])]
        except ValueError:
            raise _first_wrong(lines, number) from None
        if not counts.keys() <= _OUTCOMES.keys():
            raise _first_wrong(lines, number)
        if not all(map(lt, numbers, numbers[1:])):
            at, before, after = next((at, *pair) for at, pair in enumerate(pairwise(numbers)) if pair[0] >= pair[1])
            why = f"contact {after} comes twice" if before == after else f"contact {after} comes after {before}"
            raise Mismatch(f"line {number + at}", why)
        self._outcomes.update(counts)
        return numbers[-1]


def is_line(text: str) -> bool:
    """Check whether a text can be a line of a ledger."""
    return text.isascii() and _LINE.fullmatch(text.encode()) is not None


def _line_end(start: bytes) -> bytes:
    """Return the line end of the header; nothing if the header has not been read to its end."""
    for line_end in (b"\n", b"\r\n"):
        if start.startswith(_HEADER + line_end):
            return line_end
    if b"\n" in start or len(start) > _MOST_LINE_BYTES:
        raise Mismatch("line 1", f"it is not the header of a ledger, {_HEADER.decode()}")
    return b""


def _first_wrong(lines: Sequence[bytes], number: int) -> Mismatch:
    wrong = next(at for at, line in enumerate(lines) if not _LINE.fullmatch(line))
    return Mismatch(f"line {number + wrong}", "it is not a line of a ledger")
