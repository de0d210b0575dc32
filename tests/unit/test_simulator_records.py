"""Full records: what the portal shows of contacts of every kind, against the truth, which shares no code with it."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from simulator import World
from simulator.deal_calls import list_cases, list_opportunities
from simulator.elements import ElementWriter
from simulator.last_links import Linked, links_of
from simulator.participation import Case, Opportunity
from simulator.records import record
from simulator.users import COLLEAGUES, IMPORTER
from simulator.variety import NOTES, TAGS
from tests.support.simulated_listing import ask, listing, portal_with
from tests.support.wire_records import comparable, from_wire

N = 300


def shown(world: World) -> list[dict[str, Any]]:
    page = listing(portal_with(world), "sortBy=id")
    elements: list[dict[str, Any]] = page["response"]
    return elements


def test_the_listing_shows_what_is_true_of_every_contact() -> None:
    world = World(N, varied=True)
    portal = portal_with(world)
    deals = ask(portal, list_opportunities, "sortBy=id")["response"]
    cases = ask(portal, list_cases, "sortBy=id")["response"]
    for element in shown(world):
        wire = from_wire(element, deals, cases)
        assert wire == comparable(record(world, element["id"]), wire)


def test_the_portals_time_zone_is_in_the_dates_it_shows() -> None:
    world = World(N, varied=True)
    element = listing(portal_with(world, utc_offset_minutes=330), "sortBy=id&count=1")["response"][0]
    assert element["created"] == "2010-01-01T00:00:00.0000000+05:30"
    assert record(world, 1)["created"] == "2010-01-01T00:00:00.0000000Z"


def test_contacts_of_every_kind_are_there() -> None:
    elements = shown(World(N, varied=True))
    counted: Counter[str] = Counter()
    for element in elements:
        mails = [item for item in element["commonData"] if item["infoType"] == 1]
        counted.update(
            {
                "companies": element["isCompany"],
                "private": element["isPrivate"],
                "private with managers": bool(element.get("accessList")),
                "private for administrators": element.get("accessList") == [],
                "shared to be read": element["shareType"] == 2,
                "no mail": not mails,
                "several mails": len(mails) > 1,
                "phones": any(item["infoType"] == 0 for item in element["commonData"]),
                "sites": any(item["infoType"] == 2 for item in element["commonData"]),
                "several addresses": len(element.get("addresses", [])) > 1,
                "no last name": element.get("lastName") == "",
                "employed": "company" in element,
                "persons without a company": not element["isCompany"] and "company" not in element,
                "employers": element.get("personsCount", 0) > 0,
                "titles": "title" in element,
                "industries": "industry" in element,
                "currencies": element["currency"] is not None,
                "other creators": element["createBy"]["id"] != IMPORTER,
                "no tags": "tags" not in element,
                "several tags": len(element.get("tags", [])) > 1,
            }
        )
        counted.update(f"stage {element.get('contactStatus', {}).get('id')}" for _ in "1")
        counted.update(f"field type {item['fieldType']}" for item in element["customFields"])
        counted.update(f"tag {name}" for name in element.get("tags", []))
        counted.update(f"note {element['about']}" for _ in "1")
    wanted = {f"stage {stage}" for stage in (None, 1, 2, 3)} | {f"field type {kind}" for kind in (0, 1, 2, 3, 5)}
    wanted |= {f"tag {name}" for name in TAGS} | {f"note {note}" for note in NOTES}
    assert not [kind for kind, count in counted.items() if not count]
    assert wanted <= set(counted)


def test_a_plain_world_stays_plain() -> None:
    elements = shown(World(9))
    assert {element["shareType"] for element in elements} == {1}
    assert not any("accessList" in element or "addresses" in element or "title" in element for element in elements)
    assert f"{elements[0]['firstName']} {elements[0]['lastName']}" == elements[0]["displayName"]
    assert elements[2]["companyName"] == elements[2]["displayName"]


def test_what_was_asked_for_counts_before_the_variety() -> None:
    world = World(
        40, varied=True, private=[1], stages={2: [1]}, industries={"Banks": [1]}, notes={2: "mine"}, no_email=[3]
    )
    one = record(world, 1)
    assert (one["share_type"], one["stage"], one["industry"]) == (0, 2, "Banks")
    assert record(world, 2)["about"] == "mine"
    assert not any(detail["kind"] == "Email" for detail in record(world, 3)["details"])


def test_ten_million_varied_contacts_are_cheap() -> None:
    world = World(10_000_000, varied=True)
    page = json.loads(ElementWriter(world, detail="full").write_all(range(9_999_001, 10_000_001)))
    assert len(page) == 1000
    assert world.participation.opportunities.keys() == world.participation.cases.keys() == set(range(1, 501))
    size = sum(len(ids.serialize()) for ids in (*world.tagged.values(), world.profile.private))
    assert size < 40_000_000


def test_reading_one_contact_shows_all_but_its_tags() -> None:
    world = World(N, varied=True)
    for contact_id in range(1, 40):
        alone = json.loads(ElementWriter(world, detail="alone").write(contact_id))
        listed = json.loads(ElementWriter(world, detail="full").write(contact_id))
        listed.pop("tags", None)
        assert alone.pop("addresses") == listed.pop("addresses", [])
        assert alone == listed


def test_the_answer_to_a_deletion_tells_nothing_of_access() -> None:
    world = World(9, private=[1], responsible={COLLEAGUES[0]: [1]})
    element = json.loads(ElementWriter(world, deleted=True).write(1))
    assert (element["isPrivate"], element["accessList"], element["canDelete"]) == (True, [], True)


def test_the_record_of_a_deleted_contact_is_that_of_its_last_moment() -> None:
    opportunity = Opportunity(4, "Deal", 4, BitMap([4, 5]))
    world = World(
        9, employed=True, tagged={"a": [4]}, opportunities=[opportunity], cases=[Case(2, "Case", BitMap([3, 4]))]
    )
    person, company, other = (record(world, number) for number in (4, 3, 5))
    world.delete(BitMap([4]))
    assert record(world, 4) == person | {"alive": False}
    assert (opportunity.contact_id, list(opportunity.members)) == (0, [5])
    assert record(world, 3)["persons"] == [5, 6, 7]
    world.delete(BitMap([3, 5]))
    assert record(world, 3) == company | {"alive": False, "persons": [5, 6, 7]}
    assert record(world, 5) == other | {"alive": False}
    assert record(world, 5)["company_id"] == 3
    assert record(world, 6)["company_id"] is None
    world.delete(BitMap([6]))
    assert record(world, 6)["company_id"] is None


def test_a_contact_whose_id_is_used_again_has_nothing_of_the_former() -> None:
    world = World(N, varied=True)
    before = record(world, 26)
    world.delete(BitMap([26]))
    world.create([26])
    after = record(world, 26)
    assert before["addresses"] or before["tags"]
    assert (after["tags"], after["addresses"], after["custom_fields"], after["access"]) == ([], [], [], [])
    assert (after["opportunities"], after["cases"], after["industry"], after["share_type"]) == ([], [], None, 1)


@pytest.mark.parametrize("contact_id", [0, N + 1])
def test_there_is_no_record_of_what_never_existed(contact_id: int) -> None:
    with pytest.raises(KeyError):
        record(World(N), contact_id)


@pytest.mark.parametrize(("value", "expected"), [("true", 2), ("false", 1), ("", 3)])
def test_the_filter_for_shared_contacts(value: str, expected: int) -> None:
    page = listing(portal_with(World(3, private=[2])), f"sortBy=id&isShared={value}")
    assert len(page["response"]) == expected


def test_the_search_finds_details_notes_and_fields_of_varied_contacts() -> None:
    world = World(N, varied=True)
    for text in ("rīga", "o'neill+21", "Street", "quotes", "example.net", "emoji"):
        found = BitMap(
            element["id"]
            for element in listing(portal_with(world, search_hit_limit=0), [("filterValue", text)])["response"]
        )
        assert found == world.select(text=text), text
        assert found, text


@given(st.lists(st.lists(st.integers(1, 20), max_size=6), max_size=6), st.data())
def test_a_record_keeps_the_links_of_the_moment_of_its_deletion(
    deletions: list[list[int]], data: st.DataObject
) -> None:
    world = World(20, employed=True, missing=[8])
    for person, company in data.draw(
        st.lists(st.tuples(st.integers(1, 20), st.sampled_from([3, 8, 13, 18])), max_size=4)
    ):
        if not world.is_company(person):
            world.links.join(person, company)
    links: dict[int, Linked] = {}
    for contact_ids in deletions:
        gone = BitMap(contact_ids) & world.alive
        links |= {contact_id: links_of(world, contact_id) for contact_id in gone}
        world.delete(gone)
    for contact_id, linked in links.items():
        kept = record(world, contact_id)
        assert (kept["company_id"], kept["persons"]) == (linked.company_id, linked.persons)
