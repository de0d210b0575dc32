"""How the portal turns a request into a list of contact IDs.

Query string and body end up in one collection with case-insensitive names; every value named ``contactids`` is
converted to a 32-bit integer, and if one cannot be converted, the whole request is rejected.
"""

import json
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl
from xml.etree.ElementTree import ParseError

import msgspec
from defusedxml import DefusedXmlException, ElementTree

from simulator import replies as answers
from simulator.replies import PortalError, error

_NAME = "contactids"
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_HEXADECIMAL = re.compile(r"(?:#|0x|&h)([0-9a-f]{1,8})", re.ASCII | re.IGNORECASE)
_MEDIA_TYPE = re.compile(r'\s*([\w.+-]+/[\w.+*-]+)\s*(?:;\s*[\w-]+\s*=\s*(?:"[^"]*"|[^;"\s]+)\s*)*;?\s*', re.ASCII)


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """The body that well-behaved clients send, decoded without the detour through text."""

    contactids: list[int]


_decode_plain = msgspec.json.Decoder(_Plain).decode


def bind_contact_ids(query: list[tuple[str, str]], content_type: str | None, body: bytes) -> list[int]:
    """Return the IDs that the portal binds, in order, including duplicates, zeros and negative ones.

    Args:
        query: name and value of each query parameter.
        content_type: the request's Content-Type header as sent.
        body: the request's body.

    Raises:
        PortalError: 400 if a value is not a 32-bit integer or the JSON is malformed; 500 for malformed XML or a
            malformed Content-Type.
    """
    media_type = _media_type(content_type)
    query = [(name, value) for name, value in query if name.lower() == _NAME]
    if not query and media_type == "application/json":
        plain = _bind_plain(body)
        if plain is not None:
            return plain
    bound = [_to_int32(value) for _, value in query]
    bound.extend(_to_int32(value) for value in _body_values(media_type, body))
    return bound


def _bind_plain(body: bytes) -> list[int] | None:
    """Decode the common case; return None if the body needs a closer look."""
    if body.count(b'"') != 2:  # a repeated key, another key or a quoted number
        return None
    try:
        contact_ids = _decode_plain(body).contactids
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if contact_ids and (min(contact_ids) < -(2**31) or max(contact_ids) >= 2**31):
        return None
    return contact_ids


def _media_type(content_type: str | None) -> str:
    if content_type is None:
        return ""
    match = _MEDIA_TYPE.fullmatch(content_type)
    if match is None:
        raise PortalError(error(500, "The specified content type is invalid.", answers.FORMAT))
    return match[1].lower()


def _body_values(media_type: str, body: bytes) -> Iterator[str | None]:
    text = body.decode(errors="replace").removeprefix("\ufeff")
    if not text.strip():
        return
    if media_type == "application/json":
        yield from _json_values(text)
    elif media_type == "text/xml":
        yield from _xml_values(text)
    elif media_type == "application/x-www-form-urlencoded":
        yield from (value for name, value in parse_qsl(text, keep_blank_values=True) if name.lower() == _NAME)


class _Pairs(list[tuple[str, object]]):
    """A JSON object with its repeated keys."""


def _json_values(text: str) -> Iterator[str | None]:
    try:
        document = _read_json(text)
    except (ValueError, RecursionError) as problem:
        raise PortalError(error(400, f"Unable to deserialize json: {problem}", answers.GENERIC)) from None
    if not isinstance(document, _Pairs):
        message = "XmlNodeConverter can only convert JSON that begins with an object."
        raise PortalError(error(400, message, answers.GENERIC))
    for name, value in document:
        if name.lower() == _NAME:
            for element in value if isinstance(value, list) and not isinstance(value, _Pairs) else [value]:
                if not isinstance(element, list):  # the portal gives nested arrays and objects other names
                    yield _as_text(element)


def _read_json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_Pairs, parse_constant=_no_constant)
    except json.JSONDecodeError:
        closing = _missing_brackets(text)
        if not closing.startswith("]"):
            raise
        # The portal's reader treats the end of the input as the end of the array.
        return json.loads(text.rstrip().rstrip(",") + closing, object_pairs_hook=_Pairs, parse_constant=_no_constant)


def _no_constant(name: str) -> object:
    raise ValueError(f"unexpected {name}")


def _missing_brackets(text: str) -> str:
    """Return the brackets that are still open at the end, innermost first; empty inside a string."""
    still_open: list[str] = []
    for token in re.finditer(r'"(?:[^"\\]|\\.)*("?)|[][{}]', text, re.DOTALL):
        if token[0][0] == '"':
            if not token[1]:
                return ""
        elif token[0] in "[{":
            still_open.append("]" if token[0] == "[" else "}")
        elif not still_open or still_open.pop() != token[0]:
            return ""
    return "".join(reversed(still_open))


def _as_text(element: object) -> str | None:
    """Return the text that a JSON value becomes when it is converted to XML."""
    if element is None or isinstance(element, str):
        return element
    if isinstance(element, float) and element.is_integer() and abs(element) < 1e15:
        return str(int(element))
    return str(element)


def _xml_values(text: str) -> Iterator[str | None]:
    try:
        root = ElementTree.fromstring(text)
    except (ParseError, DefusedXmlException) as problem:
        raise PortalError(error(500, str(problem), answers.GENERIC)) from None
    yield from (child.text for child in root if child.tag.lower() == _NAME and len(child) == 0)


def _to_int32(value: str | None) -> int:
    text = (value or "").strip()
    hexadecimal = _HEXADECIMAL.fullmatch(text)
    if hexadecimal:
        number = int(hexadecimal[1], 16)
        return number - 2**32 if number >= 2**31 else number
    if not _INTEGER.fullmatch(text):
        raise PortalError(error(400, "Input string was not in a correct format.", answers.FORMAT))
    number = int(text) if len(text) < 1000 else 2**31
    if not -(2**31) <= number < 2**31:
        message = "Value was either too large or too small for an Int32."
        raise PortalError(error(400, message, answers.OVERFLOW))
    return number
