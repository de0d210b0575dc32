"""Files that are not lists are recognised by their content, whatever their names."""

import bz2
import io
import lzma
import zipfile

import pytest

from jobs.intake.foreign import HEAD_BYTES
from jobs.intake.parser import IntakeParser, read_contact_ids
from jobs.intake.tally import IntakeError

ODS = "application/vnd.oasis.opendocument.spreadsheet"


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, ODS if name == "mimetype" else "x" * 600)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(
            zipped("[Content_Types].xml", "xl/worksheets/sheet1.xml"),
            "this is an Excel workbook; save it as CSV, and send that file",
            id="xlsx",
        ),
        pytest.param(zipped("mimetype", "content.xml"), "this is a LibreOffice spreadsheet", id="ods"),
        pytest.param(zipped("contacts.csv"), "this is a zip file; unpack it", id="zip"),
        pytest.param(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "an Excel workbook in the old format", id="xls"),
        pytest.param(b"\r\n<!DOCTYPE html>\n<html><body>Log in", "this is an HTML page", id="html"),
        pytest.param(b'<?xml version="1.0"?><html xmlns="x">', "this is an HTML page", id="xhtml"),
        pytest.param(b"<!-- export --><html><td>\n7\n</td>", "this is an HTML page", id="html after a comment"),
        pytest.param(b"<contacts>\n<age>\n42\n</age>", "this is XML", id="xml without a declaration"),
        pytest.param(b"<contacts><id>5</id></contacts>", "this is XML", id="xml in a line"),
        pytest.param(b"list.txt".ljust(257, b"\0") + b"ustar\x0000", "this is a tar archive", id="tar"),
        pytest.param(b'<?xml version="1.0"?>\n<contacts><id>5</id></contacts>', "this is XML", id="xml"),
        pytest.param(b"%PDF-1.7\n5\n", "this is a PDF document", id="pdf"),
        pytest.param(bz2.compress(b"5\n"), "this is compressed with bzip2", id="bzip2"),
        pytest.param(lzma.compress(b"5\n"), "this is compressed with xz", id="xz"),
        pytest.param("5\n6\n".encode("utf-16-le"), "this is UTF-16 text without a byte order mark", id="utf-16-le"),
        pytest.param("id,name\n5,Bö\n".encode("utf-16-be"), "this is UTF-16 text without", id="utf-16-be"),
        pytest.param("5\n6\n".encode("utf-32"), "the input is UTF-32 text", id="utf-32"),
    ],
)
def test_a_file_that_is_no_list_is_called_by_its_name(data: bytes, message: str) -> None:
    with pytest.raises(IntakeError) as caught:
        read_contact_ids(io.BytesIO(data), skip_invalid=True)
    assert caught.value.message.startswith(message) or message in caught.value.message


def test_it_is_known_however_it_arrives() -> None:
    parser = IntakeParser(form="csv")
    *most, last = zipped("[Content_Types].xml", "xl/workbook.xml")[:HEAD_BYTES]
    for byte in most:
        parser.feed(bytes([byte]))
    with pytest.raises(IntakeError, match="Excel workbook"):
        parser.feed(bytes([last]))


@pytest.mark.parametrize("data", [b"PK,id\n1,5\n", b"BZh,id\n1,5\n", b"PAR1,id\n1,5\n", b"<id>,id\n1,5\n"])
def test_a_header_that_begins_alike_is_still_a_header(data: bytes) -> None:
    assert list(read_contact_ids(io.BytesIO(data)).ids) == [5]
