"""When the simulated portal's contacts were created."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from simulator.creation import START, Creation, parse_moment

spans = st.none() | st.integers(-10_000, 400_000)
some = st.sets(st.integers(1, 3000), max_size=50)


@given(some, st.dictionaries(st.integers(1, 3000), st.integers(1, 5)), spans, spans, st.integers(1, 600))
def test_those_within_a_span_are_those_whose_moment_is(
    contacts: set[int], days: dict[int, int], first_s: int | None, last_s: int | None, block: int
) -> None:
    creation = Creation({number: f"2010-01-0{day}" for number, day in days.items()}, import_block=block)
    assert set(creation.within(BitMap(contacts), first_s, last_s)) == {
        number
        for number in contacts
        if (first_s is None or creation.second(number) >= first_s)
        and (last_s is None or creation.second(number) <= last_s)
    }


@settings(deadline=None)
@given(some, st.dictionaries(st.integers(1, 3000), st.integers(1, 5), max_size=5), st.booleans(), st.integers(1, 9))
def test_with_one_salt_pages_by_creation_are_one_order(
    contacts: set[int], days: dict[int, int], newest_first: bool, count: int
) -> None:
    creation = Creation({number: f"2010-01-0{day}" for number, day in days.items()}, import_block=100)
    pages = [
        creation.page(BitMap(contacts), start, count, newest_first=newest_first, salt=1)
        for start in range(0, len(contacts), count)
    ]
    listed = [number for page in pages for number in page]
    assert sorted(listed) == sorted(contacts)
    seconds = [creation.second(number) for number in listed]
    assert seconds == sorted(seconds, reverse=newest_first)


@given(st.integers(1, 2**31 - 1), st.integers(-720, 840))
def test_what_the_portal_writes_it_reads_as_the_same_moment(contact_id: int, utc_offset_minutes: int) -> None:
    creation = Creation()
    written = creation.text(contact_id, utc_offset_minutes)
    assert parse_moment(written, utc_offset_minutes) == creation.second(contact_id)


@pytest.mark.parametrize(
    ("offset", "zone"), [(0, "Z"), (120, "+02:00"), (-210, "-03:30"), (345, "+05:45"), (-5, "-00:05")]
)
def test_the_offset_does_not_move_the_clock(offset: int, zone: str) -> None:
    assert Creation({7: "2024-05-31T23:59:59"}).text(7, offset) == f"2024-05-31T23:59:59.0000000{zone}"


def test_contacts_of_a_block_were_created_together() -> None:
    creation = Creation(import_block=10, import_every_s=3600)
    assert [creation.second(number) // 3600 for number in (1, 9, 10, 19, 20)] == [0, 0, 1, 1, 2]
    assert creation.moment(25).hour == START.hour + 2


def test_a_moment_that_was_set_can_be_forgotten() -> None:
    creation = Creation({7: "2024-05-31"})
    creation.forget([7, 8])
    assert creation.second(7) == 0
    assert list(creation.within(BitMap([7]), 0, 0)) == [7]


@pytest.mark.parametrize(
    "text", ["", "31.5.2024", "2024-5-31", "20240531", "2024-05-32", "2024-05-31T25:00:00", "2024-05-31 10:00:00"]
)
def test_anything_else_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the date library's own message
        parse_moment(text)


@pytest.mark.parametrize("numbers", [{"import_block": 0}, {"import_every_s": 0}])
def test_blocks_have_a_size(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Creation(**numbers)  # type: ignore[arg-type]
