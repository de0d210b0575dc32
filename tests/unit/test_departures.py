"""Without a plan, a contact departs from what was expected of it if it failed."""

from hypothesis import given
from hypothesis import strategies as st

from jobs.lanes.settlement import Settlement
from jobs.ledger.records import Record
from jobs.words.outcomes import Code, Outcome
from tests.support.strategies import records, runs
from worker.departures import with_departures


@given(st.lists(records(runs(50)), max_size=3))
def test_the_failed_ones_are_counted_and_nothing_else_changes(decided: list[Record]) -> None:
    settlement = Settlement(records=[(0, record) for record in decided], sent=1)
    failed = [code for record in decided for code in record.codes if Code(code).outcome is Outcome.FAILED]
    assert with_departures(settlement, {}) == Settlement(records=settlement.records, sent=1, departures=len(failed))
