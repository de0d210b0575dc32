"""The simulated portal's listing: what it matches, with the traps of the real one, against the oracle."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import World
from simulator.replies import PortalError
from tests.support.simulated_listing import ids, listing, portal_with, walk

USERS = ("93580c54-1132-4d6b-bf2d-da0bfaaa1a28", "5cf9c9a0-5f9c-4b0a-a1a5-6f2a3c3f0b11")
TAGS = ("trash", "Old & cold", "a,b")
N = 60

#: A walk over many pages takes long on a busy machine.
law = settings(deadline=None)

contact_ids = st.integers(1, N)
some = st.sets(contact_ids, max_size=25)
moments = st.tuples(st.integers(0, 5), st.sampled_from(("00:00:00", "12:30:00", "23:58:59", "23:59:00")))


@st.composite
def worlds(draw: st.DrawFn, *, times: st.SearchStrategy[tuple[int, str]] = moments) -> World:
    days = draw(st.dictionaries(contact_ids, times, max_size=20))
    return World(
        N,
        invisible=draw(some),
        read_only=draw(some),
        no_email=draw(some),
        tagged={name: draw(some) for name in TAGS},
        stages={1: draw(st.sets(st.integers(1, 30)))},
        types={7: draw(some)},
        responsible={user: draw(some) for user in USERS},
        with_opportunity=draw(some),
        created={number: f"{date(2010, 1, 1) + timedelta(day)}T{time}" for number, (day, time) in days.items()},
        import_block=7,
        import_every_s=28800,
        employed=draw(st.booleans()),
    )


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


days = st.integers(-1, 7).map(lambda number: (date(2010, 1, 1) + timedelta(number)).isoformat())

filters = st.fixed_dictionaries(
    {
        "tags": st.sets(st.sampled_from(TAGS)).map(sorted),
        "view": st.sampled_from(("all", "company", "person", "with_opportunity")),
        "stage": optional(st.sampled_from((0, 1, 2))),
        "type": optional(st.sampled_from((0, 7))),
        "responsible": optional(st.sampled_from(USERS)),
        "created_from": optional(days),
        "created_to": optional(days),
    }
)


def query_of(members: dict[str, Any]) -> list[tuple[str, str]]:
    """Write a filter as the query of a listing."""
    names = {
        "stage": "contactStage",
        "type": "contactType",
        "responsible": "responsibleid",
        "created_from": "fromDate",
        "created_to": "toDate",
        "text": "filterValue",
    }
    query = [("tags", name) for name in members.get("tags", [])]
    query.append(("contactListView", members.get("view", "all").replace("_", "")))
    return query + [(names[name], str(members[name])) for name in names if members.get(name) is not None]


@law
@given(worlds(), filters, st.integers(1, 9))
def test_paging_by_items_received_yields_every_match_once(world: World, members: dict[str, Any], count: int) -> None:
    assert walk(portal_with(world), query_of(members), count) == list(world.select(**members))


@law
@given(worlds(), filters)
def test_the_listing_without_the_last_minute_of_a_day_is_what_is_meant(world: World, members: dict[str, Any]) -> None:
    portal, meant = portal_with(world), world.select(**members)
    assert listing(portal, [*query_of(members), ("sortBy", "id")])["response"] == [
        record for record in listing(portal, "sortBy=id")["response"] if record["id"] in meant
    ]


last_minutes = st.tuples(st.integers(0, 5), st.sampled_from(("23:59:00", "23:59:01", "23:59:30", "23:59:59")))


@law
@given(worlds(times=last_minutes), days)
def test_the_last_minute_of_the_last_day_is_missed_and_nothing_else(world: World, last: str) -> None:
    listed, meant = set(ids(portal_with(world), f"toDate={last}")), set(world.select(created_to=last))
    assert listed <= meant
    for number in meant - listed:
        created = world.creation.moment(number)
        assert created.date().isoformat() == last
        assert "23:59:01" <= f"{created:%H:%M:%S}" <= "23:59:59"
    for number in listed:
        assert world.creation.text(number)[:19] <= f"{last}T23:59:00"


@law
@given(worlds(), filters)
def test_a_record_shows_what_it_matched(world: World, members: dict[str, Any]) -> None:
    for record in listing(portal_with(world), [*query_of(members), ("sortBy", "id")])["response"]:
        assert set(members["tags"]) <= set(record.get("tags", []))
        assert record["created"] == world.creation.text(record["id"])
        assert record["canDelete"] == world.can_delete(record["id"])
        assert record["isCompany"] == world.is_company(record["id"])
        assert record.get("contactStatus", {"id": 0})["id"] == world.attributes.stage(record["id"])
        assert "contactType" not in record
        assert [item["infoType"] for item in record["commonData"]] == (
            [1] if world.attributes.email(record["id"]) else []
        )


@law
@given(worlds(), st.sets(st.sampled_from(TAGS)), st.booleans(), filters)
def test_what_the_portal_cannot_filter_is_left_over_in_the_records(
    world: World, unwanted: set[str], without_email: bool, members: dict[str, Any]
) -> None:
    records = listing(portal_with(world), [*query_of(members), ("sortBy", "id")])["response"]
    kept = [
        record["id"]
        for record in records
        if unwanted.isdisjoint(record.get("tags", [])) and not (without_email and record["commonData"])
    ]
    assert kept == list(world.select(without_tags=unwanted, without_email=without_email, **members))


@law
@given(st.integers(2, 60), st.integers(1, 9))
def test_next_index_skips_one_contact_per_page(contacts: int, count: int) -> None:
    seen = walk(portal_with(World(contacts)), [], count, by_next_index=True)
    skipped = set(range(1, contacts + 1)) - set(seen)
    assert skipped == set(range(count + 1, contacts + 1, count + 1))


def test_tags_are_compared_as_the_portal_does() -> None:
    portal = portal_with(World(9, tagged={"Old": [1, 2], "cold": [2, 3], "a,b": [4]}))
    assert ids(portal, "tags=old&tags=COLD") == [2]
    assert ids(portal, "tags=%20OLD%20") == [1, 2]
    assert ids(portal, "tags=a,b") == [4]
    assert ids(portal, "tags=a") == []
    assert ids(portal, "tags=") == []
    assert ids(portal, "tags=old&tags=none") == []


def test_a_tag_named_twice_matches_nothing() -> None:
    portal = portal_with(World(9, tagged={"old": [1, 2]}))
    assert ids(portal, "tags=old&tags=Old") == []


def test_unknown_parameters_widen_the_match_without_a_word() -> None:
    portal = portal_with(World(9, tagged={"old": [1, 2]}, stages={1: [2, 3]}))
    assert ids(portal, "tag=old") == list(range(1, 10))
    assert ids(portal, "tags=old&stage=1") == [1, 2]
    assert ids(portal, "tags=old&CONTACTSTAGE=1") == [2]
    assert ids(portal, "tags=old&isShared=true") == [1, 2]
    assert ids(portal, "tags=old&isShared=false") == []


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("All", [1, 2, 3]),
        ("0", [1, 2, 3]),
        ("company", [3]),
        ("1", [3]),
        ("Person", [1, 2]),
        ("2", [1, 2]),
        ("WithOpportunity", [2]),
        ("3", [2]),
        ("Persons", [1, 2, 3]),
        ("9", [1, 2, 3]),
        ("", [1, 2, 3]),
        ("Company,Person", [3]),
    ],
)
def test_views_have_names_and_numbers_and_any_other_is_all(view: str, expected: list[int]) -> None:
    assert ids(portal_with(World(3, with_opportunity=[2])), f"contactListView={view}") == expected


def test_stages_and_types_are_numbers() -> None:
    portal = portal_with(World(4, stages={1: [1], 2: [2]}, types={5: [2, 3]}))
    assert ids(portal, "contactStage=2") == [2]
    assert ids(portal, "contactStage=1,2") == [1]
    assert ids(portal, "contactStage=0") == [3, 4]
    assert ids(portal, "contactStage=-1") == [1, 2, 3, 4]
    assert ids(portal, "contactStage=") == [1, 2, 3, 4]
    assert ids(portal, "contactStage=3") == []
    assert ids(portal, "contactType=5&contactStage=2") == [2]


def test_responsible_users() -> None:
    portal = portal_with(World(4, responsible={USERS[0]: [1, 2], USERS[1]: [2]}))
    assert ids(portal, f"responsibleid={USERS[0].upper()}") == [1, 2]
    assert ids(portal, f"responsibleid={USERS[1]}") == [2]
    assert ids(portal, "responsibleid=00000000-0000-0000-0000-000000000000") == [3, 4]
    assert ids(portal, "responsibleid=11111111-1111-1111-1111-111111111111") == []


@pytest.mark.parametrize("query", ["contactStage=cold", "contactType=1.5", "responsibleid=me", "fromDate=yesterday"])
def test_a_value_of_the_wrong_kind_is_refused(query: str) -> None:
    with pytest.raises(PortalError) as refusal:
        ids(portal_with(World(4)), query)
    assert refusal.value.answer.status == 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("fromDate=2024-05-31", [1, 2, 3]),
        ("toDate=2024-05-31", [1, 4]),
        ("fromDate=2024-05-31T00:00:00&toDate=2024-05-31T00:00:00.0000000", [1]),
        ("fromDate=2024-05-31T23:59:30", [2, 3]),
        ("fromDate=2024-05-31T23:59:30%2B02:00", [2, 3]),
        ("fromDate=2024-05-31T21:59:30Z", [2, 3]),
        ("fromDate=2024-05-31T21:59:31Z", [3]),
    ],
)
def test_dates_are_those_of_the_portals_clock(query: str, expected: list[int]) -> None:
    world = World(
        4,
        created={
            1: "2024-05-31T23:59:00",
            2: "2024-05-31T23:59:30",
            3: "2024-06-01T00:00:00",
            4: "2024-05-30",
        },
    )
    portal = portal_with(world, utc_offset_minutes=120)
    assert ids(portal, query) == expected
    assert listing(portal, "sortBy=id&count=1")["response"][0]["created"] == "2024-05-31T23:59:00.0000000+02:00"
    assert list(world.select(created_from="2024-05-31", created_to="2024-05-31")) == [1, 2]


def test_the_default_order_follows_creation_times_that_were_set() -> None:
    portal = portal_with(World(5, created={2: "2030-01-01", 4: "2029-01-01", 5: "2000-01-01"}))
    newest_first = [record["id"] for record in listing(portal)["response"]]
    assert newest_first[:2] == [2, 4]
    assert newest_first[-1] == 5
    assert [record["id"] for record in listing(portal, "sortBy=created&count=1")["response"]] == [5]
