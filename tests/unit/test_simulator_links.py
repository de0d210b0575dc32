"""Persons and their companies in the simulated portal, and what the records show of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from simulator import World
from simulator.contact_calls import read_contact, read_persons, read_tags
from simulator.replies import PortalError
from tests.support.simulated_listing import ask, listing, portal_with


def records(world: World) -> dict[int, Any]:
    return {record["id"]: record for record in listing(portal_with(world), "sortBy=id")["response"]}


def test_a_person_shows_its_company_and_a_company_counts_its_persons() -> None:
    shown = records(World(10, companies=[1, 2], persons_of={1: [3, 4]}, invoiced=[1]))
    assert (shown[3]["company"]["id"], shown[3]["company"]["isCompany"]) == (1, True)
    assert (shown[3]["company"]["displayName"], shown[3]["company"]["canDelete"]) == (shown[1]["displayName"], False)
    assert shown[1]["personsCount"] == 2
    assert "company" not in shown[5]
    assert "personsCount" not in shown[2]


def test_by_default_nobody_has_a_company() -> None:
    shown = records(World(10))
    assert not any("company" in record or "personsCount" in record for record in shown.values())


def test_everybody_can_be_employed_by_the_company_before() -> None:
    shown = records(World(12, employed=True))
    assert {number: record["company"]["id"] for number, record in shown.items() if "company" in record} == {
        4: 3, 5: 3, 6: 3, 7: 3, 9: 8, 10: 8, 11: 8, 12: 8
    }  # fmt: skip
    assert (shown[3]["personsCount"], shown[8]["personsCount"]) == (4, 4)


def test_a_deleted_company_leaves_its_persons_without_one() -> None:
    world = World(12, employed=True, persons_of={8: [4]})
    assert list(world.persons_of(8)) == [4, 9, 10, 11, 12]
    world.delete(BitMap([8]))
    assert [world.company_of(person) for person in (4, 5, 9, 12)] == [None, 3, None, None]
    assert {4, 9, 10, 11, 12} <= set(world.alive)
    world.create([8])
    assert [world.company_of(person) for person in (4, 9)] == [None, None]
    assert not world.persons_of(8)


def test_deleting_persons_lowers_the_count_of_their_company() -> None:
    world = World(12, employed=True, persons_of={8: [4]})
    world.delete(BitMap([4, 9]))
    assert records(world)[8]["personsCount"] == 3
    world.create([4, 9])
    assert [world.company_of(person) for person in (4, 9)] == [None, None]


def test_an_invisible_company_is_not_shown() -> None:
    assert "company" not in records(World(12, employed=True, invisible=[8]))[9]


def test_employment_by_formula_needs_companies_by_formula() -> None:
    with pytest.raises(ValueError, match="employed"):
        World(10, companies=[1], employed=True)


@given(
    st.lists(st.tuples(st.sampled_from(("join", "leave", "delete", "create")), st.integers(1, 20), st.integers(1, 20))),
    st.booleans(),
)
def test_both_directions_of_a_link_agree(steps: list[tuple[str, int, int]], employed: bool) -> None:
    world = World(20, employed=employed)
    for step, person, company in steps:
        if step == "delete":
            world.delete(BitMap([person]))
        elif step == "create":
            world.create([person])
        elif not world.is_company(person) and person in world.alive:
            joins = step == "join" and world.is_company(company) and company in world.alive
            world.links.join(person, company if joins else None)
            assert world.company_of(person) == (company if joins else None)
    for contact_id in world.alive:
        if world.is_company(contact_id):
            assert world.company_of(contact_id) is None
            assert all(world.company_of(person) == contact_id for person in world.persons_of(contact_id))
        elif (its_company := world.company_of(contact_id)) is not None:
            assert its_company in world.alive
            assert contact_id in world.persons_of(its_company)


def test_persons_of_a_company_are_listed_with_all_their_details() -> None:
    world = World(12, employed=True, tagged={"old": [5]}, invisible=[6])
    portal = portal_with(world)
    page = ask(portal, read_persons, path_value="3")
    assert [record["id"] for record in page["response"]] == [4, 5, 7]
    assert page["response"][1]["tags"] == ["old"]
    assert page["count"] == 3
    with pytest.raises(PortalError) as refusal:
        ask(portal, read_persons, path_value="99")
    assert refusal.value.answer.status == 404


def test_tags_are_told_by_listings_and_by_their_own_call_alone() -> None:
    portal = portal_with(World(12, tagged={"b": [5], "a": [5, 6]}, stages={2: [5]}))
    alone = ask(portal, read_contact, path_value="5")["response"]
    assert "tags" not in alone
    assert alone["contactStatus"]["id"] == 2
    assert ask(portal, read_tags, path_value="5") == {
        "count": 2,
        "status": 0,
        "statusCode": 200,
        "response": ["a", "b"],
    }
    assert ask(portal, read_tags, path_value="7")["response"] == []
    with pytest.raises(PortalError) as refusal:
        ask(portal, read_tags, path_value="13")
    assert refusal.value.answer.status == 404
    untagged, tagged = records(World(2, tagged={"a": [2]})).values()
    assert "tags" not in untagged
    assert tagged["tags"] == ["a"]


def test_custom_fields_and_details() -> None:
    world = World(3, no_email=[1], custom_fields={"Number": {2: "A/7"}}, notes={2: 'He said "no"'}, names={2: "Ö, Ü"})
    world.attributes.set_email(3, "a/b@example.org")
    shown = records(world)
    assert shown[1]["commonData"] == []
    assert [item["data"] for item in shown[3]["commonData"]] == ["a/b@example.org"]
    assert shown[2]["customFields"] == [
        {"entityId": 2, "label": "Number", "fieldValue": "A/7", "fieldType": 0, "position": 1, "mask": "", "id": 1}
    ]
    assert (shown[2]["about"], shown[2]["displayName"]) == ('He said "no"', "Ö, Ü")


def test_fields_choose_among_the_members_that_are_not_always_there() -> None:
    portal = portal_with(World(9, employed=True, tagged={"old": [4]}))
    assert listing(portal, "sortBy=id&startIndex=3&count=2&fields=id,tags")["response"] == [
        {"id": 4, "tags": ["old"]},
        {"id": 5},
    ]
    assert listing(portal, "sortBy=id&startIndex=3&count=2&fields=tags")["response"] == [{"tags": ["old"]}, {}]
