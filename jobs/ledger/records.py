"""A record: one entry of the ledger, the final outcomes of contact IDs that were decided together.

What they have in common (time, attempts, HTTP status, the most frequent outcome) is stored once; only other outcomes
are listed. A batch that was deleted completely takes 15 bytes, whatever its size. The records of a segment are kept in
the order in which they were made; if two cover the same position, the later one counts (`retry-failed`).
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from jobs.ledger import positions as packed
from jobs.ledger.items import Item
from jobs.words.outcomes import Code, Outcome

_HEAD = struct.Struct("<BBHHI")  # usual code, attempts, HTTP status, low and high part of the time in ms
_OTHER = struct.Struct("<HB")  # index among the record's positions, code


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The final outcomes of some positions of one segment.

    Attributes:
        positions: ascending positions in the segment.
        codes: one outcome per position, in the same order.
        attempts: PUTs that contained them.
        http_status: status of the last of these, 0 if there was none.
        at_ms: when it was recorded, Unix time in milliseconds.
    """

    positions: Sequence[int]
    codes: bytes
    attempts: int
    http_status: int
    at_ms: int

    def encode(self) -> bytes:
        """Write the record as it is kept in Redis."""
        counts = self._code_counts()
        usual = max(counts, key=counts.__getitem__)
        head = _HEAD.pack(usual, min(self.attempts, 255), self.http_status, self.at_ms & 0xFFFF, self.at_ms >> 16)
        others = b""
        if len(counts) > 1:
            others = b"".join(_OTHER.pack(index, code) for index, code in enumerate(self.codes) if code != usual)
        return head + packed.pack(self.positions) + others

    def counts(self) -> dict[Outcome, int]:
        """Return how many of the positions got which outcome."""
        counts: dict[Outcome, int] = {}
        for code, count in self._code_counts().items():
            outcome = Code(code).outcome
            counts[outcome] = counts.get(outcome, 0) + count
        return counts

    def _code_counts(self) -> dict[int, int]:
        first = self.codes[0]
        count = self.codes.count(first)
        if count == len(self.codes):  # the usual case, ten times faster than a set
            return {first: count}
        return {code: self.codes.count(code) for code in set(self.codes)}

    @classmethod
    def decode(cls, data: bytes) -> "Record":
        """Read a record as it is kept in Redis."""
        usual, attempts, http_status, low, high = _HEAD.unpack_from(data)
        positions, behind = packed.unpack(data, _HEAD.size)
        codes = bytearray([usual]) * len(positions)
        for index, code in _OTHER.iter_unpack(data[behind:]):
            codes[index] = code
        return cls(
            positions=positions, codes=bytes(codes), attempts=attempts, http_status=http_status, at_ms=high << 16 | low
        )


@dataclass(slots=True)
class SegmentLedger:
    """The records of one segment laid out by position.

    Attributes:
        codes, attempts, http_statuses, at_ms: one entry per position of the segment.
    """

    codes: bytearray
    attempts: bytearray
    http_statuses: list[int]
    at_ms: list[int]

    @classmethod
    def replay(cls, size: int, records: Iterable[bytes]) -> "SegmentLedger":
        """Apply records in the order in which they were made.

        Args:
            size: contact IDs in the segment.
            records: as they are kept in Redis.
        """
        ledger = cls(bytearray(size), bytearray(size), [0] * size, [0] * size)
        for data in records:
            ledger._apply(Record.decode(data))
        return ledger

    def note_item(self, item: Item) -> None:
        """Enter what is known of contact IDs that were sent and are not decided yet."""
        for position in item.positions:
            if self.codes[position] == Code.PENDING:
                self.attempts[position] = item.attempts
                self.http_statuses[position] = item.http_status

    def note_skipped(self, first: int, at_ms: int, sent: Iterable[int] = ()) -> None:
        """Enter that the job was cancelled before the IDs from position `first` on were sent.

        Args:
            first: the first of them; may be behind the end of the segment.
            at_ms: when it was cancelled.
            sent: positions from `first` on that were sent nevertheless, as part of the canary.
        """
        behind = max(0, len(self.codes) - first)
        if not behind:
            return
        kept = [(position, self.codes[position], self.at_ms[position]) for position in sent]
        self.codes[first:] = bytes([Code.SKIPPED]) * behind
        self.at_ms[first:] = [at_ms] * behind
        for position, code, decided_ms in kept:
            self.codes[position], self.at_ms[position] = code, decided_ms

    def _apply(self, record: Record) -> None:
        positions, count = record.positions, len(record.positions)
        if isinstance(positions, range):
            span = slice(positions.start, positions.stop)
            self.codes[span] = record.codes
            self.attempts[span] = bytes([record.attempts]) * count
            self.http_statuses[span] = [record.http_status] * count
            self.at_ms[span] = [record.at_ms] * count
            return
        for position, code in zip(positions, record.codes, strict=True):
            self.codes[position] = code
            self.attempts[position] = record.attempts
            self.http_statuses[position] = record.http_status
            self.at_ms[position] = record.at_ms
