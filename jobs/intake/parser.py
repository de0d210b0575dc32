"""Reads a list of contact IDs in any form into a set: from a file, a pipe or a request body as it arrives.

Ten million IDs are never in memory one by one: text is parsed in blocks straight into a compressed set. A list is
accepted as a whole or not at all.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal

from jobs.intake.csv_form import CsvForm
from jobs.intake.csv_header import looks_like_csv
from jobs.intake.foreign import HEAD_BYTES, foreign
from jobs.intake.json_form import JsonForm
from jobs.intake.line_form import MAX_LINE_BYTES, Form, LineForm, count_line_ends, end_of_lines, too_long
from jobs.intake.report import FormName, Layout
from jobs.intake.tally import Intake, IntakeError, ListDamaged, ListTooLarge, Tally
from jobs.intake.unpacking import PackingError, PlainText, TooMuchText
from jobs.intake.values import BLANKS

WantedForm = Literal["auto"] | FormName

#: Text parsed at a time: about 10 ms of work. Measured from 256 KiB to 4 MiB: much the same speed, more memory.
BLOCK_BYTES = 512 << 10


class IntakeParser:
    """Takes a list of contact IDs in chunks that can end anywhere; the result never depends on where.

    Gzip and a byte order mark are recognised automatically. The forms:

    - "lines": one ID per line; blank lines, blanks around an ID and leading zeros do not matter.
    - "ndjson": the same, and a line can be an object with a key `id`, `contact_id` or `contactid` in any case.
    - "csv": a header, then rows; the ID column has one of these names. The delimiter is a comma, a semicolon, a tab or
      a bar, or the one that a first line such as `sep=;` names.
    - "json": one array of integers, or of objects as above.
    - "auto": recognised by the first line.

    Args:
        column: name of the ID column or key, instead of the usual names.
        skip_invalid: drop and count values that are not contact IDs, instead of refusing the list.
        multiline: fields of a CSV can span several lines, even if one of these could be a row of its own.
        form: what the list looks like.
        most_bytes: how large the uncompressed list may be; None for no limit.
    """

    def __init__(
        self,
        *,
        column: str | None = None,
        skip_invalid: bool = False,
        multiline: bool = False,
        form: WantedForm = "auto",
        most_bytes: int | None = None,
    ) -> None:
        self._tally = Tally(skip_invalid=skip_invalid)
        self._plain = PlainText(most_bytes)
        self._form = _form(form, self._tally, _Wanted(column, multiline))
        self._looked_at_head = False
        self._block = bytearray()
        self._error: IntakeError | None = None
        self._closed = False

    def feed(self, chunk: bytes) -> None:
        """Read the next chunk.

        Args:
            chunk: the next bytes of the input, any number of them.

        Raises:
            IntakeError: the list cannot be read any further. Every later call raises it again.
        """
        with self._all_or_nothing():
            # Chunks of any size become blocks of one size: small ones parse as fast, large ones take no more memory.
            for start in range(0, len(chunk), BLOCK_BYTES):
                for text in self._plain.feed(chunk[start : start + BLOCK_BYTES]):
                    self._take(text)

    def close(self) -> Intake:
        """End the input and return the list.

        Raises:
            IntakeError: it was not a list of contact IDs, was not complete, or contained none.
        """
        with self._all_or_nothing():
            self._closed = True
            for text in self._plain.close():
                self._take(text)
            self._look_at_head()
            self._form.feed(bytes(self._block))
            layout = self._form.close()
            return self._tally.finish(layout, encoding=self._plain.encoding, gzip=self._plain.gzip)

    def _take(self, text: bytes) -> None:
        if len(text) == BLOCK_BYTES and not self._block and self._looked_at_head:
            self._form.feed(text)  # the usual case for a file: nothing to gather, nothing to copy
            return
        self._block += text
        if not self._looked_at_head:
            if len(self._block) < HEAD_BYTES:
                return
            self._look_at_head()
        while len(self._block) >= BLOCK_BYTES:
            self._form.feed(bytes(self._block[:BLOCK_BYTES]))
            del self._block[:BLOCK_BYTES]

    def _look_at_head(self) -> None:
        if not self._looked_at_head and (what := foreign(bytes(self._block[:HEAD_BYTES]))):
            raise self._tally.error(what)
        self._looked_at_head = True

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        if self._error is not None:
            raise self._error
        if self._closed:
            raise ValueError("the intake is closed")
        try:
            yield
        except IntakeError as error:
            self._error = error
            raise
        except TooMuchText as error:
            self._error = ListTooLarge(str(error))
            raise self._error from None
        except PackingError as error:
            self._error = ListDamaged(str(error))
            raise self._error from None


def read_contact_ids(
    source: BinaryIO,
    *,
    column: str | None = None,
    skip_invalid: bool = False,
    multiline: bool = False,
    form: WantedForm = "auto",
    on_progress: Callable[[int], None] | None = None,
) -> Intake:
    """Read a list of contact IDs from a file or pipe to its end.

    Args:
        source: opened in binary mode; plain or gzip.
        column: name of the ID column or key, instead of the usual names.
        skip_invalid: drop and count values that are not contact IDs, instead of refusing the list.
        multiline: fields of a CSV can span several lines, even if one of these could be a row of its own.
        form: what the list looks like, see `IntakeParser`.
        on_progress: called now and then with the number of bytes read from the source so far, compressed if it is.

    Raises:
        IntakeError: it is not a list of contact IDs, is not complete, or contains none.
        OSError: the source could not be read.
    """
    parser = IntakeParser(column=column, skip_invalid=skip_invalid, multiline=multiline, form=form)
    bytes_read = 0
    while chunk := source.read(BLOCK_BYTES):
        parser.feed(chunk)
        bytes_read += len(chunk)
        if on_progress is not None:
            on_progress(bytes_read)
    return parser.close()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the sender said about a list."""

    column: str | None
    multiline: bool


def _form(name: WantedForm, tally: Tally, wanted: _Wanted, line: int = 1) -> Form:
    match name:
        case "auto":
            return _AutoForm(tally, wanted)
        case "csv":
            return CsvForm(tally, column=wanted.column, multiline=wanted.multiline, line=line)
        case "json":
            return JsonForm(tally, column=wanted.column, line=line)
        case "lines" | "ndjson":
            return LineForm(tally, column=wanted.column, objects=name == "ndjson", line=line)


class _AutoForm:
    """Looks at the first line that is not blank, then leaves the reading to the form that it indicates."""

    def __init__(self, tally: Tally, wanted: _Wanted) -> None:
        self._tally = tally
        self._wanted = wanted
        self._form: Form | None = None
        self._line = 1
        self._rest = b""

    def feed(self, block: bytes) -> None:
        if self._form is None:
            block = self._rest + block
            text = block.lstrip(BLANKS)
            end = end_of_lines(block[: len(block) - len(text)])
            self._line += count_line_ends(block[:end])
            self._rest = block[end:]
            if end_of_lines(text) or text.startswith(b"["):
                self._choose()
            elif len(self._rest) > MAX_LINE_BYTES:
                raise too_long(self._tally, self._line)
        else:
            self._form.feed(block)

    def close(self) -> Layout:
        return (self._form or self._choose()).close()

    def _choose(self) -> Form:
        first_line = self._rest.lstrip(BLANKS).replace(b"\r", b"\n").partition(b"\n")[0]
        column = self._wanted.column
        name: FormName
        if first_line.startswith(b"{") and first_line.rstrip(BLANKS).endswith((b"{", b"[", b",", b":")):
            raise self._tally.error(
                f"line {self._line}: a JSON object spans several lines; send only an array, or one object per line"
            )
        if first_line.startswith(b"["):
            name = "json"
        elif first_line.startswith(b"{"):
            name = "ndjson"
        elif first_line and (column is not None or looks_like_csv(first_line, column)):
            name = "csv"
        else:
            name = "ndjson"
        self._form = form = _form(name, self._tally, self._wanted, self._line)
        form.feed(self._rest)
        self._rest = b""
        return form
