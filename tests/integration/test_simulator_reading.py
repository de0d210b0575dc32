"""Looking contacts up, one by one, in bulk, and page by page."""

import simulator
from simulator import Behaviour, Portal, World
from tests.support.simulator_caller import Reply, call

MAIL = "/api/2.0/crm/contact/mail"


async def look_up(portal: Portal, contact_ids: list[int], more: str = "") -> Reply:
    return await call(portal, "GET", f"{MAIL}?{'&'.join(f'contactids={number}' for number in contact_ids)}{more}")


async def test_bulk_look_up_lists_the_visible_with_what_may_be_done() -> None:
    world = World(9, read_only=[2], invoiced=[3], invisible=[4], missing=[5])
    async with simulator.running(world) as portal:
        reply = await look_up(portal, [1, 2, 3, 4, 5, 99], "&fields=id,canEdit,canDelete")
        assert reply.body == (
            b'{"count":3,"status":0,"statusCode":200,"response":['
            b'{"canEdit":true,"canDelete":true,"id":1},'
            b'{"canEdit":false,"canDelete":false,"id":2},'
            b'{"canEdit":true,"canDelete":false,"id":3}]}'
        )
        whole = (await look_up(portal, [1])).json["response"][0]
        assert {"id", "displayName", "isCompany", "canEdit", "canDelete", "currency", "email"} <= set(whole)


async def test_bulk_look_up_tells_the_address_of_those_that_have_one() -> None:
    async with simulator.running(World(9, no_email=[2])) as portal:
        records = (await look_up(portal, [1, 2])).json["response"]
        assert [record.get("email", {}).get("data") for record in records] == ["contact1@example.com", None]
        assert "email" not in records[1]
        assert not any("tags" in record for record in records)


async def test_deleting_a_company_leaves_its_persons() -> None:
    async with simulator.running(World(9, employed=True)) as portal:
        persons = "/api/2.0/crm/contact/company/3/person?fields=id,company"
        assert [record["company"]["id"] for record in (await call(portal, "GET", persons)).json["response"]] == [3] * 4
        await call(portal, "PUT", "/api/2.0/crm/contact", {"contactids": [3, 4]})
        assert (await call(portal, "GET", persons)).status == 404
        left = (await call(portal, "GET", "/api/2.0/crm/contact/5")).json["response"]
        assert "company" not in left


async def test_bulk_look_up_refuses_what_is_no_integer() -> None:
    async with simulator.running(World(9)) as portal:
        assert (await call(portal, "GET", f"{MAIL}?contactids=x")).status == 400


async def test_bulk_look_up_lists_no_more_than_a_page() -> None:
    async with simulator.running(World(9), Behaviour(page_limit=3)) as portal:
        told = (await look_up(portal, [1, 2, 3, 4], "&fields=id")).json
        assert (told["count"], told["total"], len(told["response"])) == (3, 4, 3)


async def test_bulk_look_up_can_be_missing() -> None:
    async with simulator.running(World(9), Behaviour(bulk_look_up=False)) as portal:
        reply = await look_up(portal, [1])
        assert (reply.status, reply.headers["content-type"]) == (404, "text/html")


async def test_the_longest_request_line() -> None:
    fitting = [1] * ((16384 - len(f"GET {MAIL}? HTTP/1.1\n")) // len("contactids=1&"))
    async with simulator.running(World(9)) as portal:
        assert (await look_up(portal, fitting)).status == 200
        too_long = await look_up(portal, [*fitting, 1, 1])
        assert (too_long.status, too_long.headers["content-type"]) == (414, "text/html")
        portal.behaviour.request_line_limit = 2048
        assert (await look_up(portal, fitting[:100])).status == 200
        assert (await look_up(portal, fitting[:200])).status == 414


async def test_reading_one_does_not_tell_missing_from_invisible() -> None:
    async with simulator.running(World(9, invisible=[4])) as portal:
        replies = {n: await call(portal, "GET", f"/api/2.0/crm/contact/{n}") for n in (0, 1, 4, 99)}
        assert {number: reply.status for number, reply in replies.items()} == {0: 400, 1: 200, 4: 404, 99: 404}
        assert replies[4].body == replies[99].body
        assert replies[1].json["response"]["id"] == 1
        assert replies[1].json["count"] == 1


async def page(portal: Portal, query: str) -> Reply:
    return await call(portal, "GET", f"/api/2.0/crm/contact/filter?fields=id&{query}")


async def test_pages_by_id_cover_all_when_advanced_by_the_items_received() -> None:
    async with simulator.running(World(2500, invisible=7)) as portal:
        seen: list[int] = []
        while ids := (await page(portal, f"sortBy=id&sortOrder=ascending&startIndex={len(seen)}")).ids:
            seen += ids
        assert seen == list(portal.world.visible())


async def test_next_index_is_one_too_large() -> None:
    async with simulator.running(World(25)) as portal:
        first = (await page(portal, "sortBy=id&count=10")).json
        assert (first["count"], first["nextIndex"], first["total"]) == (10, 11, 25)
        second = await page(portal, f"sortBy=id&count=10&startIndex={first['nextIndex']}")
        assert second.ids == list(range(12, 22))
        last = (await page(portal, "sortBy=id&count=10&startIndex=20")).json
        assert "nextIndex" not in last
        assert (last["count"], last["startIndex"], last["total"]) == (5, 20, 25)


async def test_an_index_out_of_range_invents_a_total() -> None:
    async with simulator.running(World(25)) as portal:
        assert (await page(portal, "sortBy=id&startIndex=500")).json == {
            "startIndex": 500,
            "total": 500,
            "status": 0,
            "statusCode": 200,
            "response": [],
        }


async def test_descending_pages() -> None:
    async with simulator.running(World(25)) as portal:
        assert (await page(portal, "sortBy=ID&sortOrder=descending&count=3&startIndex=1")).ids == [24, 23, 22]
        assert (await page(portal, "sortBy=id&sortOrder=desc&count=2")).ids == [1, 2]


async def test_the_default_order_is_newest_first_and_unstable() -> None:
    async with simulator.running(World(2000)) as portal:
        first, second = [(await page(portal, "count=500&startIndex=100")).ids for _ in range(2)]
        assert len(first) == len(set(first)) == 500
        assert first != second
        blocks = [number // 512 for number in first]
        assert blocks == sorted(blocks, reverse=True)
        everything = (await page(portal, "count=1000")).ids + (await page(portal, "count=1000&startIndex=1000")).ids
        assert len(everything) == 2000
        assert len(set(everything)) < 2000


async def test_an_unknown_order_is_that_of_the_database() -> None:
    async with simulator.running(World(25)) as portal:
        assert (await page(portal, "sortBy=shoeSize&count=3")).ids == [1, 2, 3]
        assert len((await page(portal, "sortBy=displayName&count=30")).ids) == 25


async def test_the_total_is_kept_for_a_minute() -> None:
    async with simulator.running(World(25)) as portal:
        assert (await page(portal, "sortBy=id&count=5")).json["total"] == 25
        portal.truth.delete_outside([1, 2])
        assert (await page(portal, "sortBy=id&count=5")).json["total"] == 25
        await call(portal, "PUT", "/api/2.0/crm/contact", {"contactids": [3]})
        assert (await page(portal, "sortBy=id&count=5")).json["total"] == 22


async def test_filters() -> None:
    async with simulator.running(World(10, companies=[3, 8], tagged={"old": [1, 2, 3], "cold": [3, 4]})) as portal:
        assert (await page(portal, "sortBy=id&contactListView=Company")).ids == [3, 8]
        assert (await page(portal, "sortBy=id&contactListView=person&count=2")).ids == [1, 2]
        assert (await page(portal, "sortBy=id&tags=old&tags=cold")).ids == [3]
        assert (await page(portal, "sortBy=id&tags=none")).ids == []
        name = (await call(portal, "GET", "/api/2.0/crm/contact/1")).json["response"]["displayName"]
        assert 1 in (await page(portal, f"sortBy=id&filterValue={name.split()[0]}")).ids
        assert len((await page(portal, "fromDate=2010-01-01&toDate=2010-01-01")).ids) == 10
        assert (await page(portal, "fromDate=2010-01-02")).ids == []


async def test_capabilities_need_no_token() -> None:
    async with simulator.running(World(1)) as portal:
        reply = await call(portal, "GET", "/api/2.0/capabilities.json", authenticated=False)
        assert (reply.status, reply.json["count"]) == (200, 1)
