"""Positions of contact IDs inside one segment, packed: a run as its start and length, anything else as a list.

A segment has at most 65,536 positions, so each fits into 16 bits. Little-endian, as Lua's `struct` with `<` has it.
"""

import struct
from array import array
from collections.abc import Sequence

_HEAD = struct.Struct("<HHB")
HEAD_SIZE = _HEAD.size
_RUN, _LIST = 0, 1


def pack(positions: Sequence[int]) -> bytes:
    """Pack ascending positions.

    Args:
        positions: 1 to 65,535 positions, strictly ascending, each 0 to 65,535.
    """
    start, count = positions[0], len(positions)
    if positions[-1] - start == count - 1:
        return _HEAD.pack(start, count, _RUN)
    return _HEAD.pack(start, count, _LIST) + array("H", positions).tobytes()


def unpack(data: bytes, at: int = 0) -> tuple[Sequence[int], int]:
    """Unpack what `pack` wrote at offset `at`; also give the offset behind it."""
    start, count, form = _HEAD.unpack_from(data, at)
    behind = at + HEAD_SIZE
    if form == _RUN:
        return range(start, start + count), behind
    end = behind + 2 * count
    return array("H", data[behind:end]), end
