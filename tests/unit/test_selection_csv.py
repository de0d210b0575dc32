"""A selection can be looked at in a spreadsheet without danger, and read again however it was saved."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import selection_csv
from cli.selection_csv import HEADER
from jobs.intake.parser import read_contact_ids
from jobs.words.verdicts import Verdict
from worker.portal_answers import Contact

# Whatever a portal can hold: names and tags over several lines, with quotes, delimiters, formulas and numbers.
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text(st.sampled_from("a1,;\"'\t\r\n=+-@ |\N{LINE SEPARATOR}\x85\x00"), max_size=12),
    st.sampled_from(["5", "101", "sep=;", "id", '"7\n8"']),
)
contacts = st.builds(
    Contact,
    id=st.integers(1, 2**31 - 1),
    display_name=texts,
    is_company=st.booleans(),
    can_edit=st.booleans(),
    can_delete=st.booleans(),
    tags=st.lists(texts, max_size=3).map(tuple),
    created=st.just("2024-01-31T23:59:59.0000000+02:00"),
    has_email=st.booleans(),
)
selections = st.lists(contacts, min_size=1, max_size=8, unique_by=lambda contact: contact.id)


def rows(selection: list[Contact]) -> str:
    verdicts = {"deletable": Verdict.DELETABLE, "read_only": Verdict.READ_ONLY, "has_invoice": Verdict.HAS_INVOICE}
    return selection_csv.rows((contact, verdicts[contact.visible]) for contact in selection)


def read(data: bytes) -> list[int]:
    return list(read_contact_ids(io.BytesIO(data)).ids)


def saved_again(text: str, delimiter: str) -> bytes:
    """Return the file as a spreadsheet writes it: a byte order mark, its own delimiter, CRLF."""
    again = io.StringIO()
    csv.writer(again, delimiter=delimiter, lineterminator="\r\n").writerows(csv.reader(io.StringIO(text)))
    return b"\xef\xbb\xbf" + again.getvalue().encode()


@given(selections)
def test_the_file_is_a_list_of_the_contacts(selection: list[Contact]) -> None:
    assert read((HEADER + rows(selection)).encode()) == sorted(contact.id for contact in selection)


@given(selections, st.data())
def test_it_is_still_one_after_rows_were_removed(selection: list[Contact], data: st.DataObject) -> None:
    header, *lines = (HEADER + rows(selection)).splitlines(keepends=True)
    assert len(lines) == len(selection)
    kept = data.draw(st.lists(st.sampled_from(range(len(lines))), min_size=1, unique=True))
    text = header + "".join(lines[each] for each in kept)
    assert read(text.encode()) == sorted(selection[each].id for each in kept)


@given(selections, st.sampled_from([",", ";", "\t"]))
def test_it_is_still_one_after_a_spreadsheet_has_saved_it(selection: list[Contact], delimiter: str) -> None:
    expected = sorted(contact.id for contact in selection)
    assert read(saved_again(HEADER + rows(selection), delimiter)) == expected


@given(selections)
def test_no_cell_is_a_formula_or_spans_lines(selection: list[Contact]) -> None:
    text = rows(selection)
    assert len(text.splitlines()) == len(selection)
    for row in csv.reader(io.StringIO(text)):
        assert len(row) == 6
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("\t=1", "' =1"),
        ("-5", "'-5"),
        ("Ann\r\nLee", "Ann Lee"),
        ("O'Neill", "O'Neill"),
        ("", ""),
    ],
)
def test_names_are_written_as_they_are_unless_they_are_dangerous(name: str, cell: str) -> None:
    contact = Contact(7, name, False, True, False, ("b", "a, c"), "2024-01-31T23:59:59.0000000+02:00", True)
    [row] = csv.reader(io.StringIO(rows([contact])))
    assert row == ["7", cell, "person", "b; a, c", "2024-01-31T23:59:59+02:00", "has_invoice"]


@pytest.mark.parametrize(
    ("can_edit", "can_delete", "word"), [(True, True, "yes"), (False, False, "read_only"), (True, False, "has_invoice")]
)
def test_the_last_column_says_whether_it_can_be_deleted(can_edit: bool, can_delete: bool, word: str) -> None:
    contact = Contact(7, "Acme", True, can_edit, can_delete, (), "2024-01-31T00:00:00Z", False)
    assert rows([contact]) == f"7,Acme,company,,2024-01-31T00:00:00Z,{word}\n"


def test_what_is_protected_says_so() -> None:
    contact = Contact(5, "Ann", False, True, True, (), "2024-01-31T00:00:00Z", True)
    assert selection_csv.rows([(contact, Verdict.PROTECTED)]).rstrip().endswith(",protected")
