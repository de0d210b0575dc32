"""The ledger's records: what is kept comes back, and replaying them gives each position its last word."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.ledger.items import Item
from jobs.ledger.records import Record, SegmentLedger
from jobs.words.outcomes import Code
from tests.support.strategies import items, positions, records, runs, scattered

SIZE = 80
inside = st.one_of(
    scattered(20, SIZE - 1),
    st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE)).map(lambda two: range(two[0], min(SIZE, sum(two)))),
)


@given(records(positions))  # type: ignore[arg-type] # ranges and lists
def test_round_trip(record: Record) -> None:
    again = Record.decode(record.encode())
    assert list(again.positions) == list(record.positions)
    assert (again.codes, again.attempts) == (record.codes, record.attempts)
    assert (again.http_status, again.at_ms) == (record.http_status, record.at_ms)


@given(records(positions))  # type: ignore[arg-type] # ranges and lists
def test_counts_are_those_of_the_codes(record: Record) -> None:
    assert record.counts() == Counter(Code(code).outcome for code in record.codes)
    assert sum(record.counts().values()) == len(record.positions)


@given(runs(), st.sampled_from(Code))
def test_a_batch_with_one_outcome_takes_fifteen_bytes_whatever_its_size(places: range, code: Code) -> None:
    codes = bytes([code]) * len(places)
    assert len(Record(positions=places, codes=codes, attempts=1, http_status=200, at_ms=1).encode()) == 15


def test_exceptions_cost_three_bytes_each() -> None:
    codes = bytes([Code.DELETED]) * 97 + bytes([Code.NOT_FOUND]) * 3
    record = Record(positions=range(100), codes=codes, attempts=1, http_status=200, at_ms=1)
    assert len(record.encode()) == 15 + 3 * 3


def test_attempts_stop_at_255() -> None:
    record = Record(positions=range(1), codes=b"\x01", attempts=999, http_status=0, at_ms=0)
    assert Record.decode(record.encode()).attempts == 255


@given(st.lists(records(inside), max_size=6))  # type: ignore[arg-type] # ranges and lists
def test_the_later_record_wins_position_by_position(made: list[Record]) -> None:
    ledger = SegmentLedger.replay(SIZE, [record.encode() for record in made])
    expected = {
        position: (code, record.attempts, record.http_status, record.at_ms)
        for record in made
        for position, code in zip(record.positions, record.codes, strict=True)
    }
    found = zip(ledger.codes, ledger.attempts, ledger.http_statuses, ledger.at_ms, strict=True)
    for position, facts in enumerate(found):
        assert facts == expected.get(position, (Code.PENDING, 0, 0, 0))


@given(st.lists(records(inside), max_size=4))  # type: ignore[arg-type] # ranges and lists
def test_replaying_twice_changes_nothing(made: list[Record]) -> None:
    once = [record.encode() for record in made]
    assert SegmentLedger.replay(SIZE, once) == SegmentLedger.replay(SIZE, once + once)


@given(records(inside), items, inside)  # type: ignore[arg-type] # ranges and lists
def test_an_item_shows_only_where_nothing_is_decided(record: Record, item: Item, where: list[int]) -> None:
    ledger = SegmentLedger.replay(SIZE, [record.encode()])
    item = Item(call=item.call, segment=0, positions=where, attempts=item.attempts, http_status=item.http_status)
    ledger.note_item(item)
    for position in range(SIZE):
        if position in record.positions:
            expected = record.codes[list(record.positions).index(position)], record.attempts, record.http_status
        elif position in where:
            expected = Code.PENDING, item.attempts, item.http_status
        else:
            expected = Code.PENDING, 0, 0
        assert (ledger.codes[position], ledger.attempts[position], ledger.http_statuses[position]) == expected


@pytest.mark.parametrize("first", [0, 1, SIZE - 1, SIZE, SIZE + 1, 10**6])
def test_skipped_from_a_position_on_and_nothing_before(first: int) -> None:
    ledger = SegmentLedger.replay(SIZE, [])
    ledger.note_skipped(first, at_ms=7)
    assert list(ledger.codes) == [Code.PENDING if position < first else Code.SKIPPED for position in range(SIZE)]
    assert ledger.at_ms == [0 if position < first else 7 for position in range(SIZE)]


@given(records(inside), inside, st.integers(0, SIZE))  # type: ignore[arg-type] # ranges and lists
def test_what_the_canary_had_sent_is_not_skipped(record: Record, canary: list[int], first: int) -> None:
    ledger, before = (SegmentLedger.replay(SIZE, [record.encode()]) for _ in range(2))
    sent = {position for position in canary if position >= first}
    ledger.note_skipped(first, 7, sent)
    for position in range(SIZE):
        kept = position < first or position in sent
        facts = (before.codes[position], before.at_ms[position]) if kept else (Code.SKIPPED, 7)
        assert (ledger.codes[position], ledger.at_ms[position]) == facts
