"""The simulated portal's text search: what it finds beyond the name, and where it gives up."""

from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from simulator import World
from simulator.attributes import NOTE
from simulator.search import search
from tests.support.simulated_listing import ids, portal_with

USER = "93580c54-1132-4d6b-bf2d-da0bfaaa1a28"


def test_names_notes_details_fields_and_history_are_searched() -> None:
    world = World(
        20,
        names={1: "Zoe Quartz"},
        notes={2: "likes quartz"},
        custom_fields={"Stone": {3: "Quartz", 4: "Basalt"}},
        events={5: ["sold basalt", "sold quartz"]},
    )
    world.attributes.set_email(6, "quartz@example.org")
    world.attributes.set_email(7, "basalt@example.org")
    assert ids(portal_with(world), "filterValue=quartz") == [1, 2, 3, 5, 6]


def test_every_word_has_to_occur_in_one_document() -> None:
    portal = portal_with(World(9, notes={1: "red quartz", 2: "red", 3: "quartz red"}, events={2: ["quartz"]}))
    assert ids(portal, "filterValue=quartz+red") == [1, 3]


def test_only_what_stands_before_the_first_comma_is_searched() -> None:
    portal = portal_with(World(9, names={1: "Quartz, Inc", 2: "Quartz Ltd"}))
    assert ids(portal, "filterValue=Quartz, Inc") == [1, 2]


def test_nothing_before_the_comma_is_no_search_at_all() -> None:
    assert len(ids(portal_with(World(9)), "filterValue=, Inc")) == 9


def test_persons_of_a_company_that_was_found_are_added() -> None:
    world = World(12, employed=True, names={3: "Quartz", 9: "Quartz Person"})
    portal = portal_with(world)
    assert ids(portal, "filterValue=quartz") == [3, 4, 5, 6, 7, 9]
    assert ids(portal, "filterValue=quartz&contactListView=Person") == [4, 5, 6, 7, 9]
    assert ids(portal, "filterValue=quartz&contactListView=Company") == [3]


def test_persons_are_added_although_somebody_else_is_responsible_for_them() -> None:
    world = World(12, employed=True, names={3: "Quartz"}, responsible={USER: [3, 4]})
    assert ids(portal_with(world), f"filterValue=quartz&responsibleid={USER}") == [3, 4, 5, 6, 7]
    assert list(world.select(text="quartz", responsible=USER)) == [3, 4]


def test_each_index_gives_up_after_so_many_hits() -> None:
    world = World(
        3000, notes=dict.fromkeys(range(1, 2001), "quartz"), events={n: ["quartz"] for n in range(2500, 2510)}
    )
    portal = portal_with(world)
    query = "filterValue=quartz&startIndex=%s"
    assert [len(ids(portal, query % 0)), len(ids(portal, query % 1000))] == [1000, 10]
    portal.behaviour.search_hit_limit = 3
    assert ids(portal, query % 0) == [1, 2, 3, 2500, 2501, 2502]
    portal.behaviour.search_hit_limit = 0
    assert len(ids(portal, query % 1000)) == 1000
    assert len(world.select(text="quartz")) == 2010


def test_invisible_contacts_take_the_place_of_others() -> None:
    portal = portal_with(World(9, invisible=[1, 2], notes=dict.fromkeys(range(1, 6), "quartz")), search_hit_limit=3)
    assert ids(portal, "filterValue=quartz") == [3]


def test_contacts_deleted_in_a_batch_stay_in_the_index() -> None:
    world = World(9, notes=dict.fromkeys(range(1, 6), "quartz"))
    portal = portal_with(world, search_hit_limit=3)
    world.delete(BitMap([1, 2]))
    assert ids(portal, "filterValue=quartz") == [3]
    world.delete(BitMap([3]), unindex=True)
    assert ids(portal, "filterValue=quartz") == [4]


words = st.sampled_from(("ann", "LEE", "acme", "contact", "contact1", "@example", "5", "fair", "stark sons", "nowhere"))


@settings(deadline=None)
@given(st.sets(st.integers(1, 3000), max_size=60), words, st.booleans())
def test_without_a_limit_it_finds_what_is_meant(contacts: set[int], text: str, employed: bool) -> None:
    world = World(contacts, employed=employed)
    portal = portal_with(world, search_hit_limit=0)
    assert ids(portal, f"filterValue={text.replace(' ', '+')}") == list(world.select(text=text))


@settings(deadline=None)
@given(words, st.integers(1, 20))
def test_a_limit_leaves_a_part_of_the_hits(text: str, limit: int) -> None:
    world = World(200)
    few, all_ = search(world, text, limit), search(world, text, 0)
    assert few <= all_
    assert min(limit, len(all_)) <= len(few) <= 4 * limit


def test_new_contacts_are_found() -> None:
    world = World(9)
    portal = portal_with(world)
    assert ids(portal, "filterValue=contact77") == []
    world.create([77, 775])
    assert ids(portal, "filterValue=contact77") == [77, 775]
    world.attributes.set_email(775, None)
    assert ids(portal, "filterValue=contact77") == [77]


def test_the_common_note_is_searched_too() -> None:
    assert len(ids(portal_with(World(9, notes={4: ""})), f"filterValue={NOTE.split()[-1]}")) == 8
