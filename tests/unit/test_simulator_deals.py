"""Opportunities and cases of the simulated portal: their lists, with the flaws of the contacts' listing."""

from typing import Any

import pytest
from pyroaring import BitMap

from simulator import Portal, World
from simulator.deal_calls import list_cases, list_opportunities, opportunities_of
from simulator.participation import Case, Opportunity
from tests.support.simulated_listing import ask, portal_with


@pytest.fixture
def portal() -> Portal:
    deals = [Opportunity(n, f"Deal {n % 4}", n % 3, BitMap([n, n + 1]), stage=1 + n % 2) for n in range(1, 13)]
    cases = [Case(n, f"Case {9 - n}", BitMap([n]), closed=n > 3) for n in range(1, 6)]
    return portal_with(World(20, invisible=[2], opportunities=deals, cases=cases), page_limit=5)


def numbers(page: dict[str, Any]) -> list[int]:
    return [one["id"] for one in page["response"]]


def test_an_order_that_the_database_does_not_know_is_made_afterwards(portal: Portal) -> None:
    seen: list[int] = []
    while page := numbers(ask(portal, list_opportunities, f"sortBy=id&startIndex={len(seen)}")):
        assert len(page) <= 5
        seen += page
    assert seen == list(range(1, 13))
    assert numbers(ask(portal, list_opportunities, "sortBy=id&sortOrder=descending")) == [12, 11, 10, 9, 8]


def test_the_page_has_the_listings_arithmetic(portal: Portal) -> None:
    page = ask(portal, list_opportunities, "sortBy=id&startIndex=5&count=3")
    assert (page["count"], page["startIndex"], page["nextIndex"], page["total"]) == (3, 5, 9, 12)
    last = ask(portal, list_opportunities, "sortBy=id&startIndex=10&count=3")
    assert (last["count"], last["total"], "nextIndex" in last) == (2, 12, False)
    assert ask(portal, list_opportunities, "sortBy=id&startIndex=50")["total"] == 50


def test_the_total_is_as_old_as_the_listings(portal: Portal) -> None:
    assert ask(portal, list_opportunities, "count=3")["total"] == 12
    portal.world.participation.add(Opportunity(50, "New"))
    assert ask(portal, list_opportunities, "count=3")["total"] == 12
    assert ask(portal, list_cases, "count=3")["total"] == 5


def test_opportunities_come_by_stage_and_equal_ones_in_any_order(portal: Portal) -> None:
    pages = [numbers(ask(portal, list_opportunities, "count=5")) for _ in range(20)]
    assert len({tuple(page) for page in pages}) > 1
    stages = [one["stage"]["id"] for one in ask(portal, list_opportunities, "")["response"]]
    assert stages == sorted(stages)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("contactid=1", [1, 4, 7, 10]),
        ("contactid=1&contactAlsoIsParticipant=true", [1, 4, 7, 10]),
        ("contactid=4&contactAlsoIsParticipant=TRUE", [3, 4]),
        ("contactid=4", []),
    ],
)
def test_opportunities_of_a_contact(portal: Portal, query: str, expected: list[int]) -> None:
    assert numbers(ask(portal, list_opportunities, f"sortBy=id&{query}")) == expected


def test_opportunities_by_contact(portal: Portal) -> None:
    assert sorted(numbers(ask(portal, opportunities_of, "", "1"))) == [1, 4, 7, 10]
    assert numbers(ask(portal, opportunities_of, "", "19")) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [("", [5, 4, 3, 2, 1]), ("isClosed=true", [5, 4]), ("contactid=3", [3]), ("sortBy=id", [1, 2, 3, 4, 5])],
)
def test_cases(portal: Portal, query: str, expected: list[int]) -> None:
    assert numbers(ask(portal, list_cases, query)) == expected


def test_contacts_that_cannot_be_seen_are_not_shown(portal: Portal) -> None:
    deal = ask(portal, list_opportunities, "sortBy=id&startIndex=1&count=1")["response"][0]
    assert [one["id"] for one in deal["members"]] == [3]
    assert "contact" not in deal
    assert deal["stage"] == {"color": "#fc8d62", "sortOrder": 1, "title": "Initial contact", "id": 1}


def test_zeros_are_left_out() -> None:
    portal = portal_with(
        World(1, opportunities=[Opportunity(1, "a", bid_value=2.5), Opportunity(2, "b", probability=0)])
    )
    first, second = ask(portal, list_opportunities, "sortBy=id")["response"]
    assert (first["bidValue"], first["successProbability"]) == (2.5, 10)
    assert not {"bidValue", "successProbability", "contact", "accessList", "actualCloseDate", "bidType"} & set(second)


def test_taking_part_in_an_opportunity_counts_for_the_view() -> None:
    world = World(
        9, with_opportunity=[9], opportunities=[Opportunity(1, "a", 2, BitMap([3]))], cases=[Case(1, "b", BitMap([4]))]
    )
    assert list(world.select(view="with_opportunity")) == list(world.with_opportunity()) == [2, 3, 9]
