"""Making receipts and proofs of jobs that have ended, in the same memory whatever their size.

A segment of a ledger has 65,536 lines, a power of two, so that it is a perfect subtree: the tree over the roots of the
segments is the upper part of the tree over all lines. The roots are kept with the job until its ledger changes, which
leaves one segment to read for a proof, and nothing for a receipt.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from redis.asyncio import Redis

from jobs.ledger.export import csv_lines
from jobs.ledger.rows import Rows, read_rows
from jobs.receipts.documents import Opening, Proof, Receipt
from jobs.receipts.errors import NotEnded, UnknownContact
from jobs.receipts.salts import SALT_BYTES, new_seed, salts
from jobs.receipts.signing import public_key_of
from jobs.receipts.statement import Statement
from jobs.receipts.tree import path, root, salted_leaves
from jobs.store import keys
from jobs.store.keys import known_key
from jobs.store.scripts import Script
from jobs.store.times import iso, iso_or_none
from jobs.words.contact_ids import SEGMENT_SIZE, decode_segment
from jobs.words.errors import UnknownJob
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import TERMINAL, State

KEEP_RECEIPT = Script("keep_receipt", replicated=True)

#: Called with how many lines have been read.
Show = Callable[[int], None]

#: Lines hashed at a time: a power of two, so that they are a perfect subtree, and little more than a millisecond of
#: work, so that the event loop never waits long for the interpreter's lock.
_PIECE = 1024
_HASH_BYTES = 32
_FACTS = ("portal", "address", "state", "created_ms", "started_ms", "finished_ms", "retry_token", "retries", "total")
_OUTCOME_OF = {code.value: code.outcome for code in Code}


class _LedgerChanged(Exception):
    """The job was retried or forgotten, or Redis has lost its seed, since its facts were read."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A job that has ended."""

    job_id: str
    facts: Mapping[str, str]

    @property
    def total(self) -> int:
        return int(self.facts["total"])

    def counts(self) -> dict[Outcome, int]:
        return {outcome: int(self.facts.get(_count_of(outcome), 0)) for outcome in Outcome}

    def statement(self, tree_root: bytes) -> Statement:
        facts = self.facts
        return Statement(
            job=self.job_id,
            portal=facts["portal"],
            address=facts.get("address"),
            state=facts["state"],
            created=iso(int(facts["created_ms"])),
            started=iso_or_none(facts.get("started_ms")),
            finished=iso(int(facts["finished_ms"])),
            retries=int(facts.get("retries", 0)),
            counts=self.counts(),
            root=tree_root,
        )


@dataclass(frozen=True, slots=True)
class _Tree:
    """What the tree over a ledger is made of.

    Attributes:
        seed: of the salts.
        roots: one per segment.
    """

    seed: bytes
    roots: list[bytes]


async def make_receipt(
    redis: Redis, job_id: str, key: Ed25519PrivateKey, *, sealed: bool = False, show: Show | None = None
) -> Receipt:
    """Make the receipt of a job. The same ledger and key always give the same receipt.

    Args:
        redis: the connection.
        job_id: the job's ID.
        key: signs it.
        sealed: leave out what shows that a ledger belongs to it.
        show: called while the ledger is read.

    Raises:
        UnknownJob: no such job.
        NotEnded: it has not ended.
    """
    ended, tree = await _read(redis, job_id, show)
    statement = ended.statement(root(tree.roots)).text()
    return Receipt(
        statement=statement,
        signature=key.sign(statement.encode()).hex(),
        key=public_key_of(key),
        opening=None if sealed else Opening(seed=tree.seed.hex()),
    )


async def make_proof(
    redis: Redis, job_id: str, contact_id: int, key: Ed25519PrivateKey, *, show: Show | None = None
) -> Proof:
    """Make the proof of what became of one contact. It tells nothing of the others but their number and their counts.

    Args:
        redis: the connection.
        job_id: the job's ID.
        contact_id: the contact.
        key: signs it.
        show: called while the ledger is read, where that is necessary.

    Raises:
        UnknownJob: no such job.
        NotEnded: it has not ended.
        UnknownContact: it does not have this contact.
    """
    while True:
        ended, tree = await _read(redis, job_id, show)
        index = await _index_of(redis, ended, contact_id)
        segment, place = divmod(index, SEGMENT_SIZE)
        async for rows in read_rows(redis, job_id, only=segment):
            pieces = await _piece_roots(rows, tree.seed, segment)
            piece, at = divmod(place, _PIECE)
            if root(pieces) == tree.roots[segment]:
                leaves = _leaves(rows, tree.seed, segment, piece * _PIECE)
                statement = ended.statement(root(tree.roots)).text()
                return Proof(
                    statement=statement,
                    signature=key.sign(statement.encode()).hex(),
                    key=public_key_of(key),
                    line=csv_lines(rows, place, place + 1)[0].decode(),
                    index=index,
                    salt=salts(tree.seed, index, 1).hex(),
                    path=[step.hex() for step in (*path(leaves, at), *path(pieces, piece), *path(tree.roots, segment))],
                )
        # The job was retried meanwhile; it has to end again. Anything else would be a ledger that changed by itself.
        if (await _read_ended(redis, job_id)).facts == ended.facts:
            raise RuntimeError(f"segment {segment} of job {job_id} is not what it was when its root was kept")


async def _read(redis: Redis, job_id: str, show: Show | None) -> tuple[_Ended, _Tree]:
    while True:
        ended = await _read_ended(redis, job_id)
        try:
            return ended, await _tree_of(redis, ended, show)
        except _LedgerChanged:
            continue  # the next look says what it is now


async def _read_ended(redis: Redis, job_id: str) -> _Ended:
    names = (*_FACTS, *map(_count_of, Outcome))
    values = await redis.execute_command("HMGET", known_key(job_id), *names)
    facts = {name: value.decode() for name, value in zip(names, values, strict=True) if value is not None}
    if "state" not in facts:
        raise UnknownJob(job_id)
    if State(facts["state"]) not in TERMINAL:
        raise NotEnded(job_id, facts["state"])
    return _Ended(job_id, facts)


async def _tree_of(redis: Redis, ended: _Ended, show: Show | None) -> _Tree:
    """Look up the roots of a job's segments, or work them out and keep them.

    Raises:
        _LedgerChanged: the job is not what it was when its facts were read.
    """
    seed, kept = await _keep(redis, ended, new_seed(), ())
    if kept or not ended.total:
        return _Tree(seed, kept)
    roots: list[bytes] = []
    counts: Counter[Outcome] = Counter()
    read = 0
    try:
        async for rows in read_rows(redis, ended.job_id):
            roots.append(root(await _piece_roots(rows, seed, len(roots))))
            for code, count in Counter(rows.codes).items():
                counts[_OUTCOME_OF[code]] += count
            read += len(rows.ids)
            if show:
                show(read)
    except UnknownJob:
        raise _LedgerChanged from None
    agrees = counts == Counter(ended.counts())
    seed, roots = await _keep(redis, ended, seed, roots if agrees else ())
    if not agrees:  # although the ledger is still the one that was read
        raise RuntimeError(f"the ledger of job {ended.job_id} has other outcomes than its counts")
    return _Tree(seed, roots)


async def _keep(redis: Redis, ended: _Ended, seed: bytes, roots: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """Keep a seed and roots for the ledger of a job, unless some are kept already; return those that are kept."""
    of = (ended.facts["finished_ms"], ended.facts.get("retry_token", ""))
    reply = await KEEP_RECEIPT(redis, [keys.job(ended.job_id)], [*of, seed, b"".join(roots)])
    if not reply:
        raise _LedgerChanged
    seed, packed = reply
    return seed, [packed[at : at + _HASH_BYTES] for at in range(0, len(packed), _HASH_BYTES)]


async def _index_of(redis: Redis, ended: _Ended, contact_id: int) -> int:
    """Look for the line of a contact: in the ascending segments, by halves."""
    low, high = 0, -(-ended.total // SEGMENT_SIZE)
    while low < high:
        middle = (low + high) // 2
        data = await redis.execute_command("HGET", keys.segments(ended.job_id), str(middle))
        if data is None:
            raise UnknownJob(ended.job_id)
        ids = decode_segment(data)
        if contact_id < ids[0]:
            high = middle
        elif contact_id > ids[-1]:
            low = middle + 1
        elif contact_id in ids:
            return middle * SEGMENT_SIZE + ids.index(contact_id)
        else:
            break
    raise UnknownContact(ended.job_id, contact_id)


async def _piece_roots(rows: Rows, seed: bytes, segment: int) -> list[bytes]:
    """Return the roots over the pieces of a segment. They are worked out in threads: others have their turn between."""
    starts = range(0, len(rows.ids), _PIECE)
    return [await asyncio.to_thread(_piece_root, rows, seed, segment, start) for start in starts]


def _piece_root(rows: Rows, seed: bytes, segment: int, start: int) -> bytes:
    return root(_leaves(rows, seed, segment, start))


def _leaves(rows: Rows, seed: bytes, segment: int, start: int) -> list[bytes]:
    """Return the leaves of one piece of a segment."""
    lines = csv_lines(rows, start, start + _PIECE)
    return salted_leaves(lines, salts(seed, segment * SEGMENT_SIZE + start, len(lines)), SALT_BYTES)


def _count_of(outcome: Outcome) -> str:
    return f"n:{outcome}"
