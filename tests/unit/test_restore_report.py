"""The ledger of a restore survives being written down, and the report says the truth about each entry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.entry import ENTRY_SIZE, Entry, Reason, Stage
from restore.lost import Lost
from restore.report import Outcome, counts, row_of

ENTRIES = st.builds(
    Entry,
    st.sampled_from(Stage),
    st.sampled_from(Reason),
    st.integers(0, 65_535),
    st.integers(0, 2**31 - 1),
    st.integers(0, sum(Lost)).map(Lost),
)


@given(ENTRIES)
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    data = entry.encode()
    assert len(data) == ENTRY_SIZE
    assert Entry.decode(data) == entry


@given(st.integers(0, ENTRY_SIZE))
def test_what_was_never_written_is_an_empty_entry(size: int) -> None:
    assert Entry.decode(bytes(size)) == Entry()


@given(ENTRIES, st.booleans(), st.booleans())
def test_only_a_contact_that_was_seen_has_a_new_id(entry: Entry, has_record: bool, is_there: bool) -> None:
    row = row_of(7, entry, has_record=has_record, is_there=is_there)
    assert (row.new_id is not None) is (entry.stage in {Stage.MADE, Stage.COMPLETE, Stage.VANISHED})
    assert (row.outcome is Outcome.CREATED) is (entry.stage in {Stage.MADE, Stage.COMPLETE})
    assert len(row.csv().split(",")) == 5
    assert row.csv().count("\n") == 1


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (Entry(Stage.COMPLETE, Reason.NONE, 1, 900, Lost.CREATOR | Lost.TYPE), "7,900,created,,creator;type\n"),
        (Entry(Stage.COMPLETE, Reason.INCOMPLETE, 1, 900, Lost.TAGS), "7,900,created,incomplete,tags\n"),
        (Entry(Stage.MADE, Reason.NONE, 1, 900), "7,900,created,unfinished,\n"),
        (Entry(Stage.VANISHED, Reason.NONE, 1, 900), "7,900,failed,vanished,\n"),
        (Entry(Stage.FAILED, Reason.REJECTED, 1, 850), "7,,failed,rejected,\n"),
        (Entry(Stage.INTENT, Reason.NONE, 1, 850), "7,,pending,answer_lost,\n"),
        (Entry(), "7,,pending,,\n"),
    ],
)
def test_the_line_of_an_entry(entry: Entry, line: str) -> None:
    assert row_of(7, entry, has_record=True, is_there=False).csv() == line


def test_the_lines_of_contacts_that_cannot_or_need_not_be_created() -> None:
    rows = [
        row_of(7, Entry(), has_record=True, is_there=True),
        row_of(8, Entry(), has_record=False, is_there=False),
        row_of(9, Entry(Stage.COMPLETE, number=12), has_record=True, is_there=False, twin=14),
    ]
    assert [row.csv() for row in rows] == [
        "7,,still_there,,\n",
        "8,,no_record,,\n",
        "9,12,created,possible_twin:14,\n",
    ]
    assert counts(rows) == {
        Outcome.CREATED: 1,
        Outcome.STILL_THERE: 1,
        Outcome.FAILED: 0,
        Outcome.NO_RECORD: 1,
        Outcome.PENDING: 0,
    }
