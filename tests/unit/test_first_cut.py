"""What the portal is asked to leave out never costs a contact that matches, and arrives exactly as it was meant."""

from datetime import date
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.words.filters import Filter, View
from worker.first_cut import first_cut
from worker.wire import Format

ROOM = 8000

tags = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


def parameters(selection: Filter, max_chars: int = ROOM) -> list[tuple[str, str]]:
    return parse_qsl(first_cut(selection, max_chars).removeprefix("&"), keep_blank_values=True)


def test_every_member_that_the_portal_knows_is_asked_for() -> None:
    guid = "0b1c2d3e-0000-4000-8000-123456789abc"
    selection = Filter(
        tags=("b", "a"),
        without_tags=("c",),
        view=View.WITH_OPPORTUNITY,
        stage=0,
        type=7,
        responsible=guid,
        created_from=date(2020, 3, 1),
        created_to=date(2023, 12, 31),
        without_email=True,
        text="Ann",
    )
    assert parameters(selection) == [
        ("contactListView", "WithOpportunity"),
        ("contactStage", "0"),
        ("contactType", "7"),
        ("responsibleid", guid),
        ("fromDate", "2020-02-29"),
        ("toDate", "2024-01-01"),
        ("filterValue", "Ann"),
        ("tags", "a"),
        ("tags", "b"),
    ]


@pytest.mark.parametrize(
    "selection", [Filter(everything=True), Filter(without_tags=("a",)), Filter(without_email=True)]
)
def test_what_only_we_can_check_is_not_asked_for(selection: Filter) -> None:
    assert first_cut(selection, ROOM) == ""


@given(st.lists(tags, min_size=1, max_size=10))
def test_a_tag_arrives_as_it_is_unless_the_portal_could_split_it(given_tags: list[str]) -> None:
    selection = Filter(tags=tuple(given_tags))
    assert parameters(selection) == [("tags", tag) for tag in selection.tags if "," not in tag]


@given(st.lists(tags, min_size=1, max_size=50), st.integers(0, 300))
def test_tags_that_do_not_fit_are_left_out(given_tags: list[str], room: int) -> None:
    selection = Filter(tags=tuple(given_tags))
    assert len(first_cut(selection, room)) <= room
    assert {tag for _, tag in parameters(selection, room) if room} <= set(selection.tags)


@pytest.mark.parametrize("tag", ["a&b=c", "a#b", "50 %", "a+b", "Müller/Söhne", "a?b", "\N{PILE OF POO}"])
def test_the_target_is_percent_encoded(tag: str) -> None:
    target = Format("json").listing_target(10, 100, first_cut(Filter(tags=(tag,)), ROOM))
    assert target.isascii()
    assert not set(target) & set(' #"<>')
    parts = urlsplit(target)
    assert parts.path == "/api/2.0/crm/contact/filter"
    assert parse_qsl(parts.query) == [
        ("sortBy", "id"),
        ("sortOrder", "ascending"),
        ("count", "100"),
        ("startIndex", "10"),
        ("tags", tag),
    ]


def test_the_listing_is_asked_for_in_the_format_configured() -> None:
    assert urlsplit(Format("xml").listing_target(0, 1000)).path == "/api/2.0/crm/contact/filter.xml"


def test_the_ends_of_the_calendar_are_no_bounds() -> None:
    assert first_cut(Filter(created_from=date.min, created_to=date.max), ROOM) == ""
