"""Receipts and proofs as JSON documents."""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from jobs.receipts.errors import BadReceipt
from jobs.receipts.signing import KEY_PATTERN
from jobs.words.contact_ids import MAX_CONTACT_ID

#: A receipt has about 1 kB, and a proof of ten million lines 3 kB.
MOST_BYTES = 65_536

_Hash: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Key: TypeAlias = Annotated[str, Meta(pattern=KEY_PATTERN)]
_Signature: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{128}$")]
_Salt: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


class Opening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shows that a receipt and a ledger belong together."""

    seed: _Hash
    """From which all salts follow: 32 bytes, hexadecimal."""


class Receipt(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="format", tag="crm-sweep receipt 1"
):
    """What became of a job, signed. docs/receipts.md has the format."""

    statement: str
    """The text that is signed: a line each for job, portal, times, counts and the root of the tree."""
    signature: _Signature
    """Ed25519 over the bytes of `statement`, hexadecimal."""
    key: _Key
    """The public key that the signature belongs to; compare it with the one that you know."""
    opening: Opening | None
    """Needed to verify a ledger; null in a receipt that is sealed."""


class Proof(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="format", tag="crm-sweep proof 1"
):
    """What became of one contact, signed. docs/receipts.md has the format."""

    statement: str
    """As in the receipt of the job."""
    signature: _Signature
    """As in the receipt of the job."""
    key: _Key
    """As in the receipt of the job."""
    line: str
    """The contact's line of the ledger as CSV, without the line end."""
    index: Annotated[int, Meta(ge=0, le=MAX_CONTACT_ID - 1)]
    """Which line of the ledger it is, from 0; the header is not counted."""
    salt: _Salt
    """The salt of the line, 16 bytes, hexadecimal."""
    path: Annotated[list[_Hash], Meta(max_length=31)]
    """The hashes that lead from the line to the root, from the bottom up, hexadecimal."""


def to_json(document: Receipt | Proof) -> bytes:
    """Write a document for people and programs: indented, and ended by a line end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def read_document(data: bytes) -> Receipt | Proof:
    """Read a receipt or a proof; nothing in it is verified.

    Raises:
        BadReceipt: it is neither.
    """
    if len(data) > MOST_BYTES:
        raise BadReceipt(f"it is larger than {MOST_BYTES // 1024} kB")
    try:
        return msgspec.json.decode(data, type=Receipt | Proof)
    except msgspec.MsgspecError as error:
        raise BadReceipt(str(error)) from None
    except (UnicodeDecodeError, RecursionError):
        raise BadReceipt("it is not JSON") from None
