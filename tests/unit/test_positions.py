"""Positions come back as they were, in the shortest of their forms."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from jobs.ledger.positions import HEAD_SIZE, pack, unpack
from tests.support.strategies import MAX_POSITION, positions, runs


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


@given(positions)
def test_the_form_is_never_longer_than_a_list(places: Sequence[int]) -> None:
    assert len(pack(places)) <= HEAD_SIZE + 2 * len(places)


@given(st.integers(2, 1000), st.sets(st.integers(1, 998), min_size=1, max_size=20))
def test_a_missing_position_costs_two_bytes(size: int, missing: set[int]) -> None:
    places = [place for place in range(size + 1) if place not in missing or place == size]
    holes = size + 1 - len(places)
    assert len(pack(places)) <= HEAD_SIZE + (2 + 2 * holes if holes else 0)


def test_evenly_spread_positions_cost_a_bit_each() -> None:
    assert len(pack(range(0, 1000, 2))) == HEAD_SIZE + 2 + 999 // 8 + 1


def test_the_borders_of_a_segment_fit() -> None:
    for places in ([0], [MAX_POSITION], [0, MAX_POSITION], list(range(MAX_POSITION))):
        assert list(unpack(pack(places))[0]) == places
