"""Files that people mistake for lists of contact IDs, recognised by their first bytes."""

import re

#: How many bytes at the beginning are examined: enough to see what is in a zip file.
HEAD_BYTES = 1024

_SAVE_AS_CSV = "save it as CSV, and send that file"
_WORKBOOK = f"this is an Excel workbook; {_SAVE_AS_CSV}"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"this is an Excel workbook in the old format; {_SAVE_AS_CSV}"),
    (b"%PDF-", "this is a PDF document; send the list as CSV or text"),
    (b"\x28\xb5\x2f\xfd", "this is compressed with zstd; decompress it, or use gzip"),
    (b"\xfd7zXZ\x00", "this is compressed with xz; decompress it, or use gzip"),
    (b"7z\xbc\xaf\x27\x1c", "this is a 7z archive; unpack it"),
    (b"Rar!\x1a\x07", "this is a RAR archive; unpack it"),
    (b"SQLite format 3\x00", "this is an SQLite database; export the IDs as CSV"),
    (b"PAR1\x15", "this is a Parquet file; export the IDs as CSV"),
    (b"{\\rtf", "this is a word processor document; send the list as CSV or text"),
)
_TAR_AT, _TAR = 257, b"ustar"
_BZIP2 = re.compile(rb"BZh[1-9]1AY&SY")
_ZIP = b"PK\x03\x04"
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body", b"<table")
#: An element that begins a document, not a header with a peculiar name: its first line holds only a tag, or tags.
_ELEMENT = re.compile(rb"<[a-z][^<>,;|\t\r\n]*>[ \t]*(?:<|[\r\n])")
_UTF16 = "this is UTF-16 text without a byte order mark; save it as UTF-8"
#: Bytes that decide whether a text is UTF-16: in Latin letters and digits, every second byte is zero.
_UTF16_BYTES = 64


def foreign(head: bytes) -> str | None:
    """Return what an input is instead of a list, and what to do about it; None if it may be a list.

    Args:
        head: the first 1,024 bytes after decompression, or all if there are fewer.
    """
    if head.startswith(_ZIP):
        return _zip(head)
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith(_TAR, _TAR_AT):
        return "this is a tar archive; unpack it, and send the list inside"
    if _BZIP2.match(head):
        return "this is compressed with bzip2; decompress it, or use gzip"
    start = head.lstrip(b" \t\r\n").lower()
    if start.startswith(_HTML) or (start.startswith((b"<?xml", b"<!--")) and b"<html" in start):
        return "this is an HTML page, perhaps one that asks to log in; download the list itself"
    if start.startswith((b"<?xml", b"<!--")) or _ELEMENT.match(start):
        return "this is XML; send the list as CSV, JSON or text"
    return _UTF16 if _is_utf16(head) else None


def _zip(head: bytes) -> str:
    if b"[Content_Types].xml" in head or b"xl/" in head:
        return _WORKBOOK
    if b"application/vnd.oasis.opendocument.spreadsheet" in head:
        return f"this is a LibreOffice spreadsheet; {_SAVE_AS_CSV}"
    return "this is a zip file; unpack it, and send the list inside"


def _is_utf16(head: bytes) -> bool:
    pairs = head[: min(_UTF16_BYTES, len(head) - len(head) % 2)]
    even, odd = pairs[::2], pairs[1::2]
    if not even:
        return False
    for zeros, letters in ((odd, even), (even, odd)):
        if zeros.count(0) > len(zeros) * 3 // 4 and letters.count(0) == 0:
            return True
    return False
