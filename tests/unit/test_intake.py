import gzip
import io
import tracemalloc
import zlib

import pytest

from jobs.intake import parser as intake
from jobs.intake import unpacking as intake_bytes
from jobs.intake.parser import IntakeParser, WantedForm, read_contact_ids
from jobs.intake.tally import BadLine, Intake, IntakeError


def packed(data: bytes) -> bytes:
    """Compress with gzip without the time, so that a test has the same name in every process."""
    return gzip.compress(data, mtime=0)


def read(data: bytes, *, column: str | None = None, skip_invalid: bool = False, form: WantedForm = "auto") -> Intake:
    return read_contact_ids(io.BytesIO(data), column=column, skip_invalid=skip_invalid, form=form)


def refused(data: bytes, *, column: str | None = None, form: WantedForm = "auto") -> IntakeError:
    with pytest.raises(IntakeError) as caught:
        read(data, column=column, form=form)
    return caught.value


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"7\n5\n6\n5\n", id="lines"),
        pytest.param(b"7\n5\n6\n5", id="lines, no end"),
        pytest.param(b"7\r\n5\r\n6\r\n5\r\n", id="lines, CRLF"),
        pytest.param(b"7\r5\r6\r5", id="lines, CR"),
        pytest.param(b"\n\n 7 \n\t5\n  \n006\n5\n\n", id="lines, blanks and leading zeros"),
        pytest.param(b"\xef\xbb\xbf7\n5\n6\n5\n", id="lines, BOM"),
        pytest.param("7\n5\n6\n5\n".encode("utf-16"), id="lines, UTF-16"),
        pytest.param(b"\xfe\xff" + "7\n5\n6\n5\n".encode("utf-16-be"), id="lines, UTF-16 big-endian"),
        pytest.param(b"id\n7\n5\n6\n5\n", id="CSV of one column"),
        pytest.param(b"ID\r\n7\r\n5\r\n6\r\n5\r\n", id="CSV of one column, CRLF"),
        pytest.param(b"name,Contact_Id\nAnn,7\nBob,5\nCy,6\nDee,5\n", id="CSV"),
        pytest.param(b"\xef\xbb\xbfContactID;name\n7;Ann\n5;B\xf6b\n006 ;Cy\n5;\n", id="CSV, semicolon, BOM, Latin-1"),
        pytest.param(b"name\tid\r\nAnn\t7\r\n\r\nBob\t5\r\nCy\t6\r\nDee\t5", id="CSV, tab"),
        pytest.param(b"name|id|note\rAnn|7|\rBob|5|x\rCy|6|\rDee|5|", id="CSV, bar, CR"),
        pytest.param(b'"name","id"\n"Smith, Ann","7"\n"B\n""b""",5\nCy,"6"\nDee,5\n,\n', id="CSV, quoted"),
        pytest.param(b'"full\nname","id"\nAnn,"7"\nBob,5\nC"y,6\nDee,5\n', id="CSV, line end in the header"),
        pytest.param(b"id,name\n7,Ann,,\n5,\n6,,\n5,Dee,\n", id="CSV, empty cells beyond the header"),
        pytest.param(b"\tid\n\t7\n\t5\nx\t6\n\t5\n", id="CSV, tab, a column without a name"),
        pytest.param(b"sep=;\r\nid;n\r\n7;a\r\n5;b\r\n6;\r\n5;,\r\n", id="CSV, delimiter declared"),
        pytest.param(b"SEP=^\nn^id\na^7\nb^5\n^6\n^5", id="CSV, an odd delimiter declared"),
        pytest.param(b'\n"sep=,"\nid\n7\n5\n6\n5\n', id="CSV, delimiter declared in quotes"),
        pytest.param("name\tid\r\nÄnn\t7\r\nBob\t5\r\nCy\t6\r\nDee\t5".encode("utf-16"), id="CSV, UTF-16"),
        pytest.param(b"[7,5,6,5]", id="JSON"),
        pytest.param(b" \r\n[\r\n  7,\n  5 , 6\n,5\n]\n\n", id="JSON, over lines"),
        pytest.param(b'[{"id":7},{"name":"a,]","ID":5}, 6,{"contactid":5,"x":[1,{}]}]', id="JSON, objects"),
        pytest.param(b'{"id":7}\n{"name":"x","Contact_ID": 5}\n\n6\n{"CONTACTID":5,"tags":[{"id":9}]}', id="NDJSON"),
        pytest.param(b'7\n5\n{"id":6}\n5\n', id="NDJSON, integers first"),
        pytest.param(b'{"id":7,"x":{}}\r\n{"id": 5}\r\n{"id":6}\r\n{"id":5}\r\n', id="NDJSON, one shape"),
        pytest.param(packed(b"7\n5\n6\n5\n"), id="gzip"),
        pytest.param(packed(b"7\n5") + packed(b"\n6\n5\n") + b"\0\0", id="gzip, members and padding"),
        pytest.param(packed("id;n\n7;ä\n5;\n6;\n5;".encode("utf-16")), id="gzip, UTF-16 CSV"),
    ],
)
def test_every_form_gives_the_same_ids_and_counts(data: bytes) -> None:
    result = read(data)
    assert (list(result.ids), result.read, result.duplicates, result.invalid) == ([5, 6, 7], 4, 1, 0)


@pytest.mark.parametrize(
    ("data", "column"),
    [
        (b"id,crm\n1,5\n2,6\n", "crm"),
        (b"id,CRM\n1,5\n2,6\n", " crm "),
        (b"CRM,crm\n1,5\n2,6\n", "crm"),
        ("id;Kürzel\n1;5\n2;6\n".encode(), "kürzel"),
        (b'{"crm":5,"id":1}\n{"id":2,"CRM":6}', "crm"),
        (b'[{"crm":5,"id":1},{"id":2,"crm":6}]', "crm"),
    ],
)
def test_a_column_can_be_named(data: bytes, column: str) -> None:
    assert list(read(data, column=column).ids) == [5, 6]


@pytest.mark.parametrize("text", ["5.0", "-1", "1e3", "+7", "0x10", "1_000", "١٢", "true", "null", "abc", "1 2", "NaN"])
def test_what_is_not_a_whole_number_is_told_with_its_line(text: str) -> None:
    why = "not a whole number"
    for data, line in (
        (f"5\n\n{text}\n6\n", 3),
        (f"\r\n5\r\n{text}\r\n6", 3),
        (f"5\r{text}\r6", 2),
        (f"id,x\n5,\n{text},\n6,\n", 3),
        (f'x;id\n"a\n\nb";5\n"c\nd";{text}\n;6\n', 5),
    ):
        assert refused(data.encode()).bad_lines == (BadLine(line, text, why),), data


@pytest.mark.parametrize("text", ["5.0", '"7"', "true", "1e3", "null", "[1,2]", "-5", "0", "2147483648", "9" * 30])
def test_json_values_that_are_no_ids_are_told_with_their_line(text: str) -> None:
    for data, line, told in (
        (f"[5,{text},6]", 1, text),
        (f"[\r\n5,\r\n\r\n  {text}\r\n,6\r\n]", 4, text),
        (f'{{"id":5}}\n{{"id":{text}}}\n', 2, f'{{"id":{text}}}'),
        (f'[5,\n{{"id":{text}}}]', 2, f'{{"id":{text}}}'),
    ):
        error = refused(data.encode())
        assert [(bad.line, bad.text) for bad in error.bad_lines] == [(line, told)], data
        assert error.bad_lines[0].why in {"not a whole number", "outside 1 to 2147483647"}


@pytest.mark.parametrize("text", ["007", "+7", "0x10", "1_000", "1 2", "abc", "1}", "{", "'7'", "9" * 5000])
def test_what_is_not_even_json_is_told_with_its_line(text: str) -> None:
    error = refused(f"[5,\n{text},6]".encode()) if text != "{" else refused(b'{"id":5}\n{\n')
    assert [bad.line for bad in error.bad_lines] == [2]


@pytest.mark.parametrize("text", ["0", "000", "2147483648", "4294967296", "4294967301", "99999999999999999999"])
def test_numbers_out_of_range_are_told_with_their_line(text: str) -> None:
    for data in (f"5\n{text}\n6", f"5\n {text}\n6\nx".replace("\nx", ""), f"id\n5\n{text}\n"):
        error = refused(data.encode())
        assert [(bad.text, bad.why) for bad in error.bad_lines] == [(text, "outside 1 to 2147483647")]


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"5\n1,234\n", 2, "not a whole number"),
        (b"id\n1,234\n", 2, "2 cells under a header of 1"),
        (b"id;n\n5;a;b\n", 2, "3 cells under a header of 2"),
        (b"n,id\nAnn\n", 2, "1 cell under a header of 2"),
        (b"id,n\n,Ann\n", 2, "empty"),
        (b"id;n\n1,2;x\n", 2, "not a whole number"),
        (b'{"id":1,"id":2}\n', 1, "more than one key for the ID"),
        (b'{"id":1}\n{"id":2,"Contact_ID":3}\n', 2, "more than one key for the ID"),
        (b'{"id":1}\n{"\\u0069d":3,"id":2}\n', 2, "more than one key for the ID"),
        (b'{"id":1}\n{"name":"Ann"}\n', 2, "no key named id, contact_id or contactid"),
        (b'{"id":1},{"id":2}\n', 1, "not valid JSON"),
        (b'{"id":1}\n{"x":' + b"[" * 100_000 + b"\n", 2, "not valid JSON"),
        (b"[1,\n" + b"[" * 100_000 + b"]" * 100_000 + b"]", 2, "not valid JSON"),
        (b'{"id":1}\n"7"\n', 2, "not a whole number"),
    ],
)
def test_rows_and_objects_that_leave_a_doubt_are_refused(data: bytes, line: int, why: str) -> None:
    assert [(bad.line, bad.why) for bad in refused(data).bad_lines] == [(line, why)]


def test_two_objects_in_a_line_and_one_over_two_lines_do_not_make_up_for_each_other() -> None:
    error = refused(b'{"id":1},{"id":2}\n{"x":[[1\n2]],"id":3}\n')
    assert [bad.line for bad in error.bad_lines] == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "there are no contact IDs in the input"),
        (b" \r\n\n", "there are no contact IDs in the input"),
        (packed(b""), "there are no contact IDs in the input"),
        (b"[]", "there are no contact IDs in the input"),
        (b"id,name\n", "there are no contact IDs in the input"),
        (b"\n\nname,email\nAnn,a@b\n", "line 3: no column named id, contact_id or contactid; .*'name', 'email'"),
        (b"id,contact_id\n1,2\n", "line 1: more than one column for the ID; the columns are 'id', 'contact_id'"),
        (b'id,n\n5,a\n6,"b\n7,c\n', "a broken row cannot be left out if contact IDs follow"),
        (b'"id\n5\n', "line 1: the quoting of the header is broken"),
        (b"id,a;id\n5,6;7\n", "line 1: the header has an ID column with commas and with semicolons"),
        (b'id,"n\n5,a\n6,b"\n7,c\n', "line 1: either the header continues to line 3, or line 2 is a row of its own"),
        (b"[1,\n2", "line 2: the JSON array is cut off"),
        (b"[", "line 1: the JSON array is cut off"),
        (b'[1,"]', "line 1: the JSON array is cut off"),
        (b"[1,\n]", "line 1: a value is missing"),
        (b"[1,,2]", "line 1: a value is missing"),
        (b"[,1]", "line 1: a value is missing"),
        (b"[1]\r\n\r\n2", "line 3: something follows the end"),
        (b"5" * 3_000_000, "line 1 is longer than 1024 KiB"),
        (b"1\n" + b"x" * 3_000_000 + b"\n", "line 2 is longer than 1024 KiB"),
        (b"id\n5\n" + b" " * 3_000_000 + b"\n", "line 3 is longer than 1024 KiB"),
        (b"[1,\n" + b"2" * 3_000_000 + b"]", "line 1 is longer than 1024 KiB"),
        (packed(b"5\n6\n")[:-1], "the gzip data is cut off"),
        (packed(b"5\n6\n")[:5], "the gzip data is cut off"),
        (packed(b"5\n") + packed(b"6\n")[:-4], "the gzip data is cut off"),
        (packed(b"5\n6\n")[:-8] + bytes(8), "the gzip data is damaged"),
        (packed(b"5\n6\n") + b"7\n", "the gzip data is damaged"),
        ("5\n".encode("utf-16") + b"\x00", "begins like UTF-16 text but is not"),
        (b"\xff\xfe\x00\xdc5\x00", "begins like UTF-16 text but is not"),
    ],
)
def test_an_input_that_is_no_list_is_refused_as_a_whole(data: bytes, message: str) -> None:
    with pytest.raises(IntakeError, match=message):
        read(data, skip_invalid=True)


@pytest.mark.parametrize(
    ("form", "data", "message"),
    [
        ("lines", b'{"id":5}', "not a whole number"),
        ("lines", b"id\n5", "not a whole number"),
        ("ndjson", b"[5]", "not a whole number"),
        ("csv", b"5\n6\n", "contact ID 5 is where the header should be"),
        ("csv", b"", "no header line"),
        ("json", b"5\n", "begins with a square bracket"),
        ("json", b"", "cut off"),
    ],
)
def test_a_form_that_was_asked_for_is_held_to(form: WantedForm, data: bytes, message: str) -> None:
    assert message in str(refused(data, form=form))


def test_ten_bad_lines_are_told_and_all_are_counted() -> None:
    error = refused(b"5\n" + b"x\n" * 25)
    assert [bad.line for bad in error.bad_lines] == list(range(2, 12))
    assert error.total_bad == 25
    told = str(error).splitlines()
    assert told[0] == "25 values are not contact IDs (whole numbers from 1 to 2147483647)"
    assert told[1] == '  line 2: "x": not a whole number'
    assert told[11:] == ["  and 15 more"]


def test_bad_text_is_safe_to_print_and_short() -> None:
    bad = refused(b"5\n\x1b[31mred\x07\x00\xff\xe2\x80\xae\n" + b"y" * 5000 + b"\n").bad_lines
    assert bad[0].text == r"\x1b[31mred\x07\x00\xff\u202e"
    assert bad[1].text == "y" * 79 + "…"


def test_names_in_a_bad_header_are_safe_to_print() -> None:
    assert r"'na\x1bme'" in str(refused(b"na\x1bme,email\nx,y\n"))


def test_invalid_values_are_dropped_and_counted_when_asked_for() -> None:
    result = read(b"5\nx\n6\n5\n0\n", skip_invalid=True)
    assert (list(result.ids), result.read, result.duplicates, result.invalid) == ([5, 6], 5, 1, 2)
    with pytest.raises(IntakeError, match="only invalid values"):
        read(b"x\n0\n", skip_invalid=True)


def test_nothing_comes_out_of_a_failed_intake() -> None:
    parser = IntakeParser()
    parser.feed(b"[5]".ljust(intake.BLOCK_BYTES))
    with pytest.raises(IntakeError, match="something follows"):
        parser.feed(b"6" * intake.BLOCK_BYTES)
    for again in (lambda: parser.feed(b""), parser.close):
        with pytest.raises(IntakeError, match="something follows"):
            again()


def test_a_closed_intake_takes_no_more() -> None:
    parser = IntakeParser()
    parser.feed(b"5")
    assert list(parser.close().ids) == [5]
    for again in (lambda: parser.feed(b"6"), parser.close):
        with pytest.raises(ValueError, match="closed"):
            again()


def test_progress_tells_the_bytes_read_from_the_source() -> None:
    data = b"".join(b"%d\n" % value for value in range(1, 200_001))
    seen: list[int] = []
    assert len(read_contact_ids(io.BytesIO(data), on_progress=seen.append).ids) == 200_000
    assert seen[-1] == len(data)
    assert seen == sorted(set(seen))
    assert len(seen) > 1


def test_a_packed_byte_may_unpack_to_more_than_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_bytes, "_PIECE_BYTES", 3)
    parser = IntakeParser()
    for byte in packed(b"7\n" * 5000):
        parser.feed(bytes([byte]))
    assert parser.close().read == 5000


@pytest.mark.parametrize("piece", [b"7\n", b" ", b"\n", b"x", b"5,", b'"'])
def test_a_gzip_bomb_costs_no_memory(piece: bytes) -> None:
    packer = zlib.compressobj(wbits=31)
    packed = b"".join(packer.compress(piece * ((1 << 20) // len(piece))) for _ in range(48)) + packer.flush()
    assert len(packed) < 200_000
    parser = IntakeParser(skip_invalid=True)
    tracemalloc.start()
    try:
        parser.feed(packed)
        parser.close()
    except IntakeError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 40 << 20


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":4}\n{\n  "id": 5,\n  "codes": [\n    77\n  ]\n}\n',
        b'{"id":5,"note":"a\n77\nb"}\n{"id":6}\n',
        b'{"id":5}{"id":6}\n{"id":7}\n',
        b'5,foo\n6,"Street\n77\nTown"\n',
    ],
)
def test_no_piece_of_a_value_over_several_lines_is_taken_when_bad_ones_are_skipped(data: bytes) -> None:
    with pytest.raises(IntakeError, match="cannot be left out if contact IDs follow"):
        read(data, skip_invalid=True)
