"""Reads the API's envelope from an answer's body, exactly or not at all.

The envelope is `{"count":2,"status":0,"statusCode":200,"response":[…]}`, or the same as XML with the root `result` and
one `response` element per item. Zero counts are left out. Keys are camelCase on the wire, although the published
examples write them differently, so they are matched ignoring case: a fast decoder that knows the usual spelling goes
first, and a slow one reads what does not fit it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import msgspec
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from worker.portal_answers import Body, Visible

BOM = b"\xef\xbb\xbf"
_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
_LONGEST_INTEGER = 20  # digits; a contact ID has ten
_BOOLEANS = {"true": True, "false": False}  # lower case in the API, capitalised in its published sample


class NotAnEnvelopeError(Exception):
    """The body is not a valid envelope of the API."""


@dataclass(frozen=True, slots=True)
class Ids:
    """The contact IDs that an answer lists."""

    ids: list[int]
    #: Whether the envelope's own counts say that the list is complete.
    complete: bool


@dataclass(frozen=True, slots=True)
class Rights:
    """What an answer says the account may do with each contact that it lists."""

    visible: dict[int, Visible]
    complete: bool


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The body of an answer whose status is not success."""

    kind: Body
    hresult: int | None = None
    message: str = ""


class Envelope(msgspec.Struct, gc=False, rename="camel"):
    """What surrounds the items of an answer."""

    status: int
    count: int = 0
    total: int = 0
    start_index: int = 0
    next_index: int = 0
    status_code: int = 200


class _Id(msgspec.Struct, gc=False):
    id: int


class _Right(msgspec.Struct, gc=False, rename="camel"):
    id: int
    can_edit: bool
    can_delete: bool


class _IdEnvelope(Envelope, kw_only=True):
    response: list[_Id]


class _RightEnvelope(Envelope, kw_only=True):
    response: list[_Right]


# Knowing only the ID, the decoder skips the rest of each contact, which makes it several times faster.
_decode_ids = msgspec.json.Decoder(_IdEnvelope).decode
_decode_rights = msgspec.json.Decoder(_RightEnvelope).decode
NOT_DECODED = (msgspec.MsgspecError, UnicodeError, RecursionError)


def read_ids(body: bytes) -> Ids:
    """Read the answer to a PUT.

    Raises:
        NotAnEnvelopeError: it is not an envelope of success, or one of its items has no integer `id`.
    """
    try:
        envelope = _decode_ids(body)
    except NOT_DECODED:
        pass
    else:
        items = envelope.response
        # An empty list, or counts that do not agree, may just be spelt in a way that this decoder does not know.
        if items and is_success(envelope) and _is_complete(envelope, len(items)):
            return Ids([item.id for item in items], complete=True)
    loose, items_loose = read_items(read_fields(body))
    return Ids([integer(item, "id") for item in items_loose], complete=_is_complete(loose, len(items_loose)))


def read_rights(body: bytes) -> Rights:
    """Read the answer to a look-up of many contacts.

    Raises:
        NotAnEnvelopeError: it is not an envelope of success, or an item lacks `id`, `canEdit` or `canDelete`.
    """
    try:
        envelope = _decode_rights(body)
    except NOT_DECODED:
        pass
    else:
        items = envelope.response
        if items and is_success(envelope) and _is_complete(envelope, len(items)):
            visible = {item.id: Visible.of(item.can_edit, item.can_delete) for item in items}
            return Rights(visible, complete=len(visible) == len(items))
    loose, items_loose = read_items(read_fields(body))
    visible = dict(map(_right, items_loose))
    # A contact that is listed twice may be there in place of another one.
    return Rights(visible, complete=_is_complete(loose, len(visible)))


def read_right(body: bytes) -> Rights:
    """Read the answer to a look-up of one contact.

    Raises:
        NotAnEnvelopeError: it is not an envelope of success, or lacks `id`, `canEdit` or `canDelete`.
    """
    return Rights(dict([_right(read_object(body, status_code=200))]), complete=True)


def read_object(body: bytes, *, status_code: int) -> dict[str, Any]:
    """Read an answer whose response is a single object; its keys are returned in lower case.

    Raises:
        NotAnEnvelopeError: it is not an envelope of success with such a response.
    """
    fields = read_fields(body)
    response = fields.get("response")
    if isinstance(response, dict):
        fields["response"] = [response]
    _, items = read_items(fields, status_code)
    if len(items) != 1:
        raise NotAnEnvelopeError
    return items[0]


def read_error(body: bytes) -> ErrorBody:
    """Return what kind of body came with an error, and what the API says in it. Never raises."""
    if not body.strip():
        return ErrorBody(Body.EMPTY)
    try:
        fields = read_fields(body)
        error = fields.get("error")
        if fields.get("status") == 1 and isinstance(error, dict):
            said = lower(error)
            hresult, message = said.get("hresult"), said.get("message")
            return ErrorBody(Body.API_ERROR, hresult if type(hresult) is int else None, str(message or ""))
    except NotAnEnvelopeError:
        pass
    return ErrorBody(Body.HTML if body.removeprefix(BOM).lstrip().startswith(b"<") else Body.TEXT)


def is_success(envelope: Envelope, status_code: int = 200) -> bool:
    """Check whether an envelope says that all went well."""
    return envelope.status == 0 and envelope.status_code == status_code


def _is_complete(envelope: Envelope, items: int) -> bool:
    """Check whether the envelope's counts agree with the number of items: none left out, none before, none after."""
    return (
        envelope.count == items
        and envelope.total in {0, items}
        and envelope.start_index == 0
        and envelope.next_index == 0
    )


def _right(item: dict[str, Any]) -> tuple[int, Visible]:
    return integer(item, "id"), Visible.of(boolean(item, "canedit"), boolean(item, "candelete"))


def read_items(fields: dict[str, Any], status_code: int = 200) -> tuple[Envelope, list[dict[str, Any]]]:
    """Check the fields of an envelope of success; the items' keys are returned in lower case.

    Raises:
        NotAnEnvelopeError: they are not those of such an envelope.
    """
    if "status" not in fields:
        raise NotAnEnvelopeError
    envelope = Envelope(
        status=integer(fields, "status"),
        count=integer(fields, "count", 0),
        total=integer(fields, "total", 0),
        start_index=integer(fields, "startindex", 0),
        next_index=integer(fields, "nextindex", 0),
        status_code=integer(fields, "statuscode", status_code),
    )
    response = fields.get("response")
    if not is_success(envelope, status_code) or not isinstance(response, list):
        raise NotAnEnvelopeError
    return envelope, [lower(item) for item in response]


def read_fields(body: bytes) -> dict[str, Any]:
    """Read the envelope's fields in either format; keys are in lower case.

    Raises:
        NotAnEnvelopeError: the body is in neither format.
    """
    body = body.removeprefix(BOM)
    if body.lstrip().startswith(b"<"):
        return xml_fields(read_xml(body))
    try:
        return lower(msgspec.json.decode(body))
    except NOT_DECODED as error:
        raise NotAnEnvelopeError from error


def read_xml(body: bytes) -> Element:
    """Parse an envelope in XML and return its root.

    Raises:
        NotAnEnvelopeError: it is not one.
    """
    try:
        root: Element = fromstring(body)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as error:
        raise NotAnEnvelopeError from error
    if root.tag.casefold() != "result":
        raise NotAnEnvelopeError
    return root


def xml_fields(root: Element) -> dict[str, Any]:
    """Return the fields of an envelope in XML as those of one in JSON; keys are in lower case."""
    # An array is written as repeated elements, so an empty one leaves no trace.
    fields = _lower_pairs((child.tag, _xml_value(child)) for child in root if child.tag.casefold() != "response")
    return {**fields, "response": [_xml_value(child) for child in root if child.tag.casefold() == "response"]}


def _xml_value(element: Element) -> object:
    """Turn an element into what JSON would have held: an object, an integer, a boolean, null or text."""
    if len(element):
        # Only scalars are read below this level, so repeated elements may overwrite one another.
        return {child.tag: _xml_value(child) for child in element}
    text = (element.text or "").strip()
    if not text:
        return None
    if len(text) <= _LONGEST_INTEGER and _INTEGER.fullmatch(text):
        return int(text)
    return _BOOLEANS.get(text.casefold(), text)


def lower(value: object) -> dict[str, Any]:
    """Return an object with its keys in lower case.

    Raises:
        NotAnEnvelopeError: it is not an object, or has a key twice.
    """
    if not isinstance(value, dict):
        raise NotAnEnvelopeError
    return _lower_pairs(value.items())


def _lower_pairs(pairs: Iterable[tuple[str, object]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in pairs:
        name = key.casefold()
        if name in fields:
            raise NotAnEnvelopeError  # the same field twice: there is no telling which one is meant
        fields[name] = value
    return fields


def integer(fields: dict[str, Any], name: str, default: int | None = None) -> int:
    """Return a field that must be an integer; the default if it is missing or null.

    Raises:
        NotAnEnvelopeError: it is something else.
    """
    value = fields.get(name)
    if value is None and default is not None:
        return default
    if type(value) is not int:  # a boolean is an int to Python, not to the API
        raise NotAnEnvelopeError
    return value


def boolean(fields: dict[str, Any], name: str) -> bool:
    """Return a field that must be true or false.

    Raises:
        NotAnEnvelopeError: it is something else.
    """
    value = fields.get(name)
    if type(value) is not bool:
        raise NotAnEnvelopeError
    return value
