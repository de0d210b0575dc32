"""Who takes part in opportunities and cases, against the groups themselves."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from simulator.participation import Case, Opportunity, Part, Participation

contact_ids = st.integers(1, 12)
some = st.sets(contact_ids, max_size=4)
steps = st.lists(
    st.tuples(st.just("join"), st.integers(1, 3), contact_ids)
    | st.tuples(st.just("join_case"), st.integers(1, 2), contact_ids)
    | st.tuples(st.just("main"), st.integers(1, 3), st.just(0) | contact_ids)
    | st.tuples(st.just("members"), st.integers(1, 3), some)
    | st.tuples(st.just("leave"), st.just(0), some),
    max_size=30,
)


@given(steps, some, st.integers(0, 3))
def test_each_contact_knows_its_parts(todo: list[tuple[str, int, Any]], first: set[int], main: int) -> None:
    deals = {number: Opportunity(number, "Deal", main, BitMap(first)) for number in (1, 2, 3)}
    cases = {number: Case(number, "Case", BitMap(first)) for number in (1, 2)}
    taking_part = Participation(deals.values(), cases.values())
    mains = dict.fromkeys(deals, main)
    members = {number: set(first) for number in deals}
    in_case = {number: set(first) for number in cases}
    for kind, number, value in todo:
        if kind == "join":
            taking_part.join(deals[number], value)
            members[number].add(value)
        elif kind == "join_case":
            taking_part.join(cases[number], value)
            in_case[number].add(value)
        elif kind == "main":
            taking_part.set_main(deals[number], value)
            mains[number] = value
        elif kind == "members":
            taking_part.set_members(deals[number], value)
            members[number] = set(value)
        else:
            taking_part.leave(BitMap(value))
            mains = {one: 0 if contact in value else contact for one, contact in mains.items()}
            for group in (*members.values(), *in_case.values()):
                group.difference_update(value)
    for contact in range(1, 13):
        assert taking_part.parts(contact) == [
            Part(one, mains[one] == contact, contact in members[one])
            for one in deals
            if mains[one] == contact or contact in members[one]
        ]
        assert taking_part.cases_of(contact) == [one for one in cases if contact in in_case[one]]
    assert {one: (deal.contact_id, set(deal.members)) for one, deal in deals.items()} == {
        one: (mains[one], members[one]) for one in deals
    }
    everyone = set().union(*members.values(), mains.values()) - {0}
    assert set(taking_part.in_opportunities()) == everyone
    assert set(taking_part.members()) == everyone.union(*in_case.values())


def test_what_is_removed_has_nobody() -> None:
    taking_part = Participation(
        [Opportunity(1, "a", 1, BitMap([1, 2])), Opportunity(2, "b", 0, BitMap([2]))], [Case(1, "c", BitMap([2, 3]))]
    )
    taking_part.remove([1, 9], [1, 9])
    assert [taking_part.parts(contact) for contact in (1, 2, 3)] == [[], [Part(2, False, True)], []]
    assert [taking_part.cases_of(contact) for contact in (1, 2, 3)] == [[], [], []]
    assert (list(taking_part.opportunities), list(taking_part.cases)) == ([2], [])
