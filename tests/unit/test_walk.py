"""A pass over a listing that changes meanwhile takes every contact that stays exactly once, in order, and ends."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.portal_answers import Contact, Page
from worker.walk import MOST_STUCK, PageRequest, Walk, WalkFlaw


def contact(contact_id: int) -> Contact:
    return Contact(
        id=contact_id,
        display_name="Ann Lee",
        is_company=False,
        can_edit=True,
        can_delete=True,
        tags=(),
        created="2024-01-31T00:00:00.0000000Z",
        has_email=True,
    )


def page(ids: Iterable[int], next_index: int = 0) -> Page:
    contacts = tuple(map(contact, ids))
    return Page(contacts, count=len(contacts), next_index=next_index)


def listing(matching: set[int], request: PageRequest, limit: int = 1000) -> Page:
    """Answer as the portal does: a piece of the sorted listing, and a `nextIndex` that is one too large."""
    start, count = request.start_index, min(request.count, limit)
    in_order = sorted(matching)
    more = len(in_order) > start + count
    return page(in_order[start : start + count], start + count + 1 if more else 0)


def walked(
    matching: set[int], change: Callable[[int, set[int]], set[int]], page_size: int, limit: int = 1000
) -> tuple[list[int], int]:
    """Walk to the end; `change` returns what matches before each page. Also return how many pages it took."""
    walk, taken, pages = Walk(page_size=page_size), list[int](), 0
    while not walk.finished:
        matching = change(pages, matching)
        walk = msgspec.json.decode(msgspec.json.encode(walk), type=Walk)  # resumed after a crash
        new = walk.feed(listing(matching, walk.request(), limit))
        assert isinstance(new, tuple)
        taken += [each.id for each in new]
        pages += 1
    return taken, pages


ids = st.sets(st.integers(1, 60), max_size=40)
#: What disappears and what appears before each page: by deletion and creation, or by losing and getting a tag.
changes = st.lists(st.tuples(ids, ids), max_size=12)


@settings(max_examples=500)
@given(ids, changes, st.integers(2, 9), st.integers(2, 9))
def test_what_stays_is_taken_exactly_once_and_in_order(
    matching: set[int], moves: list[tuple[set[int], set[int]]], page_size: int, limit: int
) -> None:
    always, ever = set(matching), set(matching)

    def change(pages: int, now: set[int]) -> set[int]:
        if pages < len(moves):
            gone, come = moves[pages]
            now = (now - gone) | come
            always.intersection_update(now)
            ever.update(now)
        return now

    taken, _ = walked(matching, change, page_size, limit)

    assert taken == sorted(set(taken))
    assert always <= set(taken) <= ever


@given(ids, st.integers(2, 9))
def test_a_listing_that_does_not_change_costs_no_more_pages_than_it_must(matching: set[int], page_size: int) -> None:
    taken, pages = walked(matching, lambda _, now: now, page_size)

    assert taken == sorted(matching)
    # Every page but the first has one record of overlap, and the last one is short.
    assert pages <= 1 + -(-len(matching) // (page_size - 1))


@given(st.integers(0, 3000), st.data())
def test_a_pass_survives_the_deletion_of_almost_everything_before_it(spared: int, data: st.DataObject) -> None:
    after = data.draw(st.integers(1, 40))

    def change(pages: int, now: set[int]) -> set[int]:
        return {each for each in now if each > 2900 or each == spared} if pages == after else now

    taken, pages = walked(set(range(1, 3001)), change, 100)

    assert set(range(2901, 3001)) <= set(taken)
    assert len(taken) == len(set(taken))
    assert pages < 60


def test_a_pass_goes_on_however_often_contacts_go_as_long_as_new_ones_are_taken() -> None:
    def change(pages: int, now: set[int]) -> set[int]:
        return now - {min(now)} if pages else now

    taken, pages = walked(set(range(1, 1001)), change, 4)

    assert pages > 3 * MOST_STUCK
    assert set(range(pages, 1001)) <= set(taken)


def test_a_long_way_forward_again_after_a_step_back_is_no_standstill() -> None:
    matching = set(range(25_001, 60_001))
    walk = Walk(received=40_000, last_id=40_000, reached=40_000, page_size=100)
    taken = list[int]()
    while not walk.finished:
        taken += [each.id for each in expect(walk.feed(listing(matching, walk.request())))]
    assert taken == list(range(40_001, 60_001))


def test_a_page_is_never_so_small_that_the_overlap_fills_it() -> None:
    assert Walk(page_size=1).request().count == 2


def test_pages_overlap_by_one_contact() -> None:
    walk = Walk(page_size=3)
    assert walk.request() == PageRequest(0, 3)
    assert [each.id for each in expect(walk.feed(page([1, 2, 3], 4)))] == [1, 2, 3]
    assert walk.request() == PageRequest(2, 3)
    assert [each.id for each in expect(walk.feed(page([3, 7])))] == [7]
    assert walk.finished


def test_a_page_that_begins_beyond_the_overlap_is_dropped_and_an_earlier_one_asked_for() -> None:
    walk = Walk(received=5000, last_id=9000)
    for expected in (4999, 4998, 4989, 4899, 3999, 0):
        assert walk.request().start_index == expected
        if expected:
            assert walk.feed(page([9001, 9002], 5)) == ()
            assert not walk.finished
    assert [each.id for each in expect(walk.feed(page([9001, 9002])))] == [9001, 9002]


def test_an_empty_page_where_an_overlap_is_expected_does_not_end_the_pass() -> None:
    walk = Walk(received=10, last_id=10)
    assert walk.feed(page([])) == ()
    assert not walk.finished
    assert walk.request().start_index == 8


def test_a_short_page_with_a_next_index_does_not_end_the_pass() -> None:
    walk = Walk()
    walk.feed(page(range(1, 501), 1001))
    assert not walk.finished
    walk.feed(page(range(500, 600)))
    assert walk.finished


def test_a_full_page_without_a_next_index_does_not_end_the_pass() -> None:
    walk = Walk(page_size=3)
    walk.feed(page([1, 2, 3]))
    assert not walk.finished


@pytest.mark.parametrize("order", [[3, 2], [2, 2], [1, 3, 2]])
def test_a_page_in_another_order_is_a_flaw_and_changes_nothing(order: list[int]) -> None:
    walk = Walk(received=3, last_id=1)
    before = msgspec.json.encode(walk)
    assert walk.feed(page(order)) is WalkFlaw.NOT_ASCENDING
    assert msgspec.json.encode(walk) == before


def test_a_portal_that_ignores_the_start_index_is_found_out() -> None:
    walk = Walk(page_size=3)
    answers = [walk.feed(page([1, 2, 3], 4)) for _ in range(MOST_STUCK + 2)]
    assert answers[-1] is WalkFlaw.STUCK
    assert not walk.finished


@settings(max_examples=200)
@given(st.data())
def test_a_pass_ends_whatever_the_portal_answers(data: st.DataObject) -> None:
    walk = Walk(page_size=data.draw(st.integers(0, 5)))
    few = st.lists(st.integers(1, 12), max_size=4, unique=True).map(sorted)
    fed = 0
    pages = data.draw(st.lists(st.tuples(few, st.integers(0, 1)), min_size=1, max_size=8))
    while not walk.finished and walk.feed(page(*pages[fed % len(pages)])) is not WalkFlaw.STUCK:
        fed += 1
        assert fed < 20 * MOST_STUCK


def expect(new: Any) -> tuple[Contact, ...]:
    assert isinstance(new, tuple)
    return new
