"""A receipt, its ledger and its proofs agree as they were made; after any single change, they do not."""

import gzip
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.receipts.documents import Proof, Receipt, read_document, to_json
from jobs.receipts.errors import BadReceipt, Mismatch
from jobs.receipts.signing import public_key_of
from jobs.receipts.verify import verify
from jobs.words.outcomes import Outcome
from tests.support.receipts import HEADER, KEY, PUBLIC, a_ledger, as_file, ledgers, sign

SIGNED = sign(a_ledger(10))
OTHER_KEY = f"ed25519:{'11' * 32}"


def mismatch(document: Receipt | Proof, ledger: bytes | None = None, known_key: str | None = PUBLIC) -> str:
    """Return which part does not agree, and why."""
    with pytest.raises(Mismatch) as caught:
        verify(document, known_key=known_key, ledger=None if ledger is None else as_file(ledger))
    return str(caught.value).removeprefix("not verified: ")


def file_of(*lines: bytes) -> bytes:
    return b"".join(line + b"\n" for line in (HEADER, *lines))


@given(ledgers(), st.binary(min_size=32, max_size=32), st.booleans(), st.integers(20, 9000))
def test_what_was_signed_agrees(lines: list[bytes], seed: bytes, packed: bool, buffer_bytes: int) -> None:
    signed = sign(lines, seed)
    data = gzip.compress(signed.ledger, 1) if packed else signed.ledger
    found = verify(signed.receipt(), known_key=PUBLIC, ledger=as_file(data, buffer_bytes))
    assert (found.ledger_lines, found.is_known, found.line, found.statement) == (
        len(lines), True, None, signed.statement,
    )  # fmt: skip
    for index in range(len(lines)):
        proved = verify(signed.proof(index), known_key=PUBLIC, ledger=as_file(data, buffer_bytes))
        assert (proved.line, proved.ledger_lines) == (lines[index].decode(), len(lines))


def test_a_ledger_of_several_segments_agrees() -> None:
    signed = sign(a_ledger(65_536 + 1))
    seen: list[tuple[int, int]] = []
    ledger = as_file(signed.ledger)
    assert verify(signed.receipt(), ledger=ledger, show=lambda *lines: seen.append(lines)).ledger_lines == 65_537
    assert seen[-1] == (65_537, 65_537)
    assert len(seen) > 2
    assert all(before < after for before, after in pairwise(seen))
    changed = signed.ledger.replace(b"\n65637,", b"\n65638,")
    assert mismatch(signed.receipt(), changed) == "root: at least one line of the ledger is not what was signed"


def altered(draw: st.DrawFn, data: bytes) -> bytes:
    """Replace, insert or remove one byte."""
    at = draw(st.integers(0, len(data) - 1))
    how = draw(st.sampled_from(["replace", "insert", "remove"]))
    new = bytes([draw(st.integers(0, 255))])
    if how == "insert":
        return data[:at] + new + data[at:]
    kept = new if how == "replace" else b""
    return data[:at] + kept + data[at + 1 :]


@st.composite
def changes(draw: st.DrawFn, data: bytes) -> bytes:
    return draw(st.builds(lambda: altered(draw, data)).filter(lambda new: new != data))


@given(st.data(), ledgers().filter(bool))
def test_any_single_change_of_a_ledger_is_refused(data: st.DataObject, lines: list[bytes]) -> None:
    signed = sign(lines)
    changed = data.draw(changes(signed.ledger))
    mismatch(signed.receipt(), changed)


@given(st.data(), ledgers(5).filter(bool), st.booleans())
def test_any_single_change_of_a_document_is_refused(data: st.DataObject, lines: list[bytes], of_proof: bool) -> None:
    """As long as it says anything else: blanks between the members of the JSON mean nothing."""
    signed = sign(lines, bytes(range(32)))
    original = signed.proof(data.draw(st.integers(0, len(lines) - 1))) if of_proof else signed.receipt()
    try:
        document = read_document(data.draw(changes(to_json(original))))
    except BadReceipt:
        return
    if document == original:
        return
    mismatch(document, signed.ledger)


@given(st.data(), ledgers().filter(lambda lines: len(lines) > 1))
def test_lines_that_are_added_removed_or_moved_are_refused(data: st.DataObject, lines: list[bytes]) -> None:
    signed = sign(lines)
    at = data.draw(st.integers(0, len(lines) - 2))
    swapped = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]
    twice = [*lines[: at + 1], *lines[at:]]
    gone = [*lines[:at], *lines[at + 1 :]]
    place = f"line {at + 3}: contact "
    assert mismatch(signed.receipt(), file_of(*swapped)).startswith(place)
    assert mismatch(signed.receipt(), file_of(*twice)).startswith(place)
    assert "comes twice" in mismatch(signed.receipt(), file_of(*twice))
    assert mismatch(signed.receipt(), file_of(*gone)).startswith("total: ")


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"counts": {outcome: 10 * (outcome is Outcome.DELETED) for outcome in Outcome}}, "counts: 7 deleted in the"),
        ({"counts": {outcome: 11 * (outcome is Outcome.DELETED) for outcome in Outcome}}, "total: the ledger has 10"),
        ({"root": bytes(32)}, "root: "),
    ],
)
def test_a_signer_who_says_something_else_is_found_out(said: dict[str, Any], part: str) -> None:
    signed = sign(SIGNED.lines, **said)
    assert mismatch(signed.receipt(), signed.ledger).startswith(part)


def test_the_counts_of_a_statement_add_up_or_it_is_refused() -> None:
    text = SIGNED.statement.text().replace("total: 10", "total: 11")
    receipt = SIGNED.receipt()
    forged = Receipt(statement=text, signature=KEY.sign(text.encode()).hex(), key=PUBLIC, opening=receipt.opening)
    assert mismatch(forged) == "statement: its counts add up to 10, and its total is 11"


def test_the_key_is_compared_if_one_is_known() -> None:
    assert mismatch(SIGNED.receipt(), known_key=OTHER_KEY) == f"key: it is signed with {PUBLIC}, not with {OTHER_KEY}"
    assert verify(SIGNED.receipt(), known_key=PUBLIC).is_known
    assert not verify(SIGNED.receipt()).is_known


def test_a_statement_cannot_be_signed_in_another_name() -> None:
    stolen = Receipt(
        statement=SIGNED.receipt().statement, signature=SIGNED.receipt().signature, key=OTHER_KEY, opening=None
    )
    assert mismatch(stolen, known_key=OTHER_KEY).startswith("signature: ")
    assert public_key_of(KEY) == PUBLIC


def test_a_sealed_receipt_says_that_no_ledger_can_be_compared() -> None:
    sealed = SIGNED.receipt(sealed=True)
    assert verify(sealed, known_key=PUBLIC).ledger_lines is None
    with pytest.raises(BadReceipt, match="sealed"):
        verify(sealed, known_key=PUBLIC, ledger=as_file(SIGNED.ledger))


def test_a_proof_is_of_its_line_alone() -> None:
    proof = SIGNED.proof(4)
    changed = SIGNED.ledger.replace(SIGNED.lines[4], SIGNED.lines[4].replace(b",1,", b",2,"))
    assert mismatch(proof, changed) == "line 6: it is not the line of the proof"
    elsewhere = SIGNED.ledger.replace(SIGNED.lines[5], SIGNED.lines[5].replace(b",1,", b",2,"))
    assert verify(proof, known_key=PUBLIC, ledger=as_file(elsewhere)).ledger_lines == 10


def test_a_proof_holds_nothing_of_the_others() -> None:
    proof, seed = to_json(SIGNED.proof(4)), SIGNED.seed
    assert seed.hex().encode() not in proof
    assert not [line for line in SIGNED.lines if line in proof and line != SIGNED.lines[4]]
    assert not [index for index in range(10) if index != 4 and SIGNED.proof(index).salt.encode() in proof]


def test_the_line_end_of_the_header_is_that_of_the_file() -> None:
    windows = SIGNED.ledger.replace(b"\n", b"\r\n")
    assert verify(SIGNED.receipt(), known_key=PUBLIC, ledger=as_file(windows)).ledger_lines == 10
    mixed = windows.replace(b"\r\n", b"\n", 3).replace(b"\n", b"\r\n", 1)
    assert "line" in mismatch(SIGNED.receipt(), mixed)
    assert mismatch(SIGNED.receipt(), SIGNED.ledger.replace(b"Z\n", b"Z\r\n", 1)).startswith("root: ")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "line 1: it has no line end"),
        (HEADER, "line 1: it has no line end"),
        (b"\xef\xbb\xbf" + SIGNED.ledger, "line 1: it is not the header"),
        (b"id\n1\n", "line 1: it is not the header"),
        (b"x" * 10_000, "line 1: it is not the header"),
        (SIGNED.ledger[:-1], "line 11: it has no line end"),
        (SIGNED.ledger[:-30], "line 11: it has no line end"),
        (SIGNED.ledger + b"\n", "line 12: it is not a line of a ledger"),
        (SIGNED.ledger + b"x" * 300, "line 12: it is too long"),
        (file_of(*SIGNED.lines[:3], b"one,deleted,,200,1,"), "line 5: it is not a line"),
        (file_of(*SIGNED.lines[:3], b"999,vanished,,200,1,"), "line 5: it is not a line"),
        (file_of(*SIGNED.lines[:3], b"999,deleted,200,1,"), "line 5: it is not a line"),
        (gzip.compress(SIGNED.ledger)[:-9], "ledger: the gzip file is damaged or was cut off"),
        (gzip.compress(SIGNED.ledger)[:-5] + b"\0\0\0\0\0", "ledger: the gzip file is damaged"),
        (b"\x1f\x8bnot gzip", "ledger: the gzip file is damaged"),
    ],
)
def test_a_file_that_is_not_such_a_ledger_is_told_by_its_line(data: bytes, told: str) -> None:
    assert mismatch(SIGNED.receipt(), data).startswith(told)
