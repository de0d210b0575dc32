"""Members of JSON documents that are there twice: of two lists of contact IDs, neither may be dropped silently."""

import json
from typing import Any

import msgspec

#: More than all that there is to say beside a list of contact IDs. Only white space or a second list can be so long.
_LONGEST_REST = 64 << 10


class RepeatedMember(Exception):
    """The same member is in a document more than once."""


def check_members(body: bytes | bytearray, document: object) -> None:
    """Check that no member of a document is repeated; a decoder would silently take the last one.

    Args:
        body: the text.
        document: the struct that was decoded from it. A large list in it is `msgspec.Raw`, which is not read again.

    Raises:
        RepeatedMember: one is there twice.
    """
    raw = getattr(document, "contact_ids", None)
    if isinstance(raw, msgspec.Raw):
        array = memoryview(raw)
        if bytes(array[:1]) != b"[":
            return  # it will be refused for that
        body = _without(body, array)
        if len(body) > _LONGEST_REST:
            raise RepeatedMember("There is too much besides contact_ids, or contact_ids is there more than once")
    try:
        json.loads(body, object_pairs_hook=_once, strict=False)
    except (ValueError, RecursionError):  # in a list that is not the last one: nothing else is left to be wrong
        raise RepeatedMember("A member is there more than once") from None


def _without(body: bytes | bytearray, array: memoryview) -> bytes:
    """Cut the array out; the same text elsewhere does as well, because it holds no member of the document itself."""
    start = body.find(array)
    return bytes(body[:start]) + b"0" + bytes(body[start + len(array) :])


def _once(members: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in members:
        if name in seen:
            raise RepeatedMember(f"The member {name[:80]} is there more than once")
        seen.add(name)
