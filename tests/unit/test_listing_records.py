"""A page of the listing is read exactly, or not at all; and what a record tells decides again whether it matches."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.words.filters import Filter, View
from tests.support.envelopes import Write, as_json, as_xml, envelope, spellings
from worker.envelope import NotAnEnvelopeError
from worker.portal_answers import Contact, Page
from worker.records import matches, read_page

MOMENT = "2024-01-31T23:59:59.0000000+02:00"

# Texts that XML can hold and does not trim; among them some that look like numbers or booleans.
texts = st.one_of(
    st.sampled_from(["007", "true", "null", "-5", "2024", "O'Neill & <Sons>"]),
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8),
)
contacts = st.builds(
    Contact,
    id=st.integers(1, 2**31 - 1),
    display_name=texts,
    is_company=st.booleans(),
    can_edit=st.booleans(),
    can_delete=st.booleans(),
    tags=st.lists(texts, max_size=3).map(tuple),
    created=st.just(MOMENT),
    has_email=st.booleans(),
    persons_count=st.integers(0, 3),
    has_company=st.booleans(),
)


def wire(contact: Contact) -> dict[str, Any]:
    """Return a contact as the portal writes it: empty members are left out, except `commonData`."""
    phone, email = {"infoType": 0, "data": "1"}, {"infoType": 1, "data": "a@example.com"}
    item: dict[str, Any] = {
        "displayName": contact.display_name,
        "isCompany": contact.is_company,
        "currency": None,
        "canEdit": contact.can_edit,
        "canDelete": contact.can_delete,
        "id": contact.id,
        "created": contact.created,
        "commonData": [phone, email] if contact.has_email else [phone] if contact.can_edit else [],
        "customFields": [{"label": "Company", "value": "tags"}],
        "haveLateTasks": False,
    }
    if contact.tags:
        item["tags"] = list(contact.tags)
    if contact.persons_count:
        item["personsCount"] = contact.persons_count
    if contact.has_company:
        item["company"] = {"id": 7, "displayName": "Acme", "canEdit": True}
    return item


def spelt(value: Any, spell: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {spell(key): spelt(each, spell) for key, each in value.items()}
    return [spelt(each, spell) for each in value] if isinstance(value, list) else value


@given(st.lists(contacts, max_size=5), spellings, st.sampled_from([as_json, as_xml]), st.booleans())
def test_any_spelling_and_format_gives_the_same_page(
    listed: list[Contact], spell: Callable[[str], str], write: Write, marked: bool
) -> None:
    fields = envelope([wire(each) for each in listed], total=500, startIndex=20, nextIndex=31)
    page = read_page((b"\xef\xbb\xbf" if marked else b"") + write(spelt(fields, spell)))

    assert page == Page(tuple(listed), count=len(listed), total=500, start_index=20, next_index=31)
    assert page.complete


SAMPLE = Contact(
    id=101,
    display_name="Ann Lee",
    is_company=False,
    can_edit=True,
    can_delete=True,
    tags=("trash",),
    created=MOMENT,
    has_email=True,
)


@given(contacts, st.sampled_from(["tags", "personsCount", "company"]))
def test_a_member_that_alone_is_spelt_differently_is_not_overlooked(contact: Contact, name: str) -> None:
    item = wire(contact)
    if name in item:
        item[name.upper()] = item.pop(name)
    assert read_page(as_json(envelope([item]))).contacts == (contact,)


@pytest.mark.parametrize("name", ["id", "displayName", "isCompany", "canEdit", "canDelete", "created", "commonData"])
def test_a_record_that_lacks_something_is_not_read(name: str) -> None:
    item = wire(SAMPLE)
    del item[name]
    with pytest.raises(NotAnEnvelopeError):
        read_page(as_json(envelope([item])))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", 0),
        ("id", 2**31),
        ("id", True),
        ("id", "101"),
        ("isCompany", None),
        ("isCompany", "false"),
        ("canDelete", 1),
        ("tags", "trash"),
        ("tags", [5]),
        ("created", "yesterday"),
        ("created", None),
        ("commonData", [{"data": "a@example.com"}]),
        ("commonData", [{"infoType": "mail"}]),
        ("commonData", ["a@example.com"]),
        ("personsCount", "many"),
    ],
)
def test_a_record_with_a_wrong_value_is_not_read(name: str, value: object) -> None:
    with pytest.raises(NotAnEnvelopeError):
        read_page(as_json(envelope([wire(SAMPLE) | {name: value}])))


def test_a_member_that_is_there_twice_is_not_read() -> None:
    with pytest.raises(NotAnEnvelopeError):
        read_page(as_json(envelope([wire(SAMPLE) | {"Tags": ["vip"]}])))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"<html></html>",
        b"<result><status>0</status><response><id>1</id></response></result>",
        b'{"status":1,"statusCode":200,"response":[]}',
        b'{"status":0,"statusCode":500,"response":[]}',
        b'{"status":0,"statusCode":200,"response":{}}',
        as_json(envelope([wire(SAMPLE)]))[:-20],
    ],
)
def test_what_is_no_page_is_not_read(body: bytes) -> None:
    with pytest.raises(NotAnEnvelopeError):
        read_page(body)


@pytest.mark.parametrize("write", [as_json, as_xml])
def test_a_name_can_be_empty_and_there_can_be_no_tags(write: Write) -> None:
    item = wire(SAMPLE) | {"displayName": None, "tags": None}
    [contact] = read_page(write(envelope([item]))).contacts
    assert contact.display_name == ""
    assert contact.tags == ()


@pytest.mark.parametrize("write", [as_json, as_xml])
def test_an_email_at_the_top_counts_as_well(write: Write) -> None:
    item = wire(SAMPLE) | {"commonData": [], "email": {"infoType": 1, "data": "a@example.com"}}
    assert read_page(write(envelope([item]))).contacts[0].has_email


def test_a_page_knows_whether_it_is_complete_and_in_order() -> None:
    items = [wire(SAMPLE), wire(SAMPLE) | {"id": 100}]
    page = read_page(json.dumps(envelope(items, count=3)).encode())
    assert not page.complete
    assert not page.ascending
    assert not Page((SAMPLE, SAMPLE)).ascending


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Filter(everything=True), True),
        (Filter(tags=("TRASH",)), True),
        (Filter(tags=("trash", "old")), False),
        (Filter(tags=("tras",)), False),
        (Filter(without_tags=("Trash ",)), False),
        (Filter(without_tags=("vip",)), True),
        (Filter(view=View.PERSON), True),
        (Filter(view=View.COMPANY), False),
        (Filter(view=View.WITH_OPPORTUNITY), True),
        (Filter(without_email=True), False),
        (Filter(created_to=date(2024, 1, 31)), True),
        (Filter(created_to=date(2024, 1, 30)), False),
        (Filter(created_from=date(2024, 1, 31)), True),
        (Filter(created_from=date(2024, 2, 1)), False),
        (Filter(stage=3, text="somebody else"), True),
    ],
)
def test_a_record_is_checked_again(selection: Filter, expected: bool) -> None:
    assert matches(selection, SAMPLE) is expected


@given(contacts, st.lists(texts, min_size=1, max_size=3).map(tuple))
def test_with_and_without_a_tag_never_both_match(contact: Contact, tags: tuple[str, ...]) -> None:
    both = [matches(Filter(tags=tags), contact), matches(Filter(without_tags=tags), contact)]
    assert both != [True, True]
    carrying = msgspec.structs.replace(contact, tags=contact.tags + tags)
    assert matches(Filter(tags=tags), carrying)
    assert not matches(Filter(without_tags=tags), carrying)
