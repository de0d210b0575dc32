"""The portal's answers, byte for byte."""

import json

import pytest

from simulator.creation import Creation
from simulator.elements import ElementWriter
from simulator.naming import display_name
from simulator.replies import ARGUMENT_NULL, DATABASE, error, page, success, unauthorized
from simulator.world import World
from simulator.xml_answers import to_xml

ANN = (
    '{"displayName":"Ann Lee","isCompany":false,"isPrivate":false,"isShared":true,"shareType":1,'
    '"currency":null,"canEdit":true,"canDelete":true,"id":101,'
    '"smallFotoUrl":"\\/products\\/crm\\/httphandlers\\/filehandler.ashx?action=contactphotoulr&cid=101&isc=false&ps=1",'
    '"mediumFotoUrl":"\\/products\\/crm\\/httphandlers\\/filehandler.ashx?action=contactphotoulr&cid=101&isc=false&ps=2"}'
)


def fields(*names: str) -> frozenset[str]:
    return frozenset(names)


def test_an_envelope_with_elements() -> None:
    assert success("[1,2]", count=2).body == b'{"count":2,"status":0,"statusCode":200,"response":[1,2]}'


def test_zero_numbers_are_left_out() -> None:
    assert success("[]", count=0).body == b'{"status":0,"statusCode":200,"response":[]}'


def test_the_numbers_come_in_the_portals_order() -> None:
    answer = success("[]", count=1, total=4, next_index=3, start_index=2)
    assert answer.body == (
        b'{"count":1,"startIndex":2,"nextIndex":3,"total":4,"status":0,"statusCode":200,"response":[]}'
    )


def test_the_published_casing_of_the_envelope() -> None:
    assert success("[]", count=1, casing="pascal").body == b'{"Count":1,"Status":0,"StatusCode":200,"Response":[]}'


def test_error_bodies() -> None:
    assert error(400, "…", ARGUMENT_NULL).body == (
        '{"status":1,"statusCode":400,"error":{"message":"…","hresult":-2147467261,"data":{}}}'.encode()
    )
    assert error(500, "Deadlock found …", DATABASE).body == (
        '{"status":1,"statusCode":500,"error":{"message":"Deadlock found …","hresult":-2147467259,"data":{}}}'.encode()
    )


def test_the_plain_401() -> None:
    answer = unauthorized(challenge=True)
    assert (answer.status, answer.body, answer.content_type) == (401, b"Unauthorized", "text/html")
    assert answer.headers == {"WWW-Authenticate": "Basic"}
    assert unauthorized(challenge=False).headers == {}


@pytest.mark.parametrize("status", [404, 413, 414, 502, 504])
def test_pages_are_html_and_name_their_status(status: int) -> None:
    answer = page(status)
    assert answer.content_type == "text/html"
    assert f"<title>{status} ".encode() in answer.body


def test_a_whole_element() -> None:
    assert ElementWriter(World([101]), deleted=True).write(101) == ANN
    assert json.loads(ANN)["smallFotoUrl"].startswith("/products/crm/")


def test_an_element_says_what_may_be_done_with_the_contact() -> None:
    writer = ElementWriter(World(5, read_only=[1], invoiced=[2]), fields("id", "canedit", "candelete"))
    assert writer.write_all([1, 2, 4]) == (
        '[{"canEdit":false,"canDelete":false,"id":1},'
        '{"canEdit":true,"canDelete":false,"id":2},'
        '{"canEdit":true,"canDelete":true,"id":4}]'
    )


def test_an_element_with_its_id_alone() -> None:
    writer = ElementWriter(World(5), fields("id"))
    assert writer.write_all([1, 2]) == '[{"id":1},{"id":2}]'
    assert writer.write_all([1]) == '[{"id":1}]'
    assert writer.write_all([]) == "[]"


def test_unknown_fields_leave_empty_elements() -> None:
    assert ElementWriter(World(5), fields("nothing")).write_all([1, 2]) == "[{},{}]"


def test_published_casings() -> None:
    assert ElementWriter(World(5), fields("id"), casing="pascal").write_all([1, 2]) == '[{"Id":1},{"Id":2}]'
    assert (
        ElementWriter(World(5), fields("id", "iscompany"), casing="upper_id").write(1) == '{"IsCompany":false,"ID":1}'
    )


@pytest.mark.parametrize("contact_id", [1, 8, 13, 999, 2**31 - 1])
def test_full_elements_are_json_with_tags(contact_id: int) -> None:
    world = World([contact_id], tagged={"old": [contact_id], "new": []})
    element = json.loads(ElementWriter(world, detail="full").write(contact_id))
    assert element["id"] == contact_id
    assert element["displayName"] == display_name(contact_id, company=world.is_company(contact_id))
    assert element["tags"] == ["old"]
    assert element["created"] == world.creation.text(contact_id)


def test_creation_times_rise_with_the_id() -> None:
    times = [Creation().text(contact_id) for contact_id in range(0, 10_000_000, 50_000)]
    assert times == sorted(times)


def test_xml_repeats_arrays_and_empties_nulls() -> None:
    answer = to_xml(success('[{"a":null,"b":true},{"a":"x<y\\/z","b":false}]', count=2))
    assert answer.content_type == "text/xml; charset=UTF-8"
    assert answer.body == (
        b"<result><count>2</count><status>0</status><statusCode>200</statusCode>"
        b"<response><a /><b>true</b></response><response><a>x&lt;y/z</a><b>false</b></response></result>"
    )


def test_an_empty_array_has_no_element_in_xml() -> None:
    assert to_xml(success("[]", count=0)).body == b"<result><status>0</status><statusCode>200</statusCode></result>"
