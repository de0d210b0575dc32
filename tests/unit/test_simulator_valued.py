"""Texts of contacts in groups and one by one, against a plain table."""

from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from simulator.valued import Valued, drop

ids = st.integers(1, 30)
texts = st.sampled_from(("", "a", "b", "cc"))
changes = st.lists(
    st.tuples(st.just("set"), ids, st.none() | texts) | st.tuples(st.just("forget"), st.sets(ids), st.none())
)


@given(changes, st.dictionaries(ids, texts), st.dictionaries(ids, texts))
def test_it_is_a_table(
    steps: list[tuple[str, object, str | None]], grouped: dict[int, str], single: dict[int, str]
) -> None:
    valued = Valued(single, {text: [one for one in grouped if grouped[one] == text] for text in set(grouped.values())})
    table = grouped | single
    for kind, about, text in steps:
        if kind == "set":
            assert isinstance(about, int)
            valued.set(about, text)
            table.pop(about, None)
            if text is not None:
                table[about] = text
        else:
            assert isinstance(about, set)
            valued.forget(BitMap(about))
            table = {one: kept for one, kept in table.items() if one not in about}
    assert {one: valued.of(one) for one in range(1, 31) if valued.of(one) is not None} == table
    assert valued.ids() == BitMap(table)
    assert valued.having(lambda text: len(text) == 1) == BitMap(one for one, text in table.items() if len(text) == 1)


@given(st.dictionaries(ids, texts), st.sets(ids))
def test_dropping_leaves_the_others(table: dict[int, str], gone: set[int]) -> None:
    left = dict(table)
    drop(left, BitMap(gone))
    assert left == {one: text for one, text in table.items() if one not in gone}
