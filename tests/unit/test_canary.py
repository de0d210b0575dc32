"""The canary's places: as many as wanted, spread evenly, and found again by counting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from config.portal import Portal
from jobs.accept.submission import CanaryTerms, submission_for
from jobs.ledger.canary import Canary, largest_canary
from jobs.view.canary import read_canary
from jobs.words.outcomes import Outcome
from jobs.words.states import CanaryState

MOST = 2_147_483_647

small = st.integers(1, 300).flatmap(
    lambda total: st.integers(1, total).map(lambda contacts: Canary(contacts=contacts, total=total))
)
any_size = st.integers(1, MOST).flatmap(
    lambda total: st.integers(1, largest_canary(total)).map(lambda contacts: Canary(contacts=contacts, total=total))
)


def places(canary: Canary) -> list[int]:
    return [canary.place(index) for index in range(canary.contacts)]


@given(small)
def test_the_places_are_ascending_and_inside_the_list(canary: Canary) -> None:
    found = places(canary)
    assert found == sorted(set(found))
    assert 0 == found[0] <= found[-1] < canary.total


@given(small)
def test_no_stretch_of_the_list_has_more_of_the_canary_than_another_as_long(canary: Canary) -> None:
    gaps = {after - before for before, after in zip(places(canary), [*places(canary)[1:], canary.total], strict=True)}
    assert max(gaps) - min(gaps) <= 1


@given(small)
def test_counting_agrees_with_the_places(canary: Canary) -> None:
    found = places(canary)
    for place in range(canary.total + 1):
        assert canary.before(place) == sum(one < place for one in found)


@given(small, st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_a_part_of_the_list_has_those_of_the_first_ones_that_are_in_it(
    canary: Canary, start: int, length: int, most: int
) -> None:
    stop = min(start + length, canary.total)
    assert list(canary.places(start, stop, most)) == [one for one in places(canary)[:most] if start <= one < stop]


@given(any_size, st.data())
def test_the_arithmetic_of_lua_is_exact(canary: Canary, data: st.DataObject) -> None:
    """Calculate as Lua does, with numbers of 53 bits."""
    index = data.draw(st.integers(0, canary.contacts - 1))
    place = data.draw(st.integers(0, canary.total))
    assert int(float(index * canary.total) / canary.contacts) == canary.place(index)
    assert -int(-float(place * canary.contacts) / canary.total // 1) == canary.before(place)


def test_a_canary_is_all_of_a_list_at_most() -> None:
    assert largest_canary(1) == 1
    assert largest_canary(94_000_000) == 94_000_000
    assert largest_canary(MOST) * MOST <= 2**53 < (largest_canary(MOST) + 1) * MOST


@pytest.mark.parametrize(
    ("canary", "contacts", "expected"),
    [("", 100, None), ("0", 100, None), ("25", 100, 25), ("25", 10, 10), ("1%", 1000, 10), ("1%", 5, 1)],
)
def test_a_job_gets_the_canary_of_its_portal(canary: str, contacts: int, expected: int | None) -> None:
    portal = Portal.model_validate(
        {"name": "main", "url": "http://127.0.0.1", "token": "t", "canary": canary, "canary_departures": 3}
    )
    terms = submission_for(portal, BitMap(range(1, contacts + 1)), by="test").canary
    assert terms == (CanaryTerms(contacts=expected, allowed=3) if expected else None)


def counts(**some: int) -> dict[Outcome, int]:
    return dict.fromkeys(Outcome, 0) | {Outcome(outcome): count for outcome, count in some.items()}


def test_a_job_without_a_canary_shows_none() -> None:
    assert read_canary({"total": "5"}, counts(pending=5)) is None


def test_while_it_is_sent_its_counts_are_those_of_the_job_without_the_rest() -> None:
    facts = {"total": "100", "canary": "10", "canary_state": "running", "canary_departed": "1"}
    shown = read_canary(facts, counts(pending=97, deleted=2, failed=1))
    assert shown
    assert shown.counts == counts(pending=7, deleted=2, failed=1)
    assert (shown.contacts, shown.decided, shown.departed, shown.state) == (10, 3, 1, CanaryState.RUNNING)


def test_once_it_is_over_its_counts_stay() -> None:
    facts = {"total": "100", "canary": "10", "canary_state": "passed", "canary_counts": '{"deleted":9,"refused":1}'}
    shown = read_canary(facts, counts(pending=50, deleted=50))
    assert shown
    assert shown.counts == counts(deleted=9, refused=1)
    assert (shown.decided, shown.departed, shown.state) == (10, 0, CanaryState.PASSED)


def test_a_cancelled_canary_has_only_its_own_skipped_ones() -> None:
    facts = {"total": "100", "canary": "10", "canary_state": "cancelled"}
    shown = read_canary(facts, counts(pending=1, deleted=3, skipped=96))
    assert shown
    assert shown.counts == counts(pending=1, deleted=3, skipped=6)
