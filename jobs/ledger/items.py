"""An item: contact IDs that go through the portal together, and what is known about them so far.

Items are kept in Redis as small binary strings. The layout of the first four bytes is fixed, because the script that
rescues the work of a dead lane changes just those (jobs/store/lua/rescue.lua).
"""

import struct
from collections.abc import Sequence
from enum import IntEnum

import msgspec

from jobs.ledger import positions as packed
from jobs.store.item_layout import DOUBTFUL, ITEM_HEAD, LOOK_UP, MOST_COUNTED, PUT, SURVEY
from jobs.words.outcomes import Code


class Call(IntEnum):
    """Which call of the portal an item waits for, or a lane holds. The byte is the letter that Lua compares."""

    PUT = ord(PUT)
    """Ask the portal to delete."""
    LOOK_UP = ord(LOOK_UP)
    """Ask the portal what is still there."""
    SURVEY = ord(SURVEY)
    """Read contacts for a plan, or to look again before a late start. A job has at most one such step at a time, and no
    item for it."""


SEEN_REFUSED = 2
"""Flag: the last look-up showed that the portal will not delete these IDs."""

LOOK_ONLY = 4
"""Flag: the plan does not call these IDs deletable, so they are looked up and never sent."""

_HEAD = struct.Struct(ITEM_HEAD)


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Contact IDs of one segment that share a history.

    Attributes:
        call: the call that it waits for.
        segment: number of the segment.
        positions: ascending positions in the segment, at most 1000 of them.
        doubtful: whether an attempt that contained them may have deleted them without our knowledge. Never reset, since
            a lost attempt may take effect late.
        seen_refused: whether the last look-up showed that the portal will not delete them; believed when seen again.
        look_only: whether they are looked up and never sent, because their plan does not call them deletable, or
            nothing is kept of them.
        attempts: PUTs that contained them so far; 255 means 255 or more.
        failures: tries in a row that decided nothing; they limit the retries, and the waits between them.
        http_status: status of the last PUT that contained them, 0 if there was none.
        reason: what went wrong last, as the outcome to record if they are given up.
    """

    call: Call
    segment: int
    positions: Sequence[int]
    doubtful: bool = False
    seen_refused: bool = False
    look_only: bool = False
    attempts: int = 0
    failures: int = 0
    http_status: int = 0
    reason: Code = Code.CONNECTION_LOST

    def encode(self) -> bytes:
        """Write the item as it is kept in Redis."""
        head = _HEAD.pack(
            self.call,
            (DOUBTFUL if self.doubtful else 0)
            | (SEEN_REFUSED if self.seen_refused else 0)
            | (LOOK_ONLY if self.look_only else 0),
            min(self.attempts, MOST_COUNTED),
            min(self.failures, MOST_COUNTED),
            self.http_status,
            self.reason,
            self.segment,
        )
        return head + packed.pack(self.positions)

    @classmethod
    def decode(cls, data: bytes) -> "Item":
        """Read an item as it is kept in Redis."""
        call, flags, attempts, failures, http_status, reason, segment = _HEAD.unpack_from(data)
        positions, _ = packed.unpack(data, _HEAD.size)
        return cls(
            call=Call(call),
            segment=segment,
            positions=positions,
            doubtful=bool(flags & DOUBTFUL),
            seen_refused=bool(flags & SEEN_REFUSED),
            look_only=bool(flags & LOOK_ONLY),
            attempts=attempts,
            failures=failures,
            http_status=http_status,
            reason=Code(reason),
        )
