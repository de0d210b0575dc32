"""The text that is signed says one thing only, and everything that it says can be read back."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.receipts.documents import MOST_BYTES, read_document, to_json
from jobs.receipts.errors import BadPublicKey, BadReceipt
from jobs.receipts.signing import check_public_key
from jobs.receipts.statement import Statement
from jobs.words.outcomes import Outcome
from tests.support.documents import ROOT, first_column
from tests.support.receipts import PUBLIC, a_ledger, sign

SIGNED = sign(a_ledger(5))
TEXT = SIGNED.statement.text()

_TIMES = st.datetimes().map(lambda at: f"{at.isoformat(timespec='milliseconds')}Z")
_STATEMENTS = st.builds(
    Statement,
    job=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    portal=st.from_regex(r"[a-z0-9_-]{0,32}", fullmatch=True),
    address=st.none() | st.binary(min_size=8, max_size=8).map(bytes.hex),
    state=st.sampled_from(["completed", "cancelled", "failed"]),
    created=_TIMES,
    started=st.none() | _TIMES,
    finished=_TIMES,
    retries=st.integers(0, 10**6),
    counts=st.fixed_dictionaries({outcome: st.integers(0, 2**31) for outcome in Outcome}),
    root=st.binary(min_size=32, max_size=32),
)


def test_the_text_is_the_documented_one() -> None:
    assert (
        "crm-sweep receipt 1\njob: 01JD4M6Y9Q\nportal: main\naddress: 0123456789abcdef\nstate: completed\n"
        "created: 2026-11-23T12:00:00.000Z\nstarted: 2026-11-23T12:00:01.000Z\nfinished: 2026-11-23T13:00:00.000Z\n"
        "retries: 0\ntotal: 5\npending: 0\ndeleted: 4\npresumed_deleted: 0\nnot_found: 0\nrefused: 1\nfailed: 0\n"
        f"protected: 0\nskipped: 0\nroot: {SIGNED.statement.root.hex()}\n"
    ) == TEXT


def test_the_page_has_every_line_of_a_statement_in_its_order() -> None:
    names = [line.partition(":")[0] for line in TEXT.splitlines()[1:]]
    assert first_column(ROOT / "docs" / "receipts.md", "The statement") == names


@given(_STATEMENTS)
def test_what_is_written_is_read_back(statement: Statement) -> None:
    assert Statement.parse(statement.text()) == statement


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("receipt 1\n", "receipt 2\n"),
        ("receipt 1\n", "receipt 1\r\n"),
        ("total: 5", "total: 6"),
        ("total: 5", "total: 05"),
        ("total: 5", "total: \N{ARABIC-INDIC DIGIT FIVE}"),
        ("deleted: 4", "deleted: +4"),
        ("state: completed", "state: running"),
        ("created: 2026-11-23T12:00:00.000Z", "created: 2026-11-23T12:00:00Z"),
        ("created: 2026-11-23T12:00:00.000Z", "created: -"),
        ("portal: main\n", ""),
        ("portal: main\n", "portal: main\nportal: main\n"),
        ("address: 0123456789abcdef", "address: 0123456789ABCDEF"),
        ("skipped: 0\n", "skipped: 0\nmore: 1\n"),
        ("started: 2026-11-23T12:00:01.000Z", "started: "),
    ],
)
def test_another_text_is_not_a_statement(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(ValueError, match="it"):
        Statement.parse(TEXT.replace(old, new))


def test_documents_are_read_back() -> None:
    for document in (SIGNED.receipt(), SIGNED.receipt(sealed=True), SIGNED.proof(3)):
        assert read_document(to_json(document)) == document


def _receipt(**changes: Any) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(to_json(SIGNED.receipt())) | changes)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 50_000,
        to_json(SIGNED.receipt())[:-20],
        b" " * (MOST_BYTES + 1),
        _receipt(format="crm-sweep receipt 2"),
        _receipt(more=1),
        _receipt(signature="00"),
        _receipt(signature="A" * 128),
        _receipt(key=PUBLIC.upper()),
        _receipt(statement=None),
        _receipt(opening={"seed": "0" * 63}),
        to_json(SIGNED.proof(3)).replace(b'"index": 3', b'"index": -1'),
    ],
)
def test_what_is_not_a_receipt_is_said_not_to_be_one(data: bytes) -> None:
    with pytest.raises(BadReceipt):
        read_document(data)


@pytest.mark.parametrize("text", ["", PUBLIC[:-1], PUBLIC.upper(), f"{PUBLIC}\n", PUBLIC.removeprefix("ed25519:")])
def test_other_texts_are_not_public_keys(text: str) -> None:
    assert check_public_key(PUBLIC) == PUBLIC
    with pytest.raises(BadPublicKey):
        check_public_key(text)
