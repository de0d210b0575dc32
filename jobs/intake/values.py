"""JSON values that are contact IDs, and the names of columns and keys that hold them."""

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from jobs.words.contact_ids import MAX_CONTACT_ID, MIN_CONTACT_ID, check_range

#: Names of columns or keys that hold contact IDs, in any case.
ID_NAMES = ("id", "contact_id", "contactid")


def usual_names() -> str:
    """Return the usual names as text for messages."""
    return f"{', '.join(ID_NAMES[:-1])} or {ID_NAMES[-1]}"


#: Blanks and line ends, the same as in JSON.
BLANKS = b" \t\r\n"

# Objects are decoded to lists of pairs: a key that occurs twice must be noticed, not win silently.
_VALUE = json.JSONDecoder(object_pairs_hook=list, strict=False)


class NoName(ValueError):
    """No column or key is named as the one with the contact ID."""


def find_id(names: Sequence[str], column: str | None, kind: str) -> int:
    """Find the one name that holds the contact ID.

    Args:
        names: the names of the columns or keys.
        column: the name asked for; None for any of the usual ones. Case and blanks around it do not matter.
        kind: what messages call a name: "column" or "key".

    Returns:
        Its position in `names`.

    Raises:
        NoName: there is none.
        ValueError: there is more than one; choosing would be a guess about whom to delete.
    """
    found = find_ids(names, column)
    if not found:
        raise NoName(f"no {kind} named {usual_names() if column is None else repr(column)}")
    if len(found) > 1:
        raise ValueError(f"more than one {kind} for the ID")
    return found[0]


def find_ids(names: Sequence[str], column: str | None) -> list[int]:
    """Find all names that could hold the contact ID; see `find_id`."""
    wanted = ID_NAMES if column is None else (_folded(column),)
    found = [position for position, name in enumerate(names) if _folded(name) in wanted]
    if len(found) > 1 and column is not None:
        found = [position for position in found if names[position] == column] or found
    return found


def parse_json_value(text: bytes, column: str | None) -> int:
    """Read one JSON value: an integer, or an object with an integer under a key for the ID.

    Raises:
        ValueError: it is neither; the message says why in a few words.
    """
    try:
        # Values that do not concern us can be anything: wrong encodings and control characters do not matter.
        value = _VALUE.decode(text.decode("utf-8", "replace"))
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("not valid JSON") from None
    except ValueError:  # int() refuses to read thousands of digits
        raise ValueError("a number too long to read") from None
    if text.lstrip(BLANKS).startswith(b"{"):
        value = value[find_id([key for key, _ in value], column, "key")][1]
    if type(value) is not int:
        raise ValueError("not a whole number")
    return check_range(value)


class ObjectLines:
    """Reads many lines with one object each together, several times as fast as one by one.

    Args:
        column: the key of the ID; by default any of the usual names.
    """

    def __init__(self, column: str | None) -> None:
        names = "|".join(ID_NAMES if column is None else [re.escape(_folded(column))])
        self._key = re.compile(rf'"([ \t]*(?:{names})[ \t]*)"[ \t]*:'.encode(), re.IGNORECASE)
        self._possible = column is None or column.isascii()
        self._spelling = ""
        self._decoder: msgspec.json.Decoder[Any] | None = None

    def parse(self, lines: bytes) -> list[int] | None:
        """Return the IDs of some whole lines in their order; None if any line needs a closer look."""
        rows = lines.strip(BLANKS).replace(b"\r\n", b"\n")
        # Without escapes, what looks like a key is one. If there are as many keys as lines, and the decoder finds one
        # in each line, no line has a second one.
        if not self._possible or not rows.startswith(b"{") or b"\\" in rows or b"\r" in rows:
            return None
        row_count = rows.count(b"\n") + 1
        keys = self._key.findall(rows)
        if len(keys) != row_count:
            return None
        try:
            # Each line is put into its own brackets: two objects on one line, or one on two, do not pass.
            values = self._decoder_for(keys[0].decode()).decode(b"[[%b]]" % rows.replace(b"\n", b"],["))
        except (msgspec.DecodeError, RecursionError):
            return None
        return [item.contact_id for (item,) in values] if len(values) == row_count else None

    def _decoder_for(self, spelling: str) -> "msgspec.json.Decoder[Any]":
        if self._decoder is None or spelling != self._spelling:
            contact_id = Annotated[int, msgspec.Meta(ge=MIN_CONTACT_ID, le=MAX_CONTACT_ID)]
            item = msgspec.defstruct("Item", [("contact_id", contact_id)], rename={"contact_id": spelling}, gc=False)
            self._decoder = msgspec.json.Decoder(list[tuple[item]])  # type: ignore[valid-type]  # known at run time only
            self._spelling = spelling
        return self._decoder


def _folded(name: str) -> str:
    return name.strip(" \t").casefold()
