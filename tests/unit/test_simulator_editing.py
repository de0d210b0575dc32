"""Edits of the simulated portal's contacts while it runs."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import Behaviour, Truth, World
from simulator.behaviour import EditKind
from simulator.changes import Changes
from simulator.editing import Editor, edit

KINDS = list(get_args(EditKind))


def editor_of(world: World, **switches: Any) -> tuple[Editor, Truth]:
    truth = Truth(world)
    return Editor(lambda: truth, Behaviour(**switches)), truth


def attributes_of(world: World, contact_id: int) -> tuple[object, ...]:
    about = world.attributes
    return (
        about.is_company(contact_id),
        about.email(contact_id),
        about.tags(contact_id),
        about.stage(contact_id),
        about.type(contact_id),
        world.creation.second(contact_id),
        world.company_of(contact_id),
    )


@settings(deadline=None)
@given(st.lists(st.sampled_from(KINDS), min_size=1), st.integers(0, 40), st.sets(st.integers(1, 40)), st.integers(0, 9))
def test_it_edits_only_what_it_may_and_records_everything(
    kinds: list[EditKind], edit_from_id: int, edit_ids: set[int], seed: int
) -> None:
    world, before = [World(30, employed=True, tagged={"a": range(1, 20)}, seed=seed) for _ in range(2)]
    editor, truth = editor_of(world, edit_kinds=kinds, edit_from_id=edit_from_id, edit_ids=sorted(edit_ids), seed=seed)
    for _ in range(60):
        editor.edit_once()
    allowed = edit_ids | set(range(edit_from_id or 99, 31)) | set(truth.created)
    edited = {done.contact_id for done in truth.edits}
    assert edited <= allowed
    assert set(truth.deleted_outside) <= edited
    assert set(truth.created) <= edited
    assert [done.number for done in truth.edits] == list(range(1, len(truth.edits) + 1))
    for contact_id in set(range(1, 31)) - edited:
        assert contact_id in world.alive
        same_company = world.company_of(contact_id) in (before.company_of(contact_id), None)  # which may be gone
        assert attributes_of(world, contact_id)[:-1] == attributes_of(before, contact_id)[:-1]
        assert same_company
    assert not truth.deleted
    assert not truth.calls


def test_the_same_seed_makes_the_same_edits() -> None:
    def edits(seed: int) -> list[tuple[str, int, object]]:
        editor, truth = editor_of(World(30, tagged={"a": [1]}), edit_kinds=KINDS, edit_from_id=1, seed=seed)
        for _ in range(50):
            editor.edit_once()
        return [(done.kind, done.contact_id, done.value) for done in truth.edits]

    assert edits(1) == edits(1)
    assert edits(1) != edits(2)


def test_new_contacts_get_the_next_ids_and_some_get_tags() -> None:
    editor, truth = editor_of(World([5, 9], tagged={"trash": []}), edit_kinds=["create"])
    for _ in range(40):
        assert editor.edit_once()
    assert list(truth.created) == list(range(10, 50))
    assert 5 < len(truth.world.select(tags=["trash"])) < 35


def test_with_nothing_to_edit_nothing_happens() -> None:
    editor, truth = editor_of(World(9), edit_kinds=["delete", "tag"])
    assert not editor.edit_once()
    editor, truth = editor_of(World(9), edit_kinds=[], edit_from_id=1)
    assert not editor.edit_once()
    assert truth.edits == []


def test_contacts_that_are_gone_cannot_be_edited() -> None:
    truth = Truth(World(9, missing=[3]))
    assert not edit(truth, "tag", 3, "old")
    assert not edit(truth, "create", 4)
    assert edit(truth, "create", 3)
    assert [(done.kind, done.contact_id) for done in truth.edits] == [("create", 3)]


def test_an_id_that_is_used_again_begins_anew() -> None:
    world = World(
        9,
        employed=True,
        tagged={"old": [4]},
        stages={1: [4]},
        types={1: [4]},
        created={4: "2024-01-01"},
        names={4: "Zoe"},
        notes={4: "x"},
        no_email=[4],
        custom_fields={"a": {4: "b"}},
    )
    truth = Truth(world)
    edit(truth, "delete", 4)
    assert world.attributes.tags(4) == ["old"]
    edit(truth, "create", 4)
    fresh = World(9)
    assert attributes_of(world, 4) == attributes_of(fresh, 4)
    assert world.attributes.name(4) == fresh.attributes.name(4)
    assert world.attributes.fields(4) == {}


def change(truth: Truth, **changes: object) -> None:
    msgspec.json.decode(msgspec.json.encode(changes), type=Changes).apply(truth)


def test_every_change_from_outside() -> None:
    world = World(12, companies=[1, 2], tagged={"Old": [3, 4]})
    truth, about = Truth(world), world.attributes
    change(
        truth,
        tag={"old": [5], "new": [6]},
        untag={"OLD": [3]},
        set_stage={2: [3, 4]},
        set_type={7: [3]},
        set_email={3: "three@example.org"},
        remove_email=[4],
        set_created={3: "2024-05-31T23:59:30"},
        set_company={3: 1, 4: 1},
        add_responsible={"93580c54-1132-4d6b-bf2d-da0bfaaa1a28": [3]},
    )
    assert {name: list(ids) for name, ids in about.tagged.items()} == {"Old": [4, 5], "new": [6]}
    assert (about.stage(3), about.stage(4), about.type(3)) == (2, 2, 7)
    assert (about.email(3), about.email(4)) == ("three@example.org", None)
    assert f"{world.creation.moment(3):%d %H:%M:%S}" == "31 23:59:30"
    assert list(world.persons_of(1)) == [3, 4]
    assert list(world.select(responsible="93580C54-1132-4D6B-BF2D-DA0BFAAA1A28")) == [3]
    assert len(truth.edits) == 11
    change(truth, set_stage={0: [3]}, set_company={3: 0}, set_email={4: "four@example.org"}, delete=[1])
    assert (about.stage(3), about.stage(4), about.email(4)) == (0, 2, "four@example.org")
    assert (world.company_of(3), world.company_of(4)) == (None, None)
    assert list(truth.deleted_outside) == [1]


def test_contacts_can_be_created_with_attributes() -> None:
    world = World(5, tagged={"old": []})
    truth, about = Truth(world), world.attributes
    company = {"id": 100, "company": True, "name": "Quartz, Inc"}
    person = {
        "id": 103,
        "company": False,
        "company_id": 100,
        "tags": ["OLD", "b"],
        "stage": 1,
        "type": 2,
        "email": "",
        "created": "2024-05-31",
        "custom_fields": {"a": "b"},
        "note": "quartz",
        "responsible": ["93580c54-1132-4d6b-bf2d-da0bfaaa1a28"],
    }
    change(truth, create=[company, person, 200])
    assert list(truth.created) == [100, 103, 200]
    assert (about.name(100), world.is_company(100), world.is_company(103)) == ("Quartz, Inc", True, False)
    assert (about.tags(103), about.stage(103), about.type(103), about.email(103)) == (["b", "old"], 1, 2, None)
    assert (world.company_of(103), list(world.companies())) == (100, [3, 100])
    assert list(world.select(created_from="2024-05-31", created_to="2024-05-31")) == [103]
    change(truth, create=[{"id": 103, "name": "ignored, as it is there already"}])
    assert about.name(103) != "ignored, as it is there already"


@pytest.mark.parametrize(
    "changes",
    [
        {"set_company": {1: 2}},
        {"set_company": {3: 1}},
        {"set_created": {1: "31.5.2024"}},
        {"set_created": {1: "2024-02-30"}},
        {"set_stage": {-1: [1]}},
        {"create": [0]},
        {"create": [{"name": "no ID"}]},
        {"paint": [1]},
    ],
)
def test_a_change_that_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's and ours
        change(Truth(World(9)), **changes)
