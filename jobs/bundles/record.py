"""The record of one contact: a line of JSON, with the contact as the portal wrote it.

    {"contact": {…}, "opportunities": [{"id": 5, "title": "…", "is_main": true}], "cases": [{"id": 3, "title": "…"}]}

What is in `contact` is not interpreted here: also members that this program does not know are kept. Whoever reads it
has to ignore the case of its names, because some portals write them differently.
"""

from collections.abc import Sequence
from typing import Any

import msgspec


class Opportunity(msgspec.Struct, frozen=True, gc=False):
    """An opportunity in which a contact takes part."""

    id: int
    title: str
    is_main: bool = False
    """Whether it is the opportunity's main contact."""


class Case(msgspec.Struct, frozen=True, gc=False):
    """A case in which a contact takes part."""

    id: int
    title: str


class Record(msgspec.Struct, frozen=True):
    """What is kept of one contact."""

    contact: dict[str, Any]
    """As the portal's listing gave it."""
    opportunities: tuple[Opportunity, ...] = ()
    cases: tuple[Case, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


def record_line(contact: bytes, opportunities: Sequence[Opportunity] = (), cases: Sequence[Case] = ()) -> bytes:
    """Return the line of one contact, with its line feed.

    Args:
        contact: its record as the portal wrote it, a JSON object.
        opportunities: those in which it takes part.
        cases: those in which it takes part.
    """
    # Between tokens only: within a text, JSON has no line breaks.
    one_line = contact.replace(b"\r", b" ").replace(b"\n", b" ")
    links = _encode(opportunities), _encode(cases)
    return b'{"contact":%b,"opportunities":%b,"cases":%b}\n' % (one_line, *links)


def with_tags(contact: bytes, tags: Sequence[str]) -> bytes:
    """Return the record of a contact with its tags, where the portal tells them apart from the record.

    Args:
        contact: a JSON object with at least one member, none of them `tags`.
        tags: its tags.
    """
    return b'%b,"tags":%b}' % (contact.rstrip().removesuffix(b"}"), _encode(tags))


def read_line(line: bytes) -> Record:
    """Read a line.

    Raises:
        ValueError: it is not one.
    """
    return _decode(line)
