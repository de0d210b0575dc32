"""CSV lists as users really have them: what they contain, or why they are refused."""

import gzip
import io

import pytest

from jobs.intake.parser import read_contact_ids
from jobs.intake.tally import BadLine, Intake, IntakeError, WayOut


def read(text: str, *, column: str | None = None, skip_invalid: bool = False, multiline: bool = False) -> Intake:
    source = io.BytesIO(text.encode())
    return read_contact_ids(source, column=column, skip_invalid=skip_invalid, multiline=multiline)


def refused(text: str, *, column: str | None = None, skip_invalid: bool = False) -> IntakeError:
    with pytest.raises(IntakeError) as caught:
        read(text, column=column, skip_invalid=skip_invalid)
    return caught.value


def test_an_inch_mark_swallows_no_rows() -> None:
    error = refused('id,note\n101,ok\n102,"5 inch screen\n103,ok\n104,ok\n105,"wide" one\n106,ok\n')
    assert error.bad_lines == (
        BadLine(3, '102,"5 inch screen', "text follows the quote mark that closes a field"),
        BadLine(6, '105,"wide" one', "text follows the quote mark that closes a field"),
    )


def test_an_inch_mark_brings_no_number_of_another_column() -> None:
    error = refused('title,note,id,age\n"5 inch,ok,201,33\nscreen,ok 7" x,202,44\nplain,ok,203,55\n')
    assert [bad.line for bad in error.bad_lines] == [2]


def test_a_line_break_without_quotes_puts_no_part_of_an_address_on_the_list() -> None:
    error = refused("id,address,city\n201,Elm Road 5,Ulm\n202,Main Street\n12,Bonn\n203,Oak Lane 7,Jena\n")
    assert error.bad_lines == (
        BadLine(3, "202,Main Street", "2 cells under a header of 3"),
        BadLine(4, "12,Bonn", "2 cells under a header of 3"),
    )


def test_half_of_an_id_at_the_end_of_a_cut_off_download_is_a_bad_line() -> None:
    error = refused("id,name,city\n10101,Ann,Ulm\n10102,Bob,Bonn\n101")
    assert error.bad_lines == (BadLine(4, "101", "1 cell under a header of 3"),)
    assert error.way_out is WayOut.SKIP_INVALID
    assert list(read("id,name,city\n10101,Ann,Ulm\n10102,Bob,Bonn\n101", skip_invalid=True).ids) == [10101, 10102]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ('5,"Ann', "a quote mark opens a field that is never closed"),
        ('5,"Ann" ', "text follows the quote mark that closes a field"),
        ('5,"A"n"', "text follows the quote mark that closes a field"),
        ("5", "1 cell under a header of 2"),
        ("5,Ann,x", "3 cells under a header of 2"),
        ("1,234,", "3 cells under a header of 2: the contact ID may be 1234"),
        (f'5,"{"x" * 140_000}', "a field of more than 131,072 characters: its closing quote mark may be missing"),
    ],
)
def test_a_row_that_is_no_row_is_told_with_its_line(row: str, why: str) -> None:
    error = refused(f"id,name\n4,Bob\n{row}")
    assert [(bad.line, bad.why) for bad in error.bad_lines] == [(3, why)]


@pytest.mark.parametrize("row", ["x,5,y,7,,", "x,5,7,y,"])
def test_empty_cells_beyond_the_header_leave_no_doubt_about_the_id(row: str) -> None:
    error = refused(f"name,id,c,d\nAnn,4,x,y\n{row}\n")
    assert [bad.why.partition(": ")[2] for bad in error.bad_lines] == ["the contact ID may be 7"]
    assert list(read("name,id,c,d\nAnn,4,x,y,,\nBob,5,x,y,,\n").ids) == [4, 5]
    assert list(read("id,name\n4,Ann,,\n5,Bob,\n6,Cy\n").ids) == [4, 5, 6], "nothing can push the first column"


@pytest.mark.parametrize("row", ["Main St, 7,,", "Main St, 7,NULL,", "Main St, 7,\\N,", "Main St, 7,12345678901,"])
@pytest.mark.parametrize("skip", [False, True])
def test_a_row_with_more_empty_cells_than_the_others_may_have_its_id_elsewhere(row: str, *, skip: bool) -> None:
    error = refused(f"name,id,note\nAnna,5,x\n{row}\nBob,9,y\n", skip_invalid=skip)
    assert error.bad_lines == (BadLine(3, row, "4 cells under a header of 3: the rows before it have 3"),)
    with pytest.raises(IntakeError):
        read(f"name,id,note\n{row}\nAnna,5,x\nBob,9,y\n", skip_invalid=skip)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_numbers_of_rows_are_no_contact_ids(delimiter: str) -> None:
    rows = f'"id"{delimiter}"note"\n"1"{delimiter}5012{delimiter}\n"2"{delimiter}5013{delimiter}\n'
    assert "may be row numbers" in refused(rows).message
    assert list(read(rows.replace('"1"', '"3"')).ids) == [2, 3]


@pytest.mark.parametrize("text", ["name,id,\nAnna,1,234\nBob,5,\n", "Name;ID;\nMeier;1;234\n", "n,id,,\nA,1,345,678\n"])
def test_a_column_without_a_name_takes_no_part_of_a_number(text: str) -> None:
    assert "the contact ID may be" in refused(text).bad_lines[0].why
    assert list(read("name,id,\nAnna,1,x\nBob,5,\nCy,7,55\n").ids) == [1, 5, 7]


@pytest.mark.parametrize("broken", ['6,"Ann', "6", "6,Ann,x"])
def test_a_broken_row_is_left_out_only_where_no_contact_follows(broken: str) -> None:
    # What follows can be the rest of it: a street and its number, say.
    followed = f"id,name\n5,Bob\n{broken}\n7,Cy\n"
    error = refused(followed, skip_invalid=True)
    assert (
        error.message == "a broken row cannot be left out if contact IDs follow it: they might be the rest of that row"
    )
    assert refused(followed).way_out is None
    intake = read(f"id,name\n5,Bob\n{broken}\n", skip_invalid=True)
    assert (list(intake.ids), intake.invalid) == ([5], 1)


@pytest.mark.parametrize("header", ["owner,id", "contact_id,ID", "Owner, contactid ", "\ufeffowner,id", '"id","title"'])
def test_the_header_of_another_table_cannot_be_left_out(header: str) -> None:
    error = refused(f"id,owner\n5,1\n{header}\n1,6\n", skip_invalid=True)
    assert error.bad_lines == (BadLine(3, header.strip().replace("\ufeff", "\\ufeff"), "the header of another table"),)


def test_the_same_header_again_can_be_left_out() -> None:
    for header in ("ID,Owner", '"id","owner"', '\ufeff"id", owner'):
        intake = read(f"id,owner\n5,1\n{header}\n6,1\n", skip_invalid=True)
        assert list(intake.ids) == [5, 6]
        assert intake.invalid == 1


def test_a_footer_can_be_left_out() -> None:
    assert list(read("id,name,city\n5,Bob,Ulm\n6,Ann,Bonn\n2 records\n", skip_invalid=True).ids) == [5, 6]


def test_a_bad_cell_in_a_whole_row_can_be_left_out() -> None:
    assert list(read("id,name\n5,Bob\nx,Ann\n6,Cy\n", skip_invalid=True).ids) == [5, 6]


def test_a_field_may_go_over_several_lines_and_that_is_told() -> None:
    report = read('id,address\n201,"Elm Road 5\nUlm"\n202,Bonn\n203,"Oak Lane\n\n7"\n').report
    assert (report.records, report.lines, report.blank_lines) == (3, 7, 0)
    assert (report.multiline_records, report.first_multiline_line) == (2, 2)
    assert report.doubts() == ("2 records span several lines; the first begins on line 2",)


AMBIGUOUS = 'id,note\n101,ok\n102,"5 inch\n103,7 inch"\n104,ok\n'


def test_a_line_within_a_field_that_could_be_a_row_is_refused_with_both_readings() -> None:
    error = refused(AMBIGUOUS)
    assert error.message == (
        "lines 3 to 4 can be read in two ways: as one row with contact ID 102 and a field that spans several lines, "
        "or with line 4 as a row of its own, with contact ID 103, and a quote mark as plain text"
    )
    assert error.way_out is WayOut.MULTILINE
    assert refused(AMBIGUOUS, skip_invalid=True).way_out is WayOut.MULTILINE


def test_such_a_line_is_part_of_the_field_where_that_is_said() -> None:
    assert list(read(AMBIGUOUS, multiline=True).ids) == [101, 102, 104]


@pytest.mark.parametrize(
    "text",
    [
        'name,id,x\n"5,101,a\n6",102,b\n',  # the first line of the two
        'name,id\n"5\n7,101\n6",102\n',  # one in the middle
        'name,id,x\n"5 inch,a,101,b\n6",102,c\n',  # pushed to the right by a delimiter
        'id,"note\n101,a\n102,b"\n103,c\n',  # within the header
        'name,id\n"a\n""b"",101\nc",102\n',  # a line with quote marks of its own
    ],
)
def test_no_line_of_a_quoted_field_is_swallowed(text: str) -> None:
    assert refused(text).way_out is WayOut.MULTILINE


def test_a_field_over_several_lines_before_the_id_leaves_no_doubt() -> None:
    assert list(read('name,id\n"Ann\nLee",5\n"Bob\n""B"", Cy",6\n').ids) == [5, 6]


@pytest.mark.parametrize(
    ("text", "delimiter", "column"),
    [
        ("sep=;\r\nid;name\r\n101;Ann\r\n", ";", "id"),
        ("\n\nname\tContactID\nAnn\t101\n", "\t", "ContactID"),
        ("id\n101\n", None, "id"),
        ('"a,b";"id"\n"1,2";"101"\n', ";", "id"),
    ],
)
def test_what_was_understood_is_told(text: str, delimiter: str | None, column: str) -> None:
    report = read(text).report
    assert list(read(text).ids) == [101]
    assert (report.form, report.delimiter, report.column) == ("csv", delimiter, column)


def test_lines_and_blank_ones_are_counted() -> None:
    report = read("\nid,name\n\n5,Ann\n,\n5,Bob\n  \n6,\n").report
    assert (report.lines, report.records, report.blank_lines, report.duplicates) == (8, 3, 4, 1)
    assert report.counted() == "8 lines, 3 records, 4 blank lines"
    assert report.understood() == "CSV, delimiter comma, column 'id', UTF-8"


def test_the_encoding_is_told() -> None:
    for text, encoding, packed in (
        ("id,name\n5,é\n".encode(), "utf-8", False),
        ("id,name\n5,é\n".encode("latin-1"), "unknown", False),
        (gzip.compress("id,name\n5,é\n".encode("utf-16")), "utf-16", True),
        (b"\xef\xbb\xbfid,name\n5,a\n", "utf-8", False),
    ):
        report = read_contact_ids(io.BytesIO(text)).report
        assert (report.encoding, report.gzip) == (encoding, packed)


@pytest.mark.parametrize(
    ("text", "doubtful"),
    [
        ("10101\n10102\n10103\n101", True),
        ("10101\n10102\n10103\n101\n", False),
        ("10101\n10102\n10103\n1010", False),
        ("id\n10101\n10102\n10103\n101", True),
        ("name,id\na,10101\nb,10102\nc,10103\nd,101", True),
        ("id,name\n10101,a\n10102,b\n10103,c\n101,d", False),
        ("10101\n101", True),
        ("101", False),
        ("[10101,10102,10103,101]", False),
    ],
)
def test_a_list_that_may_be_cut_off_within_its_last_id_is_told(text: str, *, doubtful: bool) -> None:
    report = read(text).report
    assert report.perhaps_cut_off is doubtful
    assert bool(report.doubts()) is doubtful


def test_without_an_id_column_the_likely_ones_are_named() -> None:
    error = refused("Kontaktnummer;Name;Alter\n101;Ann;44\n102;Bob;\n")
    assert error.way_out is WayOut.COLUMN
    assert error.message == (
        "line 1: no column named id, contact_id or contactid; the columns are 'Kontaktnummer', 'Name', 'Alter'; "
        "contact IDs may be in 'Kontaktnummer'"
    )
    assert list(read("Kontaktnummer;Name\n101;Ann\n", column="kontaktnummer").ids) == [101]


@pytest.mark.parametrize("text", ['"156"\n"157"\n', '"134","Alice"\n"135","Bob"\n'])
def test_a_first_row_is_no_header_whatever_is_said(text: str) -> None:
    first = text[1:4]
    for column in (None, first):
        error = refused(text, column=column)
        assert error.message == f"line 1: contact ID {first} is where the header should be"
        assert error.way_out is WayOut.HEADER
    with pytest.raises(IntakeError, match="where the header should be"):
        read(text, column=first, multiline=True)


def test_numbers_in_a_quoted_name_leave_no_doubt_about_the_header() -> None:
    assert list(read('"age, 5, 7",id\nx,6\n').ids) == [6]


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("134,Alice\n135,Bob\n", WayOut.HEADER),
        ("Contacts of May\nid;name\n5;Ann\n", WayOut.HEADER),
        ("none\nnil\n", None),
        ("5\nnil\n", WayOut.SKIP_INVALID),
        ('{"uid": 170}\n{"uid": 171}\n', WayOut.COLUMN),
        ('[{"uid": 170}]', WayOut.COLUMN),
        ('{"id": 170}\n{"uid": 171}\n', WayOut.SKIP_INVALID),
    ],
)
def test_the_way_out_that_is_told_leads_out(text: str, way_out: WayOut | None) -> None:
    error = refused(text)
    assert error.way_out is way_out
    assert ("read as one contact ID per line" in error.message) is (
        way_out is not WayOut.SKIP_INVALID and "[" not in text
    )


@pytest.mark.parametrize(("text", "asked"), [("id,name\n5,Ann\n6\n", True), ("id,name\n5\n6,Ann\n", False)])
def test_where_the_last_row_is_broken_the_list_may_be_cut_off(text: str, *, asked: bool) -> None:
    assert ("was the list cut off?" in refused(text).message) is asked


@pytest.mark.parametrize("text", ['{\n  "response": [{"id": 151}]\n}\n', '{"id": 5,\n "name": "Ann"}\n'])
def test_an_object_over_several_lines_is_called_by_its_name(text: str) -> None:
    error = refused(text, skip_invalid=True)
    assert error.message.startswith("line 1: a JSON object spans several lines")


def test_a_header_that_fits_two_delimiters_is_no_guess() -> None:
    error = refused("a,id,b;id\n1,2,3;5\n")
    assert error.message == (
        "line 1: the header has an ID column with commas and with semicolons; "
        "name the delimiter in a line before it, such as sep=;"
    )
    assert list(read("sep=;\na,id,b;id\n1,2,3;5\n").ids) == [5]
