"""How an intake understood its input, so that a person can notice a list that was not read as it was meant."""

from typing import Literal

import msgspec

#: The forms of lists.
FormName = Literal["lines", "csv", "json", "ndjson"]

_DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_FORM_NAMES: dict[FormName, str] = {"lines": "one ID per line", "csv": "CSV", "json": "JSON array", "ndjson": "NDJSON"}
_ENCODING_NAMES = {"utf-8": "UTF-8", "utf-16": "UTF-16", "unknown": "not UTF-8"}


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The layout of a list, as the form that read it found it."""

    form: FormName
    lines: int
    """Lines of the input, the header included; the last one needs no line end."""
    blank_lines: int = 0
    """Lines without any content; always 0 in a JSON array."""
    delimiter: str | None = None
    """What separates the cells of a CSV; None for any other form."""
    column: str | None = None
    """Column of the contact ID, or the key that was asked for; None otherwise."""
    multiline_records: int = 0
    """Records of a CSV with a field that spans several lines."""
    first_multiline_line: int | None = None
    """Line where the first of them begins."""
    open_ended_id: int | None = None
    """The last contact ID, if nothing follows it, not even a line end."""


class IntakeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, as command line, API and page report it."""

    form: FormName
    """What the list looks like."""
    delimiter: str | None
    """What separates the cells of a CSV; null for any other form."""
    column: str | None
    """Column of the contact ID, or the key that was asked for; null otherwise."""
    encoding: str
    """`utf-8`, `utf-16`, or `unknown`: not UTF-8, which does not matter for the IDs."""
    gzip: bool
    """Whether it was compressed."""
    records: int
    """Rows or values in the input: contact IDs, duplicates and invalid ones together."""
    lines: int
    """Lines of the uncompressed input, the header included."""
    blank_lines: int
    """Lines without any content."""
    duplicates: int
    """Contact IDs that had already occurred in the input."""
    invalid: int
    """Values left out; always 0 unless `skip_invalid` was asked for."""
    multiline_records: int
    """Records with a field that spans several lines."""
    first_multiline_line: int | None
    """Line where the first of them begins."""
    perhaps_cut_off: bool
    """The last contact ID is much shorter than the others, and nothing follows it: the list may be half of one."""

    def understood(self) -> str:
        """Return in a few words how the list was read: "CSV, delimiter semicolon, column 'id', UTF-8"."""
        told = [_FORM_NAMES[self.form]]
        if self.delimiter is not None:
            name = _DELIMITER_NAMES.get(self.delimiter, repr(self.delimiter))
            told.append(f"delimiter {name}")
        if self.column is not None:
            kind = "column" if self.form == "csv" else "key"
            told.append(f"{kind} {self.column!r}")
        told.append(_ENCODING_NAMES.get(self.encoding, self.encoding) + (", gzip" if self.gzip else ""))
        return ", ".join(told)

    def counted(self) -> str:
        """Return in a few words how much was in it: "813 lines, 812 records, 1 blank line"."""
        told = [_count(self.lines, "line"), _count(self.records, "record")]
        if self.blank_lines:
            told.append(_count(self.blank_lines, "blank line"))
        return ", ".join(told)

    def doubts(self) -> tuple[str, ...]:
        """Return what a person should check before anything is deleted, one sentence each."""
        told = []
        if self.multiline_records:
            were = "1 record spans" if self.multiline_records == 1 else f"{self.multiline_records:,} records span"
            first = f"line {self.first_multiline_line:,}"
            told.append(f"{were} several lines; the first begins on {first}")
        if self.perhaps_cut_off:
            told.append(
                "the last contact ID is much shorter than the others and has no line end: was the list cut off?"
            )
        return tuple(told)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
