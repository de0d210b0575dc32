"""``PUT crm/contact`` over a real socket."""

import gzip
import json

import pytest

import simulator
from simulator import Behaviour, World
from tests.support.simulator_caller import call, delete


async def test_deletes_what_it_may_and_skips_the_rest_without_a_word() -> None:
    world = World([101, 102, 103, 104, 105], read_only=[102], invoiced=[104], invisible=[105])
    async with simulator.running(world) as portal:
        reply = await delete(portal, [101, 102, 103, 104, 105, 106, 0, -5])
        assert reply.status == 200
        assert reply.ids == [101, 103]
        assert reply.headers["content-type"] == "application/json; charset=UTF-8"
        assert list(portal.truth.alive) == [102, 104, 105]
        assert list(portal.truth.deleted) == [101, 103]


async def test_the_answer_byte_for_byte() -> None:
    async with simulator.running(World([101, 103])) as portal:
        reply = await delete(portal, [101, 102, 103])
    start = (
        b'{"count":2,"status":0,"statusCode":200,"response":['
        b'{"displayName":"Ann Lee","isCompany":false,"isPrivate":false,"isShared":true,"shareType":1,'
        b'"currency":null,"canEdit":true,"canDelete":true,"id":101,'
    )
    assert reply.body.startswith(start)
    assert b'{"displayName":"Acme","isCompany":true,' in reply.body
    assert reply.body.endswith(b'"}]}')


async def test_a_replay_lists_nothing() -> None:
    async with simulator.running(World(5)) as portal:
        assert (await delete(portal, [1, 2], "?fields=id")).ids == [1, 2]
        again = await delete(portal, [1, 2], "?fields=id")
        assert again.body == b'{"status":0,"statusCode":200,"response":[]}'
        assert [made.committed for made in portal.truth.calls] == [True, False]


async def test_an_empty_list_is_refused() -> None:
    async with simulator.running(World(5)) as portal:
        bodies: list[dict[str, object]] = [{"contactids": []}, {}, {"contactids": [[1]]}]
        for body in bodies:
            reply = await call(portal, "PUT", "/api/2.0/crm/contact", body)
            assert reply.status == 400
            assert reply.json["error"]["hresult"] == -2147467261
            assert list(reply.json) == ["status", "statusCode", "error"]
        assert len(portal.truth.alive) == 5


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/jsonp"])
async def test_another_content_type_is_an_empty_list(content_type: str | None) -> None:
    async with simulator.running(World(5)) as portal:
        assert (await delete(portal, [1], content_type=content_type)).status == 400
        assert len(portal.truth.alive) == 5


@pytest.mark.parametrize("bad", [None, True, 1.5, "abc", "", 2**31])
async def test_one_bad_element_deletes_nothing(bad: object) -> None:
    async with simulator.running(World(5)) as portal:
        assert (await delete(portal, [1, 2, bad])).status == 400
        assert len(portal.truth.alive) == 5


async def test_numbers_in_other_forms_are_accepted() -> None:
    async with simulator.running(World(20)) as portal:
        reply = await call(portal, "PUT", "/api/2.0/crm/contact?fields=id", {"contactIds": ["7", 5.0, "#10", 7]})
        assert reply.ids == [5, 7, 16]
        assert portal.truth.calls[0].contact_count == 4


async def test_a_body_cut_off_inside_the_array_deletes() -> None:
    async with simulator.running(World(2000)) as portal:
        reply = await call(portal, "PUT", "/api/2.0/crm/contact?fields=id", b'{"contactids":[1,12')
        assert reply.ids == [1, 12]


async def test_ids_in_the_query_string_are_added() -> None:
    async with simulator.running(World(5)) as portal:
        assert (await delete(portal, [1], "?contactids=3&contactIds=2&fields=id")).ids == [1, 2, 3]


@pytest.mark.parametrize(
    ("asked", "query", "head", "listed"),
    [
        (1000, "", b'{"count":1000,"status":0', 1000),
        (1500, "", b'{"count":1000,"total":1500,"status":0', 1000),
        (1500, "&count=0", b'{"count":1500,"total":1500,"status":0', 1500),
        (1500, "&count=5000", b'{"count":1000,"total":1500,"status":0', 1000),
        (1500, "&count=x", b'{"count":1000,"total":1500,"status":0', 1000),
        (10, "&count=4", b'{"count":4,"total":10,"status":0', 4),
        (10, "&startIndex=7", b'{"count":3,"startIndex":7,"status":0', 3),
        (0, "&count=0", b'{"nextIndex":1,"status":0', 0),
    ],
)
async def test_the_listing_is_cut_but_not_the_deletion(asked: int, query: str, head: bytes, listed: int) -> None:
    async with simulator.running(World(1500)) as portal:
        contact_ids = list(range(1, asked + 1)) or [9999]
        reply = await delete(portal, contact_ids, f"?fields=id{query}")
        assert reply.body.startswith(head)
        assert len(reply.ids) == listed
        assert len(portal.truth.deleted) == asked
        assert len(portal.truth.calls[0].listed or ()) == listed


@pytest.mark.parametrize("path", ["crm/contact", "crm/contact.json", "CRM/Contact"])
async def test_equivalent_addresses(path: str) -> None:
    async with simulator.running(World(5)) as portal:
        assert (await call(portal, "PUT", f"/api/2.0/{path}?fields=id", {"contactids": [1]})).ids == [1]


async def test_xml_only_without_a_json_body() -> None:
    async with simulator.running(World(5)) as portal:
        path = "/api/2.0/crm/contact.xml?fields=id,displayName"
        as_json = await call(portal, "PUT", path, {"contactids": [1]})
        assert as_json.headers["content-type"].startswith("application/json")
        body = b"<request><contactids>2</contactids><contactids>4</contactids></request>"
        as_xml = await call(portal, "PUT", path, body, content_type="text/xml")
        assert as_xml.headers["content-type"] == "text/xml; charset=UTF-8"
        assert as_xml.body.startswith(
            b"<result><count>2</count><status>0</status><statusCode>200</statusCode><response><displayName>"
        )
        assert as_xml.body.count(b"<response>") == 2
        assert b"<id>2</id>" in as_xml.body


async def test_casing_and_order_are_switches() -> None:
    behaviour = Behaviour(casing="upper_id", envelope_casing="pascal", answer_order="request")
    async with simulator.running(World(9), behaviour) as portal:
        reply = await delete(portal, [3, 1, 2], "?fields=id")
        assert reply.body == b'{"Count":3,"Status":0,"StatusCode":200,"Response":[{"ID":3},{"ID":1},{"ID":2}]}'
        behaviour.change({"casing": "camel", "envelope_casing": "camel", "answer_order": "shuffled"})
        assert sorted((await delete(portal, [4, 5, 6], "?fields=id")).ids) == [4, 5, 6]


async def test_gzip_needs_an_untrimmed_word() -> None:
    async with simulator.running(World(9), Behaviour(gzip=True)) as portal:
        plain = await delete(portal, [1], headers={"Accept-Encoding": "deflate, gzip"})
        assert "content-encoding" not in plain.headers
        packed = await delete(portal, [2], headers={"Accept-Encoding": "gzip, deflate"})
        assert packed.headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(packed.body))["count"] == 1


async def test_wrong_routes_are_html_404() -> None:
    async with simulator.running(World(9)) as portal:
        for method, path in [
            ("POST", "/api/2.0/crm/contact"),
            ("GET", "/api/2.0/nothing"),
            ("PUT", "/api/2.0/crm/contact/mail"),
            ("PUT", "/crm/contact"),
            ("GET", "/"),
        ]:
            reply = await call(portal, method, path, {"contactids": [1]} if method == "PUT" else None)
            assert (reply.status, reply.headers["content-type"]) == (404, "text/html")
            assert b"<html>" in reply.body
        assert len(portal.truth.alive) == 9


async def test_a_body_over_the_limit_is_413() -> None:
    async with simulator.running(World(9), Behaviour(body_limit=100)) as portal:
        reply = await delete(portal, list(range(1, 60)))
        assert (reply.status, reply.headers["content-type"]) == (413, "text/html")
        assert len(portal.truth.alive) == 9


async def test_single_deletion() -> None:
    async with simulator.running(World(9, read_only=[2], invoiced=[3], invisible=[4])) as portal:
        statuses = {
            contact_id: (await call(portal, "DELETE", f"/api/2.0/crm/contact/{contact_id}")).status
            for contact_id in (0, 1, 2, 3, 4, 99)
        }
        assert statuses == {0: 400, 1: 200, 2: 403, 3: 403, 4: 403, 99: 404}
        assert list(portal.truth.deleted) == [1]
        assert portal.truth.sent_in(1) == [2]


async def test_deleting_by_filter_deletes_more_than_was_meant() -> None:
    user = "93580c54-1132-4d6b-bf2d-da0bfaaa1a28"
    world = World(9, tagged={"trash": [1, 2, 3]}, invoiced=[3], responsible={user: [1]})
    async with simulator.running(world) as portal:
        path = "/api/2.0/crm/contact/filter"
        reply = await call(portal, "DELETE", f"{path}?tags=trash&responsibleid={user}&fields=id")
        assert reply.ids == [1, 2]
        assert list(portal.truth.deleted) == [1, 2]
        assert list(portal.truth.sent) == [1, 2, 3]
        await call(portal, "DELETE", f"{path}?tag=trash")
        assert list(portal.truth.alive) == [3]
        assert [recorded.kind for recorded in portal.truth.calls] == ["delete_by_filter"] * 2
