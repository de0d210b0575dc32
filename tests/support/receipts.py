"""Small ledgers with their receipt and proofs, made without a server."""

from collections import Counter
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st

from jobs.ledger.rows import COLUMNS, make_line
from jobs.receipts.documents import Opening, Proof, Receipt
from jobs.receipts.ledger_file import LedgerFile
from jobs.receipts.salts import salts
from jobs.receipts.signing import public_key_of
from jobs.receipts.statement import Statement
from jobs.receipts.tree import leaf, path, root
from jobs.words.outcomes import Code, Outcome

HEADER = ",".join(COLUMNS).encode()
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = public_key_of(KEY)

_AT_MS = 1_764_000_000_000
_FACTS = st.tuples(
    st.sampled_from(Code), st.integers(0, 255), st.sampled_from((0, 200, 404, 500)), st.integers(_AT_MS, _AT_MS + 10**9)
)


@dataclass(frozen=True)
class Signed:
    """A ledger, and what was signed of it."""

    lines: list[bytes]
    seed: bytes
    statement: Statement

    @property
    def ledger(self) -> bytes:
        """The ledger as `results` writes it."""
        return b"".join(line + b"\n" for line in (HEADER, *self.lines))

    def receipt(self, *, sealed: bool = False) -> Receipt:
        text = self.statement.text()
        opening = None if sealed else Opening(seed=self.seed.hex())
        return Receipt(statement=text, signature=KEY.sign(text.encode()).hex(), key=PUBLIC, opening=opening)

    def proof(self, index: int) -> Proof:
        text = self.statement.text()
        return Proof(
            statement=text,
            signature=KEY.sign(text.encode()).hex(),
            key=PUBLIC,
            line=self.lines[index].decode(),
            index=index,
            salt=salts(self.seed, index, 1).hex(),
            path=[step.hex() for step in path(self._leaves(), index)],
        )

    def _leaves(self) -> list[bytes]:
        return leaves_of(self.lines, self.seed)


def leaves_of(lines: list[bytes], seed: bytes) -> list[bytes]:
    return [leaf(salts(seed, index, 1) + line) for index, line in enumerate(lines)]


def sign(lines: list[bytes], seed: bytes = bytes(32), **said: Any) -> Signed:
    """Sign a ledger; the statement says what a job of these lines would, except for what is given."""
    counts = Counter(line.split(b",")[1].decode() for line in lines)
    usual: dict[str, Any] = {
        "job": "01JD4M6Y9Q",
        "portal": "main",
        "address": "0123456789abcdef",
        "state": "completed",
        "created": "2026-11-23T12:00:00.000Z",
        "started": "2026-11-23T12:00:01.000Z",
        "finished": "2026-11-23T13:00:00.000Z",
        "retries": 0,
        "counts": {outcome: counts[outcome] for outcome in Outcome},
        "root": root(leaves_of(lines, seed)),
    }
    return Signed(lines, seed, Statement(**(usual | said)))


def a_ledger(count: int) -> list[bytes]:
    """Return the lines of a ledger in which every third contact was refused."""
    return [
        make_line(101 + at, (Code.READ_ONLY if at % 3 == 2 else Code.DELETED, 1, 200, _AT_MS + at)).csv().encode()[:-1]
        for at in range(count)
    ]


def ledgers(most: int = 20) -> st.SearchStrategy[list[bytes]]:
    """Draw the lines of ledgers."""
    ids = st.lists(st.integers(1, 2**31 - 1), unique=True, max_size=most).map(sorted)
    return ids.flatmap(
        lambda some: st.lists(_FACTS, min_size=len(some), max_size=len(some)).map(
            lambda facts: [make_line(one, fact).csv().encode()[:-1] for one, fact in zip(some, facts, strict=True)]
        )
    )


def as_file(data: bytes, buffer_bytes: int = 8192) -> LedgerFile:
    """Return a ledger that is read from memory."""
    return LedgerFile(BufferedReader(BytesIO(data), buffer_bytes))
