"""A line of a bundle is read whatever the case of its names, and refused if it is not the record of a contact."""

from typing import Any

import msgspec
import pytest

from jobs.bundles.record import Case, Opportunity
from jobs.bundles.record import Record as Kept
from restore.record import ADDRESS, BadRecord, Detail, Link, contact_of, record_of

PERSON: dict[str, Any] = {
    "id": 101,
    "isCompany": False,
    "displayName": "Ann Lee",
    "firstName": "Ann",
    "lastName": "",
    "title": "Buyer",
    "about": 'says "hi" \N{WAVING HAND SIGN}',
    "company": {"id": 33, "displayName": "Acme", "isCompany": True},
    "shareType": 0,
    "isPrivate": True,
    "accessList": [{"id": "93580c54-1132-4d6b-bf2d-da0bfaaa1a28", "displayName": "Bo"}],
    "customFields": [
        {"id": 4, "label": "Size", "fieldValue": "12"},
        {"id": 5, "label": "Empty", "fieldValue": ""},
        {"id": 6, "label": "Heading"},
    ],
    "commonData": [{"infoType": 0, "category": 1, "data": "+371 5", "categoryName": "Work", "isPrimary": True}],
    "addresses": [{"city": "Riga", "zip": "LV-1021", "category": 3, "isPrimary": False}],
    "tags": ["trash", "a;b"],
    "contactStatus": {"id": 2, "title": "Warm"},
    "contactType": {"id": 3},
    "created": "2024-01-31T10:00:00.0000000+02:00",
    "createBy": {"id": "u"},
    "industry": "Food",
    "currency": {"abbreviation": "EUR"},
    "taskCount": 2,
}


def renamed(value: Any, rename: Any) -> Any:
    if isinstance(value, dict):
        return {rename(key): renamed(item, rename) for key, item in value.items()}
    return [renamed(item, rename) for item in value] if isinstance(value, list) else value


def test_a_person_is_read_with_everything_it_had() -> None:
    record = record_of(Kept(PERSON, (Opportunity(5, "Hotel", is_main=True),), (Case(3, "Flood"),)))
    assert (record.id, record.name, record.last_name, record.job_title) == (101, "Ann", "", "Buyer")
    assert (record.company, record.stage, record.type_id, record.task_count) == (33, 2, 3, 2)
    assert record.access == ("93580c54-1132-4d6b-bf2d-da0bfaaa1a28",)
    assert record.custom_fields == {4: "12"}
    phone, address = record.details
    assert phone == Detail(0, 1, "+371 5", is_primary=True)
    assert (address.kind, address.category) == (ADDRESS, 3)
    assert msgspec.json.decode(address.data) == {
        "street": "",
        "city": "Riga",
        "state": "",
        "zip": "LV-1021",
        "country": "",
    }
    assert record.opportunities == (Link(5, is_main=True),)
    assert record.cases == (Link(3),)


@pytest.mark.parametrize("rename", [str.upper, str.lower, str.capitalize])
def test_the_case_of_names_does_not_matter(rename: Any) -> None:
    assert contact_of(renamed(PERSON, rename)) == contact_of(PERSON)


def test_a_company_is_read_with_its_name_and_persons() -> None:
    record = contact_of({"id": 33, "isCompany": True, "companyName": "Acme", "personsCount": 4, "shareType": "Read"})
    assert (record.is_company, record.name, record.persons_count, record.share_type) == (True, "Acme", 4, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"isCompany": "yes"},
        {"commonData": {}},
        {"commonData": [{"data": "no kind"}]},
        {"tags": [True]},
        {"shareType": 7},
        {"shareType": "everybody"},
        {"company": [1]},
        {"ID": 102},
    ],
    ids=str,
)
def test_what_is_no_record_of_a_contact_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadRecord):
        record_of(Kept(PERSON | change))
