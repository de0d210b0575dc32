"""What holds for every list of contact IDs, however it is written and wherever it is cut."""

import gzip
import json
import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.intake import parser as intake
from jobs.intake import unpacking as intake_bytes
from jobs.intake.parser import IntakeParser
from jobs.intake.tally import Intake, IntakeError
from jobs.words.contact_ids import MAX_CONTACT_ID

Write = Callable[[list[str], str], str]
Pack = Callable[[str], bytes]

contact_ids = st.lists(st.integers(1, 50) | st.integers(1, MAX_CONTACT_ID), min_size=1, max_size=40)
line_ends = st.sampled_from(["\n", "\r\n", "\r"])
#: Sizes of the chunks that an input comes in, used in turn.
chunk_sizes = st.lists(st.integers(1, 40), min_size=1, max_size=5)
#: Bytes parsed at a time: tiny blocks end at every place in a line, a record or a value.
block_sizes = st.integers(1, 12) | st.just(intake.BLOCK_BYTES)
#: None of these is a contact ID in text or in a CSV cell.
bad_texts = st.sampled_from(
    ["5.0", "0", "-1", "2147483648", "1e3", "+7", "١٢", "0x10", "1,000", "1_000", "true", "x" * 100, "é"]
)
#: Nor is any of these a contact ID as a JSON value.
bad_values = st.sampled_from(["5.0", "0", "-1", "2147483648", "1e3", '"7"', "true", "null", '"a,]\\"[}"', "[1,[2]]"])


def parse(data: bytes, sizes: list[int], block_bytes: int, *, skip_invalid: bool = False) -> Intake:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "BLOCK_BYTES", block_bytes)
        patch.setattr(intake_bytes, "_PIECE_BYTES", block_bytes)
        parser = IntakeParser(skip_invalid=skip_invalid)
        start = turn = 0
        while start < len(data):
            end = start + sizes[turn % len(sizes)]
            parser.feed(data[start:end])
            start, turn = end, turn + 1
        return parser.close()


def outcome(data: bytes, sizes: list[int], block_bytes: int, *, skip_invalid: bool = False) -> object:
    try:
        result = parse(data, sizes, block_bytes, skip_invalid=skip_invalid)
    except IntakeError as error:
        return str(error), error.bad_lines, error.total_bad
    return list(result.ids), result.read, result.duplicates, result.invalid


def as_lines(values: list[str], end: str) -> str:
    return end.join(values) + end


def as_csv(values: list[str], end: str) -> str:
    return end.join(["Contact_ID;name", *(f"{value};a" for value in values)])


def as_quoted_csv(values: list[str], end: str) -> str:
    return end.join(['"name","id"', *(f'"b{end}""c"",","{value}"' for value in values)])


def as_json(values: list[str], end: str) -> str:
    return f"[{end}" + f" ,{end}".join(values) + f"{end}]{end}"


def as_ndjson(values: list[str], end: str) -> str:
    return as_lines([f'{{"id": {value}, "x": "}}"}}' for value in values], end)


def as_mixed_ndjson(values: list[str], end: str) -> str:
    return as_lines([f'{{"ID":{value}}}' if turn % 2 else value for turn, value in enumerate(values)], end)


every_form = pytest.mark.parametrize(
    "write", [as_lines, as_csv, as_quoted_csv, as_json, as_ndjson, as_mixed_ndjson], ids=lambda write: write.__name__
)
packings = st.sampled_from(
    [
        str.encode,
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: gzip.compress(text.encode()),
        lambda text: gzip.compress(text[:9].encode()) + gzip.compress(text[9:].encode("utf-8")),
    ]
)


@every_form
@given(values=contact_ids, end=line_ends, pack=packings, sizes=chunk_sizes, block_bytes=block_sizes)
def test_any_form_cut_anywhere_gives_the_same_set_and_counts(
    *, write: Write, values: list[int], end: str, pack: Pack, sizes: list[int], block_bytes: int
) -> None:
    result = parse(pack(write([str(value) for value in values], end)), sizes, block_bytes)
    assert list(result.ids) == sorted(set(values))
    assert (result.read, result.duplicates, result.invalid) == (len(values), len(values) - len(set(values)), 0)


@given(data=st.data(), values=contact_ids, sizes=chunk_sizes)
def test_neither_order_nor_repetition_matters_for_the_set(
    data: st.DataObject, values: list[int], sizes: list[int]
) -> None:
    other = data.draw(st.permutations(values + data.draw(st.lists(st.sampled_from(values)))))
    texts = [as_lines([str(value) for value in some], "\n").encode() for some in (values, other)]
    assert parse(texts[0], sizes, 7).ids == parse(texts[1], sizes, 7).ids


# Each form with the line that its value number n (from 0) is on.
with_line_numbers = pytest.mark.parametrize(
    ("write", "line_of", "is_json"),
    [
        (as_lines, lambda n: n + 1, False),
        (as_csv, lambda n: n + 2, False),
        (as_quoted_csv, lambda n: 2 * n + 2, False),
        (as_json, lambda n: n + 2, True),
        (as_ndjson, lambda n: n + 1, True),
    ],
    ids=["lines", "csv", "quoted csv", "json", "ndjson"],
)


@with_line_numbers
@given(data=st.data(), end=line_ends, sizes=chunk_sizes, block_bytes=block_sizes)
def test_bad_values_are_told_with_their_lines_or_dropped(
    *,
    write: Write,
    line_of: Callable[[int], int],
    is_json: bool,
    data: st.DataObject,
    end: str,
    sizes: list[int],
    block_bytes: int,
) -> None:
    good = st.tuples(st.integers(1, MAX_CONTACT_ID).map(str), st.just(True))
    bad = st.tuples(bad_values if is_json else bad_texts, st.just(False))
    values = [("1", True), *data.draw(st.lists(good | bad, max_size=30))]
    text = write([value for value, _ in values], end).encode()
    wrong = [line_of(n) for n, (_, is_good) in enumerate(values) if not is_good]
    valid = [int(value) for value, is_good in values if is_good]

    result = parse(text, sizes, block_bytes, skip_invalid=True)
    assert list(result.ids) == sorted(set(valid))
    assert result.invalid == len(wrong)
    assert result.read == len(values) == result.invalid + result.duplicates + len(result.ids)

    if wrong:
        with pytest.raises(IntakeError) as caught:
            parse(text, sizes, block_bytes)
        assert [bad.line for bad in caught.value.bad_lines] == wrong[:10]
        assert caught.value.total_bad == len(wrong)
        assert all(len(bad.text) <= 80 and bad.text.isprintable() for bad in caught.value.bad_lines)


#: Pieces that steer the parser into its corners far more often than random bytes do.
pieces = st.sampled_from(
    [
        *'0-,;|[]{}:x\\\t\n\r\x00 "é\ufeff',
        *("1", "23", "007", "1.5", "2147483648", '""', "\r\n", "[]", "[1,2"),
        *("id", "ID", "contact_id", '{"id":5}', '{"id":', '"id":'),
    ]
)
starts = st.sampled_from(["", "id\n", "id,n\n", '"n";"id"\n', "[", '{"id":5}\n', "5\n", "\n \r\n", "[1]\r\n"])


@given(
    start=starts, middle=st.lists(pieces, max_size=25), sizes=chunk_sizes, block_bytes=block_sizes, skip=st.booleans()
)
def test_no_cut_changes_what_is_found_in_odd_input(
    start: str, middle: list[str], sizes: list[int], block_bytes: int, skip: bool
) -> None:
    data = (start + "".join(middle)).encode()
    whole = outcome(data, [max(len(data), 1)], intake.BLOCK_BYTES, skip_invalid=skip)
    assert outcome(data, sizes, block_bytes, skip_invalid=skip) == whole


@given(
    prefix=st.sampled_from([b"", b"\x1f\x8b", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"[", b"{", b"id\n"]),
    data=st.binary(max_size=200),
    packed=st.booleans(),
    sizes=chunk_sizes,
    skip=st.booleans(),
)
def test_arbitrary_bytes_raise_nothing_but_an_intake_error(
    prefix: bytes, data: bytes, packed: bool, sizes: list[int], skip: bool
) -> None:
    raw = gzip.compress(prefix + data) if packed else prefix + data
    outcome(raw, sizes, 8, skip_invalid=skip)


@given(data=contact_ids, at=st.integers(0, 400), flip=st.integers(1, 255), sizes=chunk_sizes)
def test_a_damaged_gzip_never_gives_another_set(data: list[int], at: int, flip: int, sizes: list[int]) -> None:
    packed = bytearray(gzip.compress("\n".join(map(str, data)).encode()))
    packed[10 + at % (len(packed) - 10)] ^= flip
    found = outcome(bytes(packed), sizes, 64)
    assert isinstance(found, tuple)
    assert isinstance(found[0], str) or found[0] == sorted(set(data))


@given(values=contact_ids, cut=st.integers(1, 10_000), sizes=chunk_sizes)
def test_half_a_file_is_never_accepted_where_it_can_be_told(values: list[int], cut: int, sizes: list[int]) -> None:
    for whole in (json.dumps(values).encode(), gzip.compress(as_lines([str(v) for v in values], "\n").encode())):
        half = whole[: cut % len(whole)]
        with pytest.raises(IntakeError):
            parse(half, sizes, 16)


@given(text=st.text(alphabet=string.printable + "é\x00\u202e", max_size=60), sizes=chunk_sizes)
def test_an_error_is_always_safe_to_print(text: str, sizes: list[int]) -> None:
    with pytest.raises(IntakeError) as caught:
        parse(("5\nx" + text).encode(), sizes, 16)
    assert all(line.isprintable() for line in str(caught.value).split("\n"))
