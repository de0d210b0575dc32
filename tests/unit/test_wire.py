"""Requests are built only from integers, and fit the request line."""

import json
from typing import Any, Literal

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from worker.wire import MAX_CONTACT_ID, Format, checked, delete_body

contact_ids = st.lists(st.integers(1, MAX_CONTACT_ID), min_size=1, max_size=1000, unique=True)


@given(contact_ids)
def test_both_bodies_hold_exactly_the_ids(ids: list[int]) -> None:
    assert json.loads(delete_body(Format("json"), ids)) == {"contactids": ids}
    root = fromstring(delete_body(Format("xml"), ids))
    assert [int(child.text or "") for child in root if child.tag == "contactids"] == ids


@given(contact_ids, st.integers(256, 16000), st.sampled_from(["json", "xml"]))
def test_a_look_up_asks_for_as_many_as_fit_and_no_more(
    ids: list[int], max_chars: int, name: Literal["json", "xml"]
) -> None:
    wire_format = Format(name)
    fitting = wire_format.look_up_capacity(ids, max_chars)
    assert 1 <= fitting <= len(ids)
    assert len(wire_format.look_up_target(ids[:fitting])) <= max_chars
    if fitting < len(ids):
        assert len(wire_format.look_up_target(ids[: fitting + 1])) > max_chars


def test_at_least_one_contact_is_asked_about_however_short_the_line() -> None:
    assert Format("json").look_up_capacity([1, 2], 10) == 1
    assert Format("json").look_up_capacity(range(1, 5000), 10**9) == 1000


@pytest.mark.parametrize("ids", [[], list(range(1, 1002)), [0], [-1], [MAX_CONTACT_ID + 1], [True], [1.0], ["1"]])
def test_a_list_that_the_portal_would_reject_is_never_sent(ids: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        checked(ids)


def test_the_put_asks_for_the_ids_alone_and_in_the_format_configured() -> None:
    assert Format("json").delete_target == "/api/2.0/crm/contact?fields=id"
    assert Format("xml").delete_target == "/api/2.0/crm/contact.xml?fields=id"
    assert (Format("json").content_type, Format("xml").content_type) == ("application/json", "text/xml")
