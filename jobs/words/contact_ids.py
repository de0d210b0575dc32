"""Contact IDs as values and as sets: what one is, how a sorted set is cut into segments, and its fingerprint."""

import hashlib
import re
import sys
from array import array
from collections.abc import Iterator

from pyroaring import BitMap

#: The portal binds contact IDs to a signed 32-bit integer and numbers contacts from 1.
MIN_CONTACT_ID = 1
MAX_CONTACT_ID = 2_147_483_647

#: IDs per segment, cut by position in the sorted list: a few hundred batches, and at most 256 KiB when unpacked.
SEGMENT_SIZE = 65_536

# Only ASCII digits: int() alone would also accept "+7", "1_000" and digits of other scripts.
_DIGITS = re.compile(r"[0-9]+")


def parse_contact_id(text: str) -> int:
    """Read one contact ID written in decimal digits.

    Blanks and line ends around it are ignored, and so are leading zeros: spreadsheets and fixed-width exports pad
    numbers with them, and the digits after them mean the same contact however they are read.

    Args:
        text: the content of one line or one cell.

    Returns:
        The ID, 1 to 2147483647.

    Raises:
        ValueError: it is not a contact ID; the message says why in a few words.
    """
    digits = text.strip(" \t\r\n")
    if not digits:
        raise ValueError("empty")
    if not _DIGITS.fullmatch(digits):
        raise ValueError("not a whole number")
    significant = digits.lstrip("0")
    # Compared by length first: int() refuses more than a few thousand digits.
    return check_range(int(significant or "0") if len(significant) <= len(str(MAX_CONTACT_ID)) else MAX_CONTACT_ID + 1)


def check_range(value: int) -> int:
    """Return the integer unchanged.

    Raises:
        ValueError: it is not in the range 1 to 2147483647.
    """
    if not MIN_CONTACT_ID <= value <= MAX_CONTACT_ID:
        raise ValueError(f"outside {MIN_CONTACT_ID} to {MAX_CONTACT_ID}")
    return value


def segments(ids: BitMap) -> Iterator[bytes]:
    """Cut a set into segments by position in its sorted order, each packed for storage.

    Yields:
        Portable roaring bytes of 65,536 IDs each, ascending; the last segment may be shorter. Nothing for an empty set.
    """
    for segment in _cut(ids):
        segment.run_optimize()
        yield segment.serialize()


def encode_segment(ids: "array[int]") -> bytes:
    """Pack one segment for storage; see `decode_segment`.

    Args:
        ids: at most 65,536 IDs in ascending order.
    """
    segment = BitMap(ids)
    segment.run_optimize()
    packed: bytes = segment.serialize()
    return packed


def decode_segment(data: bytes) -> "array[int]":
    """Unpack a segment.

    Args:
        data: one item of `segments`.

    Returns:
        Its IDs in ascending order, as unsigned 32-bit integers: index i is position i in the segment.

    Raises:
        ValueError: the bytes are not a segment.
    """
    if not data:  # for which the library raises an IndexError
        raise ValueError("Could not deserialize an empty segment")
    return BitMap.deserialize(data).to_array()


def digest(ids: BitMap) -> str:
    """Fingerprint a set: equal sets have equal fingerprints, however they were built or stored.

    Returns:
        Hex SHA-256 over the sorted IDs, each as four little-endian bytes.
    """
    sha256 = hashlib.sha256()
    for segment in _cut(ids):
        sha256.update(little_endian(segment.to_array()))
    return sha256.hexdigest()


def little_endian(values: "array[int]") -> "array[int]":
    """Return the IDs of a segment with four little-endian bytes each, as they are fingerprinted on every machine."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values


def _cut(ids: BitMap) -> Iterator[BitMap]:
    for start in range(0, len(ids), SEGMENT_SIZE):
        yield ids[start : start + SEGMENT_SIZE]
