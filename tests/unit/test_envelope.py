"""An envelope is read exactly, or not at all."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.envelopes import Write, as_json, as_xml, envelope, spellings
from worker.envelope import (
    Ids,
    NotAnEnvelopeError,
    read_error,
    read_ids,
    read_object,
    read_right,
    read_rights,
)
from worker.portal_answers import Body, Visible

contact_ids = st.lists(st.integers(1, 2**31 - 1), max_size=30, unique=True)
formats = pytest.mark.parametrize("write", [as_json, as_xml])


@given(contact_ids, spellings, st.booleans(), st.sampled_from([as_json, as_xml]))
def test_any_spelling_and_format_gives_the_same_ids(
    ids: list[int], spell: Callable[[str], str], with_fields: bool, write: Write
) -> None:
    more = {spell("displayName"): "Ann & <Lee>", spell("currency"): None} if with_fields else {}
    items: list[dict[str, object]] = [{spell("id"): contact_id, **more} for contact_id in ids]
    fields = {spell(key): value for key, value in envelope(items).items()}
    assert read_ids(write(fields)) == Ids(ids, complete=True)


@given(contact_ids, st.data())
def test_a_body_cut_off_anywhere_is_not_an_envelope(ids: list[int], data: st.DataObject) -> None:
    for write in (as_json, as_xml):
        body = write(envelope([{"id": contact_id} for contact_id in ids]))
        cut = data.draw(st.integers(0, len(body) - 1))
        with pytest.raises(NotAnEnvelopeError):
            read_ids(body[:cut])


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_raise_anything_else(body: bytes) -> None:
    for read in (read_ids, read_rights, read_right):
        with contextlib.suppress(NotAnEnvelopeError):  # now and then they are an envelope
            read(body)
    read_error(body)


@pytest.mark.parametrize(
    "fields",
    [
        envelope([{"id": 1}], count=2),
        envelope([{"id": 1}], count=0),
        envelope([{"id": 1}], total=1500),
        envelope([{"id": 1}], Total=1500, Count=1, count=None),
        envelope([{"id": 1}], startIndex=5),
        envelope([{"id": 1}], nextIndex=1001),
        envelope([], count=3),
        envelope([], Count=3),
        {"status": 0, "response": [{"id": 1}]},
    ],
)
def test_counts_that_do_not_agree_make_the_list_incomplete(fields: dict[str, object]) -> None:
    if "Count" in fields and "count" in fields:
        fields = {key: value for key, value in fields.items() if key != "count"}
    assert not read_ids(as_json(fields)).complete


def test_a_total_that_agrees_leaves_the_list_complete() -> None:
    assert read_ids(as_json(envelope([{"id": 1}], total=1))).complete


@pytest.mark.parametrize("value", [1.0, 1e3, True, "7", None, [1], {"id": 1}])
def test_an_id_that_is_no_integer_spoils_the_answer(value: Any) -> None:
    with pytest.raises(NotAnEnvelopeError):
        read_ids(as_json(envelope([{"id": 5}, {"id": value}])))


@pytest.mark.parametrize("value", ["", "1.0", "seven", "1e3", "+7", "0x10", "7" * 5000])
def test_an_id_that_is_no_integer_spoils_an_xml_answer(value: Any) -> None:
    with pytest.raises(NotAnEnvelopeError):
        read_ids(as_xml(envelope([{"id": 5}, {"id": value}])))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \r\n",
        b"null",
        b"0",
        b"[]",
        b'[{"id":1}]',
        b"{}",
        b'{"response":[]}',
        b'{"status":0}',
        b'{"status":0,"response":null}',
        b'{"status":0,"response":{"id":1},"count":1}',
        b'{"status":0,"response":[1]}',
        b'{"status":0,"response":[{}],"count":1}',
        b'{"status":1,"response":[]}',
        b'{"status":false,"response":[]}',
        b'{"status":0.0,"response":[]}',
        b'{"status":"0","response":[]}',
        b'{"status":0,"statusCode":500,"response":[]}',
        b'{"status":0,"statusCode":500,"response":[{"id":1}],"count":1}',
        b'{"status":0,"response":[],"count":"0"}',
        b'{"status":0,"response":[{"id":1,"ID":2,"x":0}],"count":"1"}',
        b'{"status":0,"Status":1,"response":[]}',
        b'{"status":0,"response":[]} trailing',
        b'{"count":1,"status":0,"response":[{"id":1}',
        '{"status":0,"response":[]}'.encode("utf-16"),
        b"\x1f\x8b\x08\x00garbage",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"<html><body>Welcome</body></html>",
        b"<!DOCTYPE html><html><p>unclosed</html>",
        b"<result/>",
        b"<result><status>1</status></result>",
        b"<result><status/></result>",
        b"<result><status>0</status><status>1</status></result>",
        b"<other><status>0</status></other>",
        b"<result><status>0</status><response/></result>",
        b'<?xml version="1.0" encoding="no-such"?><result><status>0</status></result>',
        b'<!DOCTYPE r [<!ENTITY a "0">]><result><status>&a;</status></result>',
    ],
)
def test_what_is_not_an_envelope_of_success_is_refused(body: bytes) -> None:
    with pytest.raises(NotAnEnvelopeError):
        read_ids(body)


def test_an_xml_envelope_without_response_elements_is_an_empty_list() -> None:
    assert read_ids(b"<result><status>0</status><statusCode>200</statusCode></result>") == Ids([], complete=True)


def test_a_byte_order_mark_does_no_harm() -> None:
    assert read_ids(b"\xef\xbb\xbf" + as_json(envelope([{"id": 1}]))) == Ids([1], complete=True)


def test_bytes_of_another_charset_in_fields_that_nobody_reads_do_no_harm() -> None:
    body = b'{"count":1,"status":0,"response":[{"displayName":"Andr\xe9","id":1}]}'
    assert read_ids(body) == Ids([1], complete=True)


@formats
@pytest.mark.parametrize(
    ("can_edit", "can_delete", "visible"),
    [
        (True, True, Visible.DELETABLE),
        (True, False, Visible.HAS_INVOICE),
        (False, False, Visible.READ_ONLY),
        (False, True, Visible.READ_ONLY),
    ],
)
def test_rights_say_what_can_be_done_with_a_contact(
    write: Write, can_edit: bool, can_delete: bool, visible: Visible
) -> None:
    item = {"id": 7, "canEdit": can_edit, "canDelete": can_delete}
    assert read_rights(write(envelope([item]))).visible == {7: visible}
    assert read_right(write(envelope([], count=1, response=item))).visible == {7: visible}
    pascal = {"ID": 7, "CanEdit": can_edit, "CanDelete": can_delete}
    assert read_rights(write(envelope([pascal]))).visible == {7: visible}


@formats
@pytest.mark.parametrize("missing", ["id", "canEdit", "canDelete"])
@pytest.mark.parametrize("instead", [None, 1, "maybe"])
def test_a_look_up_that_lacks_a_right_is_no_answer(write: Write, missing: str, instead: object) -> None:
    item: dict[str, object] = {"id": 7, "canEdit": True, "canDelete": True}
    item[missing] = "x" if missing == "id" else instead
    with pytest.raises(NotAnEnvelopeError):
        read_rights(write(envelope([item])))


def test_a_short_look_up_is_incomplete() -> None:
    item = {"id": 7, "canEdit": True, "canDelete": True}
    assert not read_rights(as_json(envelope([item], count=2))).complete
    assert not read_rights(as_json(envelope([], count=2))).complete


def test_a_single_object_is_read_with_its_status_code() -> None:
    body = as_json(envelope([], count=1, statusCode=201, response={"Token": "abc", "expires": "2030"}))
    assert read_object(body, status_code=201) == {"token": "abc", "expires": "2030"}
    with pytest.raises(NotAnEnvelopeError):
        read_object(body, status_code=200)


@formats
def test_an_error_envelope_gives_hresult_and_message(write: Write) -> None:
    fields = {
        "status": 1,
        "statusCode": 500,
        "error": {"message": "Deadlock found", "hresult": -2147467259, "data": {}},
    }
    error = read_error(write(fields))
    assert (error.kind, error.hresult, error.message) == (Body.API_ERROR, -2147467259, "Deadlock found")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", Body.EMPTY),
        (b"\r\n ", Body.EMPTY),
        (b"<html><h1>502</h1></html>", Body.HTML),
        (b"\xef\xbb\xbf <!DOCTYPE html>", Body.HTML),
        (b"Unauthorized", Body.TEXT),
        (b'{"status":404,"error":"Not Found"}', Body.TEXT),
        (b'{"status":0,"response":[]}', Body.TEXT),
        (b'{"error":{"message":"of another API"}}', Body.TEXT),
    ],
)
def test_the_kind_of_any_other_body_is_told_apart(body: bytes, kind: Body) -> None:
    assert read_error(body).kind is kind
