"""The calls that set something of a contact as a whole: its details, who has access to it; and the list of stages."""

import pytest

import simulator
from simulator import World
from simulator.records import record
from simulator.users import COLLEAGUES
from tests.support.simulator_caller import call

CONTACT = "/api/2.0/crm/contact"
ITEMS = [
    {"infoType": 1, "category": 1, "data": "ann@example.org", "isPrimary": True},
    {"infoType": "Phone", "category": 0, "data": "+371 5", "isPrimary": False},
    {"infoType": 7, "category": 2, "data": '{"street":"1 Elm","city":"Riga"}', "isPrimary": True},
]


@pytest.mark.parametrize("times", [1, 3])
async def test_replacing_details_leaves_only_those_that_were_sent(times: int) -> None:
    async with simulator.running(World(20, varied=True)) as portal:
        for _ in range(times):
            reply = await call(portal, "PUT", f"{CONTACT}/7/batch", {"items": ITEMS})
            assert reply.status == 200
            assert len(reply.json["response"]) == 3
        now = record(portal.world, 7)
        assert [(one["kind"], one["data"]) for one in now["details"]] == [
            ("Phone", "+371 5"),
            ("Email", "ann@example.org"),
        ]
        assert [(one["city"], one["category"]) for one in now["addresses"]] == [("Riga", "Office")]
        assert (await call(portal, "PUT", f"{CONTACT}/7/batch", {"items": []})).status == 200
        assert record(portal.world, 7)["details"] == record(portal.world, 7)["addresses"] == []


async def test_details_that_cannot_be_stored_leave_the_old_ones() -> None:
    async with simulator.running(World(20, varied=True, read_only=[8])) as portal:
        before = record(portal.world, 7)
        broken = [{"infoType": 7, "category": 0, "data": "no JSON", "isPrimary": True}]
        assert (await call(portal, "PUT", f"{CONTACT}/7/batch", {"items": broken})).status == 400
        assert record(portal.world, 7) == before
        for missing in (8, 99):
            assert (await call(portal, "PUT", f"{CONTACT}/{missing}/batch", {"items": ITEMS})).status == 404


async def test_access_is_set_as_a_whole() -> None:
    async with simulator.running(World(20, varied=True, read_only=[8])) as portal:
        for shared, managers in ((False, COLLEAGUES[:2]), (True, COLLEAGUES[1:2]), (True, [])):
            body = {"isShared": shared, "managerList": list(managers)}
            assert (await call(portal, "PUT", f"{CONTACT}/7/access", body)).status == 200
            now = record(portal.world, 7)
            assert (now["share_type"], now["access"]) == (int(shared), sorted(managers))
        assert (await call(portal, "PUT", f"{CONTACT}/8/access", {"isShared": True})).status == 403
        assert (await call(portal, "PUT", f"{CONTACT}/99/access", {"isShared": True})).status == 404


async def test_stages_are_listed_with_those_that_contacts_are_in() -> None:
    async with simulator.running(World(20, stages={9: [1, 2]})) as portal:
        reply = await call(portal, "GET", f"{CONTACT}/status")
        assert [stage["id"] for stage in reply.json["response"]] == [1, 2, 3, 9]
