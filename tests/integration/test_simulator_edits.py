"""Attributes and edits of the simulated portal's contacts, over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import simulator
from simulator import Behaviour, Portal, World
from simulator.client import Refused, SimulatorClient, connect
from tests.support.simulator_caller import call, delete


@asynccontextmanager
async def both(world: World, behaviour: Behaviour | None = None) -> AsyncIterator[tuple[Portal, SimulatorClient]]:
    async with simulator.running(world, behaviour) as portal, connect(portal.url) as client:
        yield portal, client


async def ids(portal: Portal, query: str) -> list[int]:
    return (await call(portal, "GET", f"/api/2.0/crm/contact/filter?sortBy=id&fields=id&{query}")).ids


async def test_what_contacts_are_like() -> None:
    world = World(12, employed=True, tagged={"old": [4]}, stages={2: [4]}, no_email=[4], invoiced=[5], missing=[7])
    async with both(world, Behaviour(utc_offset_minutes=60)) as (portal, client):
        await delete(portal, [8])
        four, eight, seven = await client.describe([4, 8, 7])
        assert four == {
            "id": 4,
            "existed": True,
            "alive": True,
            "deletable": True,
            "read_only": False,
            "invoiced": False,
            "invisible": False,
            "kind": "person",
            "name": world.attributes.name(4),
            "note": "Met at the fair",
            "email": None,
            "tags": ["old"],
            "stage": 2,
            "type": 0,
            "responsible": [],
            "with_opportunity": False,
            "created": "2010-01-01T00:00:00.0000000+01:00",
            "custom_fields": {},
            "company_id": 3,
            "persons": [],
        }
        assert (eight["kind"], eight["existed"], eight["alive"], eight["persons"]) == ("company", True, False, [])
        assert (seven["existed"], seven["alive"]) == (False, False)
        assert (await client.describe([3]))[0]["persons"] == [4, 5, 6]


async def test_all_contacts_page_by_page() -> None:
    async with both(World(2500, missing=[1000])) as (_, client):
        described = [contact["id"] async for contact in client.describe_all()]
        assert described == [number for number in range(1, 2501) if number != 1000]
        assert [contact["id"] async for contact in client.describe_all(since_id=2498)] == [2499, 2500]
        await client.reset(contacts=0)
        assert [contact async for contact in client.describe_all()] == []


async def test_a_filter_as_it_is_meant() -> None:
    async with both(World(9, created={2: "2024-05-31T23:59:59"})) as (portal, client):
        assert list(await client.select(created_from="2024-05-31", created_to="2024-05-31")) == [2]
        assert await ids(portal, "fromDate=2024-05-31&toDate=2024-05-31") == []
        with pytest.raises(Refused, match="shoe_size"):
            await client.select(shoe_size=42)
        with pytest.raises(Refused, match="isoformat"):
            await client.select(created_to="tomorrow")


async def test_a_new_world_with_attributes() -> None:
    async with both(World(1)) as (portal, client):
        await client.reset(
            contacts=20,
            companies=4,
            tagged={"trash": 6, "keep": [1, 2]},
            stages={3: [5]},
            types={1: 2},
            no_email=3,
            seed=5,
        )
        assert len(await client.select(view="company")) == 4
        assert len(await ids(portal, "contactListView=Company")) == 4
        assert len(await ids(portal, "tags=trash")) == 6
        assert await ids(portal, "contactStage=3") == [5]
        assert len(await ids(portal, "contactType=1")) == 2
        assert len(await client.select(without_email=True)) == 3
        with pytest.raises(Refused, match="cannot pick"):
            await client.reset(contacts=2, tagged={"trash": 3})


async def test_contacts_change_while_it_runs() -> None:
    async with both(World(9, tagged={"trash": [1, 2, 3]})) as (portal, client):
        await client.change_world(
            untag={"trash": [2]}, tag={"trash": [4]}, create=[{"id": 50, "tags": ["trash"]}], delete=[3]
        )
        assert await ids(portal, "tags=trash") == [1, 4, 50]
        assert list(await client.select(tags=["trash"])) == [1, 4, 50]
        edits = await client.edits()
        assert [(edit["kind"], edit["contact_id"], edit["value"]) for edit in edits] == [
            ("create", 50, None),
            ("delete", 3, None),
            ("tag", 4, "trash"),
            ("untag", 2, "trash"),
        ]
        assert [edit["number"] for edit in await client.edits(since=3)] == [4]
        assert edits[0]["at_ms"] >= 0
        assert (await client.summary())["edits"] == 4


async def test_it_edits_by_itself_at_the_rate_that_is_set() -> None:
    behaviour = Behaviour(edits_per_s=500, edit_from_id=11)
    async with both(World(20, tagged={"trash": [1, 12]}), behaviour) as (portal, client):
        await client.wait(edits=30)
        await client.behave(edits_per_s=0)
        edits = await client.edits()
        assert {edit["contact_id"] for edit in edits}.isdisjoint(range(1, 11))
        assert set(portal.truth.deleted_outside) == {edit["contact_id"] for edit in edits if edit["kind"] == "delete"}
        assert not portal.truth.deleted
        await client.behave(edits_per_s=500)
        await client.wait(edits=len(edits) + 30)


async def test_calls_about_a_contact_have_kinds_of_their_own() -> None:
    async with both(World(9, employed=True, tagged={"old": [4]})) as (portal, client):
        assert (await call(portal, "GET", "/api/2.0/crm/contact/4/tag")).json["response"] == ["old"]
        assert (await call(portal, "GET", "/api/2.0/crm/contact/company/3/person.json")).ids == [4, 5, 6, 7]
        assert (await call(portal, "GET", "/api/2.0/crm/contact/company/3")).status == 404
        assert (await client.summary())["calls_by_kind"] == {"tags": 1, "persons": 1, "other": 1}
