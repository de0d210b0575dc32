"""A contact whose creation was never answered is recognised by what was sent, even if only half of it was done."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore import calls
from restore.calls import Known
from restore.likeness import best, is_made_by, key_of_call, key_of_contact
from restore.record import Detail, Record
from tests.support.restore_records import IDS, made_by, records

KNOWN = Known()


@given(records(), IDS, st.integers(0, 9))
def test_what_a_call_makes_is_recognised(record: Record, new_id: int, company: int) -> None:
    call = calls.creation(record, company, KNOWN)
    found = made_by(call, new_id)
    assert is_made_by(call, found)
    assert key_of_call(call) == key_of_contact(found)


@given(records(), IDS, st.data())
def test_what_a_call_has_made_in_part_is_recognised(record: Record, new_id: int, data: st.DataObject) -> None:
    call = calls.creation(record, 0, KNOWN)
    kept = data.draw(st.sets(st.sampled_from(sorted(record.custom_fields)))) if record.custom_fields else set()
    fields = {number: record.custom_fields[number] for number in kept}
    assert is_made_by(call, made_by(call, new_id, custom_fields=fields, access=()))


@given(records(), records(), IDS)
def test_two_records_are_alike_only_if_they_are_created_alike(one: Record, other: Record, new_id: int) -> None:
    first, second = calls.creation(one, 0, KNOWN), calls.creation(other, 0, KNOWN)
    if key_of_call(first) != key_of_call(second):
        assert not is_made_by(first, made_by(second, new_id))


CALL = calls.creation(
    Record(id=1, is_company=False, name="Ann", last_name="Lee", about="note", share_type=1, custom_fields={4: "x"}),
    7,
    KNOWN,
)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Anna"},
        {"last_name": ""},
        {"name": "Ann Lee", "last_name": ""},
        {"job_title": "Buyer"},
        {"about": ""},
        {"company": 8},
        {"share_type": 0},
        {"custom_fields": {4: "y"}},
        {"custom_fields": {5: "x"}},
        {"tags": ("vip",)},
        {"details": (Detail(0, 0, "1", is_primary=True),)},
        {"is_company": True},
    ],
    ids=str,
)
def test_a_contact_that_differs_is_not_taken_for_it(change: dict[str, Any]) -> None:
    assert not is_made_by(CALL, msgspec.structs.replace(made_by(CALL, 9), **change))


def test_blanks_around_and_within_a_text_do_not_matter() -> None:
    assert is_made_by(CALL, msgspec.structs.replace(made_by(CALL, 9), name=" Ann", about="note \n"))


def test_of_several_the_oldest_is_taken() -> None:
    found = {number: made_by(CALL, number) for number in (12, 11, 13)}
    assert best(CALL, found) == found[11]
    assert best(CALL, {}) is None
