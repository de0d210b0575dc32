"""What an intake adds up to: the set of IDs, the counts, the first bad lines, and the error that tells about them."""

from array import array
from dataclasses import dataclass
from typing import Annotated

import msgspec
from pyroaring import BitMap

from jobs.contact_ids import MAX_CONTACT_ID, MIN_CONTACT_ID

#: So many bad lines are told in full; the others are only counted.
BAD_LINES_TOLD = 10
#: Characters of a bad line that are told.
BAD_TEXT_CHARS = 80

# A list of JSON integers is the exact grammar of a run of IDs: it takes no sign, underscore, fraction, exponent or
# digit of another script, it checks the range in the same pass, and it is decoded twice as fast as int() on each.
_ID_LIST = msgspec.json.Decoder(list[Annotated[int, msgspec.Meta(ge=MIN_CONTACT_ID, le=MAX_CONTACT_ID)]])


@dataclass(frozen=True, slots=True)
class BadLine:
    """Something in the input that is not a contact ID."""

    line: int  #: 1-based; of a record or value over several lines, the first.
    text: str  #: the offending text, printable, at most 80 characters.
    why: str  #: a few words.


@dataclass(frozen=True, slots=True)
class Intake:
    """A list of contact IDs, read to its end."""

    ids: BitMap
    read: int  #: values in the input: len(ids) + duplicates + invalid.
    duplicates: int  #: valid values that had been there before.
    invalid: int  #: values dropped; always 0 unless invalid ones are skipped.


class IntakeError(Exception):
    """The input is not a list of contact IDs. Nothing of it may be used.

    `str()` of it is for the terminal: what is wrong, then one indented line per bad line told.
    """

    def __init__(self, message: str, bad_lines: tuple[BadLine, ...] = (), total_bad: int = 0) -> None:
        super().__init__(message, bad_lines, total_bad)
        self.message = message
        self.bad_lines = bad_lines
        self.total_bad = total_bad

    def __str__(self) -> str:
        told = [f'  line {bad.line}: "{bad.text}": {bad.why}' for bad in self.bad_lines]
        more = self.total_bad - len(self.bad_lines)
        return "\n".join([self.message, *told, *([f"  and {more} more"] if more else [])])


class Tally:
    """Collects IDs and bad lines while a list is read; the same for every form of list."""

    def __init__(self, *, skip_invalid: bool) -> None:
        self._skip_invalid = skip_invalid
        self._ids = BitMap()
        self._valid = 0
        self._invalid = 0
        self._bad_lines: list[BadLine] = []

    def add(self, contact_id: int) -> None:
        """Count one valid ID."""
        self._ids.add(contact_id)
        self._valid += 1

    def add_all(self, contact_ids: list[int]) -> None:
        """Count many valid IDs."""
        self._ids.update(array("I", contact_ids))
        self._valid += len(contact_ids)

    def add_run(self, numbers: bytes, *, count: int | None = None) -> bool:
        """Count many IDs at once, or none of them.

        Args:
            numbers: IDs separated by commas, as inside a JSON array; blanks and line ends around an ID are ignored.
            count: how many there must be, where a stray comma would otherwise pass for two IDs.

        Returns:
            False if that is not what the bytes are (or they hold no ID): nothing has been counted, look closer.
        """
        try:
            values = _ID_LIST.decode(b"[%b]" % numbers)
        except msgspec.DecodeError:
            return False
        if not values or (count is not None and len(values) != count):
            return False
        self.add_all(values)
        return True

    def reject(self, line: int, text: bytes, why: str) -> None:
        """Count one value that is not a contact ID."""
        self._invalid += 1
        if len(self._bad_lines) < BAD_LINES_TOLD:
            self._bad_lines.append(BadLine(line, printable(text), why))

    def error(self, message: str) -> IntakeError:
        """Return the error for an input that cannot be read on, with the bad lines so far."""
        return IntakeError(message, tuple(self._bad_lines), self._invalid)

    def finish(self) -> Intake:
        """Return the whole.

        Raises:
            IntakeError: there was no ID, or there were invalid values and they are not to be skipped.
        """
        if self._invalid and not self._skip_invalid:
            what = "1 value is no contact ID" if self._invalid == 1 else f"{self._invalid} values are no contact IDs"
            raise self.error(f"{what} (whole numbers from {MIN_CONTACT_ID} to {MAX_CONTACT_ID})")
        if not self._valid:
            raise self.error("there are no contact IDs in the input" + (", only invalid values" * bool(self._invalid)))
        return Intake(
            ids=self._ids,
            read=self._valid + self._invalid,
            duplicates=self._valid - len(self._ids),
            invalid=self._invalid,
        )


def printable(raw: bytes) -> str:
    """Turn input bytes into at most 80 characters that no terminal acts on; a longer text ends in an ellipsis."""
    text = raw[: 4 * BAD_TEXT_CHARS + 4].decode("utf-8", "backslashreplace").strip(" \t\r\n")
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return safe if len(safe) <= BAD_TEXT_CHARS else safe[: BAD_TEXT_CHARS - 1] + "…"
