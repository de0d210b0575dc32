"""One line of a bundle: the contact as the portal listed it, and the opportunities and cases that it took part in."""

from typing import Any

import msgspec

from jobs.bundles.record import Record as Kept
from worker.envelope import NotAnEnvelopeError, lower

#: Kind of a detail that is an address, and the members of its text. Other kinds are phones, e-mail addresses, sites, …
ADDRESS = 7
ADDRESS_PARTS = ("street", "city", "state", "zip", "country")


class BadRecord(Exception):
    """A line of a bundle, or an item of the portal's listing, is not the full record of a contact."""


class Detail(msgspec.Struct, frozen=True):
    """A phone, an e-mail address, a site, or an address, whose `data` is JSON.

    Attributes:
        kind: the portal's number of its kind; `ADDRESS` for an address.
        category: the portal's number for home, work, …
        data: the value.
        is_primary: whether it is the first of its kind.
    """

    kind: int
    category: int
    data: str
    is_primary: bool


class Link(msgspec.Struct, frozen=True):
    """An opportunity or a case that the contact took part in.

    Attributes:
        id: its ID.
        is_main: whether the contact was the main contact of the opportunity.
    """

    id: int
    is_main: bool = False


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """All that a bundle tells of one contact.

    Attributes:
        id: its contact ID, which the restored contact cannot have.
        name: the name of a company; the first name of a person.
        last_name: the last name of a person, which can be empty.
        job_title: what the person is in the company.
        about: the note.
        company: ID of the company that the person belongs to; 0 for none.
        share_type: 0 private, 1 shared to read and write, 2 shared to read.
        access: the users who may see a private contact, by GUID.
        custom_fields: values by ID of the field, without empty ones.
        stage: ID of the contact's stage; 0 for none.
        type_id: ID of the contact's type; 0 for none.
        created: when it was created, as on the wire.
        persons_count: persons of the company.
    """

    id: int
    is_company: bool
    name: str
    last_name: str = ""
    job_title: str = ""
    about: str = ""
    company: int = 0
    share_type: int = 0
    access: tuple[str, ...] = ()
    custom_fields: dict[int, str] = {}
    details: tuple[Detail, ...] = ()
    tags: tuple[str, ...] = ()
    stage: int = 0
    type_id: int = 0
    created: str = ""
    persons_count: int = 0
    industry: str = ""
    has_currency: bool = False
    has_creator: bool = False
    task_count: int = 0
    opportunities: tuple[Link, ...] = ()
    cases: tuple[Link, ...] = ()


def record_of(kept: Kept) -> Record:
    """Read a line of a bundle.

    Raises:
        BadRecord: it does not hold the full record of a contact.
    """
    return msgspec.structs.replace(
        contact_of(kept.contact),
        opportunities=tuple(Link(link.id, link.is_main) for link in kept.opportunities),
        cases=tuple(Link(link.id) for link in kept.cases),
    )


def contact_of(item: dict[str, Any]) -> Record:
    """Read a contact as the portal lists it; the spelling of keys does not matter.

    Raises:
        BadRecord: it is not the full record of a contact.
    """
    try:
        return _contact(lower(item))
    except (NotAnEnvelopeError, KeyError, TypeError, ValueError) as error:
        raise BadRecord from error


def _contact(item: dict[str, Any]) -> Record:
    is_company = _is_true(item["iscompany"])
    name = item.get("companyname") if is_company else item.get("firstname")
    return Record(
        id=int(item["id"]),
        is_company=is_company,
        name=_text(item.get("displayname") if name is None and is_company else name),
        last_name=_text(item.get("lastname")),
        job_title=_text(item.get("title")),
        about=_text(item.get("about")),
        company=_id_of(item.get("company")),
        share_type=_share_type(item.get("sharetype")),
        access=tuple(_text(lower(user)["id"]) for user in _list(item.get("accesslist"))),
        custom_fields=_custom_fields(item.get("customfields")),
        details=(*map(_detail, _list(item.get("commondata"))), *map(_address, _list(item.get("addresses")))),
        tags=tuple(_text(tag) for tag in _list(item.get("tags"))),
        stage=_id_of(item.get("contactstatus")),
        type_id=_id_of(item.get("contacttype")),
        created=_text(item.get("created")),
        persons_count=int(item.get("personscount") or 0),
        industry=_text(item.get("industry")),
        has_currency=bool(item.get("currency")),
        has_creator=bool(item.get("createby")),
        task_count=int(item.get("taskcount") or 0),
    )


def _custom_fields(items: object) -> dict[int, str]:
    values = {}
    for item in map(lower, _list(items)):
        value = item.get("fieldvalue", item.get("value"))
        if value not in {None, ""}:
            values[int(item["id"])] = _text(value)
    return values


def _detail(item: object) -> Detail:
    fields = lower(item)
    return Detail(
        int(fields["infotype"]), int(fields.get("category") or 0), _text(fields.get("data")), _primary(fields)
    )


def _address(item: object) -> Detail:
    fields = lower(item)
    parts = {part: _text(fields.get(part)) for part in ADDRESS_PARTS}
    return Detail(ADDRESS, int(fields.get("category") or 0), msgspec.json.encode(parts).decode(), _primary(fields))


#: The share types by number and by name.
_SHARE_TYPES = {"none": 0, "readwrite": 1, "read": 2}


def _share_type(value: object) -> int:
    if isinstance(value, str) and not value.isdigit():
        return _SHARE_TYPES[value.casefold()]
    number = int(str(value or 0))
    if number not in _SHARE_TYPES.values():
        raise BadRecord
    return number


def _primary(fields: dict[str, Any]) -> bool:
    return _is_true(fields.get("isprimary") or False)


def _is_true(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _id_of(value: object) -> int:
    return int(lower(value).get("id") or 0) if value else 0


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError
    return value


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    return str(value)
