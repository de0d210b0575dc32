"""Positions of contact IDs inside one segment, packed in the shortest of these forms.

| form | suits | bytes besides the head |
|---|---|---|
| run | a whole batch | 0 |
| holes | a batch of which some IDs are missing | 2 per missing one |
| bits | many missing, evenly spread | span / 8 |
| list | few, far apart | 2 per position |

A segment has at most 65,536 positions, so each fits into 16 bits. Little-endian, as in Lua's `struct` with `<`; Lua
itself writes all but bits, for contact IDs that are sent for the first time (jobs/store/lua/includes/hand_out.lua).
"""

import struct
from array import array
from collections.abc import Sequence

from jobs.store.item_layout import BITS, HOLES, LIST, POSITION, POSITIONS_HEAD, RUN

_HEAD = struct.Struct(POSITIONS_HEAD)
_SPAN = struct.Struct(POSITION)  # last position - first position, in the forms from which it does not follow
HEAD_SIZE = _HEAD.size


def pack(positions: Sequence[int]) -> bytes:
    """Pack ascending positions.

    Args:
        positions: 1 to 65,535 positions, strictly ascending, each 0 to 65,535.
    """
    first, count = positions[0], len(positions)
    span = positions[-1] - first
    holes = span + 1 - count
    if not holes:
        return _HEAD.pack(first, count, RUN)
    size, form = min((2 * count, LIST), (2 + 2 * holes, HOLES), (2 + span // 8 + 1, BITS))
    head = _HEAD.pack(first, count, form)
    if form == LIST:
        return head + array("H", positions).tobytes()
    head += _SPAN.pack(span)
    if form == HOLES:
        return head + array("H", sorted(set(range(first, first + span)).difference(positions))).tobytes()
    bits = bytearray(size - _SPAN.size)
    for position in positions:
        bits[(position - first) >> 3] |= 1 << ((position - first) & 7)
    return head + bits


def unpack(data: bytes, at: int = 0) -> tuple[Sequence[int], int]:
    """Unpack what `pack` wrote at offset `at`; return the positions and the offset of the next byte."""
    first, count, form = _HEAD.unpack_from(data, at)
    behind = at + HEAD_SIZE
    if form == RUN:
        return range(first, first + count), behind
    if form == LIST:
        end = behind + 2 * count
        return array("H", data[behind:end]), end
    [span] = _SPAN.unpack_from(data, behind)
    behind += _SPAN.size
    if form == HOLES:
        end = behind + 2 * (span + 1 - count)
        holes = set(array("H", data[behind:end]))
        return [position for position in range(first, first + span + 1) if position not in holes], end
    end = behind + span // 8 + 1
    eights = enumerate(data[behind:end])
    return [first + 8 * at + bit for at, byte in eights if byte for bit in range(8) if byte >> bit & 1], end
