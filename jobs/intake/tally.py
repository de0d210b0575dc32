"""What an intake adds up to: the set of IDs, the counts, the first bad lines, and the error that reports them."""

from array import array
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import msgspec
from pyroaring import BitMap

from config.errors import CrmSweepError
from jobs.intake.report import IntakeReport, Layout
from jobs.words.contact_ids import MAX_CONTACT_ID, MIN_CONTACT_ID

#: How many bad lines are reported in full; the others are only counted.
BAD_LINES_TOLD = 10
#: How many characters of a bad line are reported.
BAD_TEXT_CHARS = 80

#: Forms with one value per line, and what such lines contain if they should have been read as CSV.
_BY_LINE, _BETWEEN_CELLS = ("lines", "ndjson"), (",", ";", "\t", "|")

# A list of JSON integers is the exact grammar of a run of IDs: no sign, underscore, fraction, exponent or digit of
# another script is accepted, the range is checked in the same pass, and it takes half the time of int() on each.
_ID_LIST = msgspec.json.Decoder(list[Annotated[int, msgspec.Meta(ge=MIN_CONTACT_ID, le=MAX_CONTACT_ID)]])


@dataclass(frozen=True, slots=True)
class BadLine:
    """Something in the input that is not a contact ID."""

    line: int  #: 1-based; the first line of a record or value that spans several.
    text: str  #: the offending text, printable, at most 80 characters.
    why: str  #: a few words.


@dataclass(frozen=True, slots=True)
class Intake:
    """A list of contact IDs, read to its end."""

    ids: BitMap
    report: IntakeReport

    @property
    def read(self) -> int:
        """Values in the input: `len(ids)`, plus duplicates and invalid values."""
        return self.report.records

    @property
    def duplicates(self) -> int:
        """Valid values that had already occurred in the input."""
        return self.report.duplicates

    @property
    def invalid(self) -> int:
        """Values left out; always 0 unless invalid ones are skipped."""
        return self.report.invalid


class WayOut(StrEnum):
    """What the sender of a refused list can do to have it read; command line, API and page each name it differently."""

    COLUMN = "column"
    """Name the column or key of the contact ID."""
    HEADER = "header"
    """Put a header line before the rows of a CSV."""
    MULTILINE = "multiline"
    """Allow fields that span several lines."""
    SKIP_INVALID = "skip_invalid"
    """Leave out what is not a contact ID."""


class IntakeError(CrmSweepError):
    """The input is not a list of contact IDs. Nothing of it may be used.

    Its `str()` is for the terminal: what is wrong, then one indented line per reported bad line.

    Args:
        message: what is wrong, without a full stop.
        bad_lines: the first bad lines.
        total_bad: how many there are.
        way_out: what would help besides another list, if anything does.
    """

    def __init__(
        self,
        message: str,
        bad_lines: tuple[BadLine, ...] = (),
        total_bad: int = 0,
        way_out: WayOut | None = None,
    ) -> None:
        super().__init__(message, bad_lines, total_bad, way_out)
        self.message = message
        self.bad_lines = bad_lines
        self.total_bad = total_bad
        self.way_out = way_out

    def __str__(self) -> str:
        told = [f'  line {bad.line}: "{bad.text}": {bad.why}' for bad in self.bad_lines]
        more = self.total_bad - len(self.bad_lines)
        return "\n".join([self.message, *told, *([f"  and {more} more"] if more else [])])


class ListEmpty(IntakeError):
    """The list is empty, or contains only invalid values."""


class ListTooLarge(IntakeError):
    """The uncompressed list is larger than allowed."""


class ListDamaged(IntakeError):
    """The list is compressed or encoded, and cannot be decompressed or decoded."""


class Tally:
    """Collects IDs and bad lines while a list is read; the same for every form of list."""

    def __init__(self, *, skip_invalid: bool) -> None:
        self._skip_invalid = skip_invalid
        self._ids = BitMap()
        self._valid = 0
        self._invalid = 0
        self._bad_lines: list[BadLine] = []
        self._misread = 0
        self._valid_before_misread = 0
        self._nameless = 0

    def add(self, contact_id: int) -> None:
        """Count one valid ID."""
        self._ids.add(contact_id)
        self._valid += 1

    def add_all(self, contact_ids: list[int]) -> None:
        """Count many valid IDs."""
        self._ids.update(array("I", contact_ids))
        self._valid += len(contact_ids)

    def add_run(self, numbers: bytes, *, count: int | None = None) -> bool:
        """Count many IDs together, or none of them.

        Args:
            numbers: IDs separated by commas, as inside a JSON array; blanks and line ends around an ID are ignored.
            count: how many there must be, where a stray comma would otherwise pass for two IDs.

        Returns:
            False if the bytes are anything else, or contain no ID: nothing was counted, and they need a closer look.
        """
        try:
            values = _ID_LIST.decode(b"[%b]" % numbers)
        except msgspec.DecodeError:
            return False
        if not values or (count is not None and len(values) != count):
            return False
        self.add_all(values)
        return True

    def reject(self, line: int, text: bytes, why: str, *, nameless: bool = False) -> None:
        """Count one value that is not a contact ID; `nameless` if it is an object without a key for one."""
        self._invalid += 1
        self._nameless += nameless
        if len(self._bad_lines) < BAD_LINES_TOLD:
            self._bad_lines.append(BadLine(line, printable(text), why))

    def misread(self, line: int, text: bytes, why: str, *, before: bool = False) -> None:
        """Count one line that is not a proper row, so that the rows after it may be the rest of it.

        Such a line can be left out only if no contact ID follows: what follows might be part of an address.

        Args:
            line: 1-based; the first line of a row that spans several.
            text: the text of that line.
            why: a few words.
            before: whether it casts doubt on the rows before it as well.
        """
        if not self._misread or before:
            self._valid_before_misread = -1 if before else self._valid
        self._misread += 1
        self.reject(line, text, why)

    def error(self, message: str, way_out: WayOut | None = None) -> IntakeError:
        """Return the error for an input that cannot be read any further, with the bad lines so far."""
        return IntakeError(message, tuple(self._bad_lines), self._invalid, way_out)

    def finish(self, layout: Layout, *, encoding: str = "utf-8", gzip: bool = False) -> Intake:
        """Return the complete list and its report.

        Args:
            layout: how the list was laid out.
            encoding: encoding of the input, see `IntakeReport`.
            gzip: whether it was compressed.

        Raises:
            IntakeError: there was no ID, or there were invalid values and they are not to be skipped.
        """
        followed = self._misread > 0 and self._valid > self._valid_before_misread
        if followed and self._skip_invalid:
            raise self.error(
                "a broken row cannot be left out if contact IDs follow it: they might be the rest of that row"
            )
        if self._invalid and not self._skip_invalid:
            raise self.error(self._bad_in_words(layout, followed=followed), self._way_out(layout, followed=followed))
        if not self._valid:
            what = "there are no contact IDs in the input" + (", only invalid values" * bool(self._invalid))
            raise ListEmpty(what, tuple(self._bad_lines), self._invalid, self._way_out(layout, followed=False))
        return Intake(
            ids=self._ids,
            report=IntakeReport(
                form=layout.form,
                delimiter=layout.delimiter,
                column=layout.column,
                encoding=encoding,
                gzip=gzip,
                records=self._valid + self._invalid,
                lines=layout.lines,
                blank_lines=layout.blank_lines,
                duplicates=self._valid - len(self._ids),
                invalid=self._invalid,
                multiline_records=layout.multiline_records,
                first_multiline_line=layout.first_multiline_line,
                perhaps_cut_off=self._is_much_shorter(layout.open_ended_id),
            ),
        )

    @property
    def records(self) -> int:
        """Rows or values so far, valid and invalid."""
        return self._valid + self._invalid

    def _way_out(self, layout: Layout, *, followed: bool) -> WayOut | None:
        if self._valid:
            return None if followed else WayOut.SKIP_INVALID
        if self._nameless:
            return WayOut.COLUMN
        # None of it is valid: leaving out everything would not help.
        delimited = any(mark in bad.text for bad in self._bad_lines for mark in _BETWEEN_CELLS)
        return WayOut.HEADER if layout.form in _BY_LINE and delimited else None

    def _bad_in_words(self, layout: Layout, *, followed: bool) -> str:
        if self._misread:
            what = "1 line is not a row" if self._invalid == 1 else f"{self._invalid} lines are not rows"
            return f"{what} with a contact ID" + ("" if followed else "; was the list cut off?")
        what = "1 value is not a contact ID" if self._invalid == 1 else f"{self._invalid} values are not contact IDs"
        read_as = "" if self._valid or layout.form not in _BY_LINE else "; the list was read as one contact ID per line"
        return f"{what} (whole numbers from {MIN_CONTACT_ID} to {MAX_CONTACT_ID}){read_as}"

    def _is_much_shorter(self, last: int | None) -> bool:
        """Check whether the last ID has at least two digits fewer than nine tenths of all, as half an ID would."""
        if last is None or len(self._ids) < 2:
            return False
        usual: int = self._ids[len(self._ids) // 10 + 1]
        return len(str(last)) <= len(str(usual)) - 2


def printable(raw: bytes) -> str:
    """Turn input bytes into at most 80 characters that are safe on a terminal; a longer text ends in an ellipsis."""
    text = raw[: 4 * BAD_TEXT_CHARS + 4].decode("utf-8", "backslashreplace").strip(" \t\r\n")
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return safe if len(safe) <= BAD_TEXT_CHARS else safe[: BAD_TEXT_CHARS - 1] + "…"
