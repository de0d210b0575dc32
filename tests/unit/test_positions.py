"""Positions come back as they were, and a run costs five bytes whatever its length."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from jobs.positions import HEAD_SIZE, pack, unpack
from tests.strategies import MAX_POSITION, positions, runs, scattered


@given(positions, st.binary(max_size=5), st.binary(max_size=5))
def test_round_trip_at_any_offset(places: Sequence[int], before: bytes, behind: bytes) -> None:
    packed = pack(places)
    unpacked, end = unpack(before + packed + behind, len(before))
    assert list(unpacked) == list(places)
    assert end == len(before) + len(packed)


@given(runs(MAX_POSITION))
def test_a_run_costs_its_head_alone_and_stays_a_run(places: range) -> None:
    assert len(pack(places)) == HEAD_SIZE == 5
    assert unpack(pack(list(places)))[0] == places


@given(scattered())
def test_a_list_costs_two_bytes_a_position(places: list[int]) -> None:
    a_run = places[-1] - places[0] == len(places) - 1
    assert len(pack(places)) == HEAD_SIZE + (0 if a_run else 2 * len(places))


def test_the_borders_of_a_segment_fit() -> None:
    for places in ([0], [MAX_POSITION], [0, MAX_POSITION], list(range(MAX_POSITION))):
        assert list(unpack(pack(places))[0]) == places
