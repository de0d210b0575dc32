"""Verifying receipts and proofs, alone or with a ledger."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jobs.receipts.documents import Proof, Receipt
from jobs.receipts.errors import BadReceipt, Mismatch
from jobs.receipts.ledger_file import LedgerFile, is_line
from jobs.receipts.salts import SALT_BYTES, salts
from jobs.receipts.signing import is_signed_by
from jobs.receipts.statement import Statement
from jobs.receipts.tree import leaf, root, root_by_path, salted_leaves
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.outcomes import Outcome

#: Called with how many lines have been verified, of how many.
Show = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was verified: everything here agrees.

    Attributes:
        statement: what is signed.
        key: the public key that it is signed with.
        is_known: whether that key was compared with one that is known.
        line: the line of the ledger that a proof is of; None for a receipt.
        ledger_lines: lines of the ledger that were compared; None if there was no ledger.
    """

    statement: Statement
    key: str
    is_known: bool
    line: str | None
    ledger_lines: int | None


def verify(
    document: Receipt | Proof,
    *,
    known_key: str | None = None,
    ledger: LedgerFile | None = None,
    show: Show | None = None,
) -> Verified:
    """Verify a receipt or a proof.

    A receipt and a ledger agree if every line is the one that was signed. A proof and a ledger agree if the line of
    the proof is in its place and the counts agree; a proof says nothing of the other lines.

    Args:
        document: the receipt or proof.
        known_key: the public key of whoever should have signed it; None if it is not known.
        ledger: compared with it.
        show: called while the ledger is read.

    Raises:
        Mismatch: something does not agree; it says what.
        BadReceipt: the receipt is sealed, so that no ledger can be compared with it.
        OSError: the ledger cannot be read.
    """
    if known_key not in {None, document.key}:
        raise Mismatch("key", f"it is signed with {document.key}, not with {known_key}")
    if not is_signed_by(document.key, bytes.fromhex(document.signature), document.statement):
        raise Mismatch("signature", f"the statement is not what was signed with {document.key}")
    try:
        statement = Statement.parse(document.statement)
    except ValueError as error:
        raise Mismatch("statement", f"{error}") from None
    if isinstance(document, Proof):
        _verify_proof(document, statement)
    lines = None
    if ledger is not None:
        lines = _compare(document, statement, ledger, show or (lambda _read, _total: None))
    return Verified(
        statement=statement,
        key=document.key,
        is_known=known_key is not None,
        line=document.line if isinstance(document, Proof) else None,
        ledger_lines=lines,
    )


def _verify_proof(proof: Proof, statement: Statement) -> None:
    if not is_line(proof.line):
        raise Mismatch("line", "it is not a line of a ledger")
    start = leaf(bytes.fromhex(proof.salt) + proof.line.encode())
    if root_by_path(start, proof.index, statement.total, list(map(bytes.fromhex, proof.path))) != statement.root:
        raise Mismatch("root", "line, salt, index and path do not lead to the root that was signed")


def _compare(document: Receipt | Proof, statement: Statement, ledger: LedgerFile, show: Show) -> int:
    """Compare a ledger with a receipt or proof; return its number of lines."""
    tree = _Tree(_seed_of(document)) if isinstance(document, Receipt) else None
    read = 0
    for lines in ledger.pieces():
        if tree is not None:
            tree.add(lines)
        else:
            _compare_line(document, lines, read)
        read += len(lines)
        show(read, statement.total)
    if read != statement.total:
        raise Mismatch("total", f"the ledger has {read:,} lines, and {statement.total:,} were signed")
    _compare_counts(statement.counts, ledger.counts)
    if tree is not None and tree.root() != statement.root:
        raise Mismatch("root", "at least one line of the ledger is not what was signed")
    return read


def _seed_of(receipt: Receipt) -> bytes:
    if receipt.opening is None:
        raise BadReceipt("it is sealed: a ledger can only be compared with the receipt that was made without --sealed")
    return bytes.fromhex(receipt.opening.seed)


def _compare_line(document: Receipt | Proof, lines: list[bytes], first: int) -> None:
    if not isinstance(document, Proof) or not first <= document.index < first + len(lines):
        return
    if lines[document.index - first] != document.line.encode():
        raise Mismatch(f"line {document.index + 2}", "it is not the line of the proof")


def _compare_counts(signed: Mapping[Outcome, int], found: Mapping[Outcome, int]) -> None:
    for outcome in Outcome:
        if signed[outcome] != found[outcome]:
            told = f"{found[outcome]:,} {outcome} in the ledger, and {signed[outcome]:,} were signed"
            raise Mismatch("counts", told)


class _Tree:
    """Works out the root over lines, in the memory of one segment."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._roots: list[bytes] = []
        self._leaves: list[bytes] = []
        self._count = 0

    def add(self, lines: list[bytes]) -> None:
        """Add the next lines."""
        self._leaves += salted_leaves(lines, salts(self._seed, self._count, len(lines)), SALT_BYTES)
        self._count += len(lines)
        while len(self._leaves) >= SEGMENT_SIZE:
            self._roots.append(root(self._leaves[:SEGMENT_SIZE]))
            del self._leaves[:SEGMENT_SIZE]

    def root(self) -> bytes:
        """Return the root over all lines so far."""
        return root([*self._roots, root(self._leaves)] if self._leaves or not self._roots else self._roots)
