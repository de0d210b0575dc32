import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from jobs.words import contact_ids
from jobs.words.contact_ids import MAX_CONTACT_ID, SEGMENT_SIZE, decode_segment, digest, parse_contact_id, segments

ids = st.sets(st.integers(1, MAX_CONTACT_ID), max_size=200)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("2147483647", MAX_CONTACT_ID), (" 7\t", 7), ("007", 7), ("0" * 9000 + "5", 5), ("7\r\n", 7)],
)
def test_decimal_digits_are_a_contact_id(text: str, value: int) -> None:
    assert parse_contact_id(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *((text, "not a whole number") for text in ["5.0", "+7", "-1", "1e3", "0x10", "1_000", "true", '"7"', "1 2"]),
        *((text, "not a whole number") for text in ["١٢", "७", "²", "1,000", "\u00a07", "7\x00", "\uff17"]),
        *((text, "outside 1 to 2147483647") for text in ["0", "000", "2147483648", "9999999999", "9" * 9000]),
        *((text, "empty") for text in ["", " \t "]),
    ],
)
def test_anything_else_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_contact_id(text)


@given(st.text() | st.integers().map(str) | st.floats().map(str))
def test_what_is_read_is_what_was_written(text: str) -> None:
    try:
        value = parse_contact_id(text)
    except ValueError:
        return
    assert 1 <= value <= MAX_CONTACT_ID
    assert str(value) == text.strip(" \t\r\n").lstrip("0")


@given(ids, st.integers(1, 70))
def test_segments_hold_every_id_once_and_in_order(values: set[int], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contact_ids, "SEGMENT_SIZE", size)
        decoded = [list(decode_segment(data)) for data in segments(BitMap(values))]
    assert [value for segment in decoded for value in segment] == sorted(values)
    assert all(len(segment) == size for segment in decoded[:-1])
    assert all(decoded)


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_segment_is_cut_after_65536_ids_wherever_their_values_lie(extra: int) -> None:
    values = range(3, 3 + 5 * (SEGMENT_SIZE + extra), 5)
    lengths = [len(decode_segment(data)) for data in segments(BitMap(values))]
    assert lengths == ([SEGMENT_SIZE, 1] if extra == 1 else [SEGMENT_SIZE + extra])


def test_an_empty_set_has_no_segments() -> None:
    assert list(segments(BitMap())) == []


@pytest.mark.parametrize("data", [b"", b"junk", next(segments(BitMap(range(1, 100, 3))))[:-1]])
def test_bytes_that_are_no_segment_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="deserialize"):
        decode_segment(data)


@given(ids, ids)
def test_digests_are_equal_exactly_when_the_sets_are(left: set[int], right: set[int]) -> None:
    assert (digest(BitMap(left)) == digest(BitMap(right))) == (left == right)


@given(st.lists(st.integers(1, MAX_CONTACT_ID), max_size=50), st.integers(1, 10))
def test_the_digest_is_that_of_the_sorted_ids_however_the_set_was_built(values: list[int], size: int) -> None:
    one_by_one = BitMap()
    for value in values:
        one_by_one.add(value)
    packed = BitMap(values)
    packed.run_optimize()
    expected = hashlib.sha256(b"".join(struct.pack("<I", value) for value in sorted(set(values)))).hexdigest()
    assert digest(one_by_one) == digest(packed) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contact_ids, "SEGMENT_SIZE", size)
        assert digest(packed) == expected
