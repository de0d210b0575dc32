"""Reads a page of the portal's listing of contacts, and checks again whether a contact matches a filter.

As in `worker.envelope`, an answer is read exactly or not at all: a fast decoder that knows the usual spelling goes
first, and a slow one, which ignores case and knows XML, reads what does not fit it.

What the portal leaves out: `tags` of a contact that has none, `personsCount` when it is 0, and `company` of a person
without one. `commonData` is always there in JSON, and leaves no trace in XML when it is empty.
"""

import re
from typing import Annotated, Any
from xml.etree.ElementTree import Element

import msgspec

from jobs.words.filters import Filter, View, tag_key
from worker.envelope import (
    BOM,
    NOT_DECODED,
    Envelope,
    NotAnEnvelopeError,
    boolean,
    integer,
    is_success,
    lower,
    read_fields,
    read_items,
    read_object,
    read_xml,
    xml_fields,
)
from worker.portal_answers import Contact, Page
from worker.wire import MAX_CONTACT_ID

#: The kind of `commonData` that is an e-mail address.
EMAIL = 1

_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_STARTS_WITH_DAY = re.compile(_DAY, re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,10}", re.ASCII)
#: Members that can be missing, spelt in a way that the fast decoder would overlook.
_ODDLY_SPELT = re.compile(rb'"(?!(?:tags|email|company|personsCount)")(?i:tags|email|company|personscount)"\s*:')


class _Info(msgspec.Struct, gc=False, rename="camel"):
    info_type: int


class _Anything(msgspec.Struct, gc=False):
    """An object of which nothing is read."""


class _Item(msgspec.Struct, gc=False, rename="camel"):
    id: Annotated[int, msgspec.Meta(ge=1, le=MAX_CONTACT_ID)]
    display_name: str
    is_company: bool
    can_edit: bool
    can_delete: bool
    created: Annotated[str, msgspec.Meta(pattern=_DAY)]
    common_data: list[_Info]
    tags: tuple[str, ...] = ()
    email: _Anything | None = None
    persons_count: int = 0
    company: _Anything | None = None


class _ItemEnvelope(Envelope, kw_only=True):
    response: list[_Item]


_decode = msgspec.json.Decoder(_ItemEnvelope).decode


def read_page(body: bytes) -> Page:
    """Read one page of the listing.

    Raises:
        NotAnEnvelopeError: it is not an envelope of success, or one of its items is not a full record of a contact.
    """
    try:
        envelope = _decode(body)
    except NOT_DECODED:
        pass
    else:
        items = envelope.response
        if items and is_success(envelope) and envelope.count == len(items) and not _ODDLY_SPELT.search(body):
            return _page(envelope, [_contact(item) for item in items])
    body = body.removeprefix(BOM)
    if body.lstrip().startswith(b"<"):
        root = read_xml(body)
        loose, _ = read_items(xml_fields(root))
        return _page(loose, [_contact_of_xml(item) for item in root if item.tag.casefold() == "response"])
    loose, items_loose = read_items(read_fields(body))
    return _page(loose, [_contact_of_json(item) for item in items_loose])


class _RawEnvelope(msgspec.Struct, gc=False):
    response: msgspec.Raw


_decode_raw = msgspec.json.Decoder(_RawEnvelope).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def read_raw(body: bytes) -> tuple[bytes, ...]:
    """Return the items of a JSON answer that was read before, each as the portal wrote it.

    Raises:
        NotAnEnvelopeError: it is not an envelope in JSON.
    """
    body = body.removeprefix(BOM)
    try:
        response = bytes(_decode_raw(body).response)
    except NOT_DECODED:
        response = _response_of(body)
    try:
        return tuple(map(bytes, _decode_items(response))) if response.startswith(b"[") else (response,)
    except NOT_DECODED as error:
        raise NotAnEnvelopeError from error


def _response_of(body: bytes) -> bytes:
    """Find the response of an envelope whose names are spelt otherwise."""
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except NOT_DECODED as error:
        raise NotAnEnvelopeError from error
    found = [bytes(value) for name, value in members.items() if name.casefold() == "response"]
    if len(found) != 1:
        raise NotAnEnvelopeError
    return found[0]


def read_contact(body: bytes) -> Contact:
    """Read the answer about a single contact, which has everything but its tags.

    Raises:
        NotAnEnvelopeError: it is not an envelope of success with the record of one contact.
    """
    body = body.removeprefix(BOM)
    if not body.lstrip().startswith(b"<"):
        return _contact_of_json(read_object(body, status_code=200))
    items = _responses(body)
    if len(items) != 1:
        raise NotAnEnvelopeError
    return _contact_of_xml(items[0])


def read_tags(body: bytes) -> tuple[str, ...]:
    """Read the answer about the tags of a single contact.

    Raises:
        NotAnEnvelopeError: it is not an envelope of success with a list of texts.
    """
    body = body.removeprefix(BOM)
    if body.lstrip().startswith(b"<"):
        return tuple(item.text for item in _responses(body) if item.text)
    fields = read_fields(body)
    tags = fields.get("response")
    if fields.get("status") != 0 or not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise NotAnEnvelopeError
    return tuple(tags)


def _responses(body: bytes) -> list[Element]:
    """Return the items of an XML answer."""
    root = read_xml(body)
    if xml_fields(root).get("status") != 0:
        raise NotAnEnvelopeError
    return [child for child in root if child.tag.casefold() == "response"]


def matches(selection: Filter, contact: Contact) -> bool:
    """Check on a record everything of a filter that a record tells.

    Not what only the portal knows: stage, type, responsible user, opportunities, and its own search.
    """
    if selection.tags or selection.without_tags:
        tags = {tag_key(tag) for tag in contact.tags}
        if not all(tag_key(tag) in tags for tag in selection.tags):
            return False
        if any(tag_key(tag) in tags for tag in selection.without_tags):
            return False
    if selection.view in {View.COMPANY, View.PERSON} and contact.is_company is not (selection.view is View.COMPANY):
        return False
    if selection.without_email and contact.has_email:
        return False
    # The wire has the portal's local time, so the record's own day is the day in the portal's time zone.
    day = contact.created[:10]
    return (selection.created_from is None or selection.created_from.isoformat() <= day) and (
        selection.created_to is None or day <= selection.created_to.isoformat()
    )


def _page(envelope: Envelope, contacts: list[Contact]) -> Page:
    return Page(tuple(contacts), envelope.count, envelope.total, envelope.start_index, envelope.next_index)


def _contact(item: _Item) -> Contact:
    return Contact(
        id=item.id,
        display_name=item.display_name,
        is_company=item.is_company,
        can_edit=item.can_edit,
        can_delete=item.can_delete,
        tags=item.tags,
        created=item.created,
        has_email=item.email is not None or any(info.info_type == EMAIL for info in item.common_data),
        persons_count=item.persons_count,
        has_company=item.company is not None,
    )


def _contact_of_json(item: dict[str, Any]) -> Contact:
    tags = item.get("tags")
    if tags is None:
        tags = []
    details = item.get("commondata")
    if details is None and "email" in item:
        details = []
    name = item.get("displayname")
    if name is None and "displayname" in item:
        name = ""
    if not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) and isinstance(details, list)):
        raise NotAnEnvelopeError
    return Contact(
        id=_checked_id(integer(item, "id")),
        display_name=_text(name),
        is_company=boolean(item, "iscompany"),
        can_edit=boolean(item, "canedit"),
        can_delete=boolean(item, "candelete"),
        tags=tuple(tags),
        created=_checked_moment(_text(item.get("created"))),
        has_email=item.get("email") is not None or any(integer(lower(info), "infotype") == EMAIL for info in details),
        persons_count=integer(item, "personscount", 0),
        has_company=item.get("company") is not None,
    )


def _contact_of_xml(item: Element) -> Contact:
    """Read a contact from XML, where a name such as `007` has no quotation marks that tell it from a number."""
    children: dict[str, list[Element]] = {}
    for child in item:
        children.setdefault(child.tag.casefold(), []).append(child)

    def text(name: str) -> str:
        found = children.get(name, [])
        if len(found) != 1 or len(found[0]):
            raise NotAnEnvelopeError
        return found[0].text or ""

    def has(name: str) -> bool:
        return any(len(child) for child in children.get(name, []))

    flags = {name: {"true": True, "false": False}.get(text(name).casefold()) for name in _FLAGS}
    return Contact(
        id=_checked_id(_whole(text("id"))),
        display_name=text("displayname"),
        is_company=boolean(flags, "iscompany"),
        can_edit=boolean(flags, "canedit"),
        can_delete=boolean(flags, "candelete"),
        tags=tuple(tag.text for tag in children.get("tags", []) if tag.text),
        created=_checked_moment(text("created")),
        has_email=has("email") or any(_is_email(info) for info in children.get("commondata", []) if len(info)),
        persons_count=_whole(text("personscount")) if "personscount" in children else 0,
        has_company=has("company"),
    )


_FLAGS = ("iscompany", "canedit", "candelete")


def _is_email(info: Element) -> bool:
    kinds = [child.text or "" for child in info if child.tag.casefold() == "infotype"]
    if len(kinds) != 1:
        raise NotAnEnvelopeError
    return _whole(kinds[0]) == EMAIL


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text.strip()):
        raise NotAnEnvelopeError
    return int(text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise NotAnEnvelopeError
    return value


def _checked_id(contact_id: int) -> int:
    if not 1 <= contact_id <= MAX_CONTACT_ID:
        raise NotAnEnvelopeError
    return contact_id


def _checked_moment(moment: str) -> str:
    if not _STARTS_WITH_DAY.match(moment):
        raise NotAnEnvelopeError
    return moment
