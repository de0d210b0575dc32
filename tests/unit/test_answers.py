"""A set that is not built is still a set."""

from collections.abc import Set as AbstractSet

from hypothesis import given
from hypothesis import strategies as st

from worker.portal_answers import AllOf

ids = st.lists(st.integers(1, 2**31 - 1), max_size=50, unique=True)


@given(ids, ids)
def test_all_of_a_list_behaves_like_the_set_of_it(these: list[int], others: list[int]) -> None:
    lazy: AbstractSet[int] = AllOf(these)
    assert lazy == frozenset(these)
    assert frozenset(these) == lazy
    assert len(lazy) == len(these)
    assert list(lazy) == these
    assert [each in lazy for each in others] == [each in these for each in others]
    assert (lazy <= frozenset(others)) == (set(these) <= set(others))
    assert set(others) - lazy == set(others) - set(these)
