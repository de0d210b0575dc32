"""Which contacts exist and which of them may be deleted."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from simulator import World

id_sets = st.sets(st.integers(1, 300), max_size=40)


def test_a_number_of_contacts_are_the_ids_from_one() -> None:
    assert list(World(3).alive) == [1, 2, 3]


def test_explicit_contacts() -> None:
    assert list(World([7, 2**31 - 1]).alive) == [7, 2**31 - 1]


@given(st.integers(40, 200), st.lists(st.integers(0, 8), min_size=5, max_size=5), st.integers())
def test_picked_contacts_are_disjoint_and_as_many_as_asked_for(contacts: int, numbers: list[int], seed: int) -> None:
    read_only, invoiced, invisible, missing, poisoned = numbers
    world = World(
        contacts,
        read_only=read_only,
        invoiced=invoiced,
        invisible=invisible,
        missing=missing,
        poisoned=poisoned,
        seed=seed,
    )
    sets = [world.read_only, world.invoiced, world.invisible, world.poisoned]
    assert [len(ids) for ids in sets] == [read_only, invoiced, invisible, poisoned]
    assert len(BitMap.union(BitMap(), *sets)) == sum(map(len, sets))
    assert len(world.existed) == contacts - missing
    assert all(ids <= world.existed for ids in sets)


def test_the_same_seed_picks_the_same_contacts() -> None:
    assert World(1000, read_only=20, seed=1).read_only == World(1000, read_only=20, seed=1).read_only
    assert World(1000, read_only=20, seed=1).read_only != World(1000, read_only=20, seed=2).read_only


def test_too_many_special_contacts_are_an_error() -> None:
    with pytest.raises(ValueError, match="cannot pick 11 contacts: only 10"):
        World(10, read_only=6, invoiced=5)


@given(id_sets, id_sets, id_sets, id_sets, id_sets)
def test_eligible_is_what_is_there_visible_writable_and_free_of_invoices(
    alive: set[int], read_only: set[int], invoiced: set[int], invisible: set[int], asked: set[int]
) -> None:
    world = World(alive, read_only=read_only, invoiced=invoiced, invisible=invisible)
    assert set(world.eligible(BitMap(asked))) == (asked & alive) - read_only - invoiced - invisible
    assert set(world.visible(BitMap(asked))) == (asked & alive) - invisible
    assert all(world.can_delete(contact_id) for contact_id in world.eligible(BitMap(asked)))
    assert {number for number in asked if world.can_edit(number)} == (asked & alive) - invisible - read_only


@given(id_sets, id_sets)
def test_a_contact_can_be_deleted_once(alive: set[int], asked: set[int]) -> None:
    world = World(alive)
    assert set(world.delete(BitMap(asked))) == asked & alive
    assert not world.delete(BitMap(asked))
    assert set(world.alive) == set(world.deletable) == alive - asked


def test_created_contacts_can_be_deleted() -> None:
    world = World(2)
    world.create([9])
    assert 9 in world.deletable


def test_ten_million_contacts_cost_less_than_two_bytes_each() -> None:
    world = World(10_000_000, read_only=1000)
    world.delete(BitMap(range(1, 1_000_000, 7)))
    held = (world.existed, world.alive, world.deletable, world.read_only)
    assert sum(len(ids.serialize()) + sys.getsizeof(ids) for ids in held) < 20_000_000


def test_attributes_of_ten_million_contacts_cost_next_to_nothing() -> None:
    world = World(10_000_000, employed=True)
    about = world.attributes
    assert not any((about.tagged, about.stages, about.types, about.emails, about.names, about.no_email))
    assert len(world.companies()) == 2_000_000
    assert len(world.companies().serialize()) < 2_000_000
    world.delete(BitMap(range(1, 10_000_000, 2)))
    assert (world.company_of(10), world.company_of(9_999_986)) == (8, None)


def test_numbers_of_contacts_with_an_attribute_are_picked_by_the_seed() -> None:
    def picked(seed: int) -> list[BitMap]:
        world = World(1000, tagged={"a": 30, "b": 30}, no_email=20, stages={1: 10}, seed=seed)
        return [
            world.select(tags=["a"]),
            world.select(tags=["b"]),
            world.select(without_email=True),
            world.select(stage=1),
        ]

    assert [len(ids) for ids in picked(1)] == [30, 30, 20, 10]
    assert picked(1) == picked(1)
    assert picked(1) != picked(2)
    assert picked(1)[0] != picked(1)[1]


@pytest.mark.parametrize("wrong", [{"tagged": {"Old": [1], "old ": [2]}}, {"stages": {0: [1]}}, {"no_email": 4}])
def test_attributes_that_make_no_sense_are_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"tags|positive|cannot pick"):
        World(3, **wrong)


def test_a_view_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="no view"):
        World(3).select(view="dog")


def test_companies_are_every_fifth_contact_or_those_given() -> None:
    assert World(103).is_company(103)
    assert not World(103).is_company(101)
    assert World(5, companies=[1]).is_company(1)
    assert not World(5, companies=[1]).is_company(3)
