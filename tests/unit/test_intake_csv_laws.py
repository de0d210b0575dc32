"""What holds for every table of contacts, whatever wrote it as CSV: exactly its IDs, or a refusal; never a number from
another column, never part of an ID.

`INTAKE_EXAMPLES=20000` tries more tables; `python -m tests.support.intake_fuzz` runs for as long as you like.
"""

import functools
import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.intake.parser import read_contact_ids
from jobs.intake.tally import Intake, IntakeError
from tests.support.csv_tables import DELIMITERS, QUOTING, Table, Writer, by_plain_exporter, by_python
from tests.support.intake_fuzz import fuzz

#: Tables per law.
EXAMPLES = int(os.environ.get("INTAKE_EXAMPLES", "300"))
#: Lists that the fuzzing tries, and its seed.
FUZZ_LISTS = int(os.environ.get("INTAKE_FUZZ_LISTS", "30000"))
FUZZ_SEED = int(os.environ.get("INTAKE_FUZZ_SEED", "1"))

many = settings(max_examples=EXAMPLES, deadline=None)
delimiters = st.sampled_from(DELIMITERS)
line_ends = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def tables(draw: st.DrawFn, without: str = "") -> Table:
    """Draw a table whose other cells are any text without some characters."""
    width = draw(st.integers(1, 5))
    position = draw(st.integers(0, width - 1))
    rows = draw(rows_of(width, position, without))
    return Table(position, tuple(rows))


@functools.cache  # Hypothesis looks at each new strategy for longer than it takes to draw from one that it knows
def rows_of(width: int, position: int, without: str) -> st.SearchStrategy[list[tuple[str, ...]]]:
    """Return the strategy for the rows of a table with IDs in the column at this position."""
    marks = "".join(mark for mark in '"\n\r,;\t|' if mark not in without)
    text = st.text(
        st.sampled_from(f"a 057{marks}" + "é") | st.characters(exclude_characters=f"{without}\0", codec="utf-8")
    )
    numbers = st.integers(1, 99).map(str)
    contact_ids = (st.integers(1, 99) | st.integers(1, 2_147_483_647)).map(str)
    cells = [contact_ids if column == position else text | numbers for column in range(width)]
    return st.lists(st.tuples(*cells), min_size=1, max_size=8)


def read(text: str, *, multiline: bool = False, skip_invalid: bool = False) -> Intake | None:
    source = io.BytesIO(text.encode())
    try:
        return read_contact_ids(source, form="csv", multiline=multiline, skip_invalid=skip_invalid)
    except IntakeError:
        return None


def taken(text: str, *, multiline: bool = False, skip_invalid: bool = False) -> list[int] | None:
    intake = read(text, multiline=multiline, skip_invalid=skip_invalid)
    return None if intake is None else list(intake.ids)


@pytest.mark.parametrize("write", QUOTING, ids=lambda write: write.__name__)
@many
@given(table=tables(), delimiter=delimiters, end=line_ends)
def test_a_table_written_with_quotes_gives_its_ids_or_is_refused(
    *, write: Writer, table: Table, delimiter: str, end: str
) -> None:
    assert taken(write(table, delimiter, end)) in (None, table.ids)


@pytest.mark.parametrize("write", QUOTING, ids=lambda write: write.__name__)
@many
@given(table=tables(without="\r\n"), delimiter=delimiters, end=line_ends)
def test_a_table_without_line_breaks_in_its_cells_is_never_refused(
    *, write: Writer, table: Table, delimiter: str, end: str
) -> None:
    intake = read(write(table, delimiter, end))
    assert intake is not None
    assert list(intake.ids) == table.ids
    assert intake.report.records == len(table.rows)
    assert intake.report.lines == len(table.rows) + 1
    assert intake.report.multiline_records == 0


@many
@given(table=tables(), delimiter=delimiters)
def test_a_table_over_several_lines_is_read_whole_when_that_is_said(*, table: Table, delimiter: str) -> None:
    # All quotes are there: nothing is left to guess once the fields are known to span several lines.
    text = QUOTING[1](table, delimiter, "\n")
    intake = read(text, multiline=True)
    assert intake is not None
    assert list(intake.ids) == table.ids
    assert intake.report.records == len(table.rows)
    several = [row for row in table.rows if any(mark in cell for cell in row for mark in "\r\n")]
    assert intake.report.multiline_records == len(several)


@pytest.mark.parametrize("kept", ["quotes", "delimiters", "line breaks"])
@many
@given(data=st.data(), delimiter=delimiters, end=line_ends)
def test_a_table_written_without_quotes_gives_its_ids_or_is_refused(
    *, kept: str, data: st.DataObject, delimiter: str, end: str
) -> None:
    # With two of these in one table, its text can be identical to that of another table.
    without = {"quotes": f"{delimiter}\r\n", "delimiters": '"\r\n', "line breaks": f'"{delimiter}'}[kept]
    table = data.draw(tables(without=without))
    assert taken(by_plain_exporter(table, delimiter, end)) in (None, table.ids)


@many
@given(table=tables(without="\r\n"), delimiter=delimiters, at=st.integers(0, 10_000), skip=st.booleans())
def test_a_lost_quote_mark_never_brings_another_contact(*, table: Table, delimiter: str, at: int, skip: bool) -> None:
    text = QUOTING[1](table, delimiter, "\n")
    marks = [position for position, mark in enumerate(text) if mark == '"'][2 * len(table.header) :]
    lost = marks[at % len(marks)]
    found = taken(text[:lost] + text[lost + 1 :], skip_invalid=skip)
    assert set(found or []) <= set(table.ids)


@many
@given(table=tables(without="\r\n"), delimiter=delimiters, cut=st.integers(1, 10_000))
def test_a_list_that_was_cut_off_brings_no_other_contact_but_half_of_its_last_id(
    *, table: Table, delimiter: str, cut: int
) -> None:
    text = by_python(table, delimiter, "\n")
    header, _, rows = text.partition("\n")
    half = rows[: cut % len(rows)]
    found = set(taken(f"{header}\n{half}") or [])
    last_is_the_id = table.position == len(table.header) - 1
    others = found - set(table.ids)
    assert not others or (last_is_the_id and len(others) == 1 and half.endswith(str(*others)))


def test_nothing_is_found_by_fuzzing() -> None:
    counts = fuzz(FUZZ_SEED, FUZZ_LISTS)
    for kind in ("whole, taken", "whole, refused", "damaged, taken", "damaged, refused"):
        assert sum(count for name, count in counts.items() if name.endswith(kind)) > 10
