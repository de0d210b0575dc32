"""The Merkle tree of RFC 9162 over SHA-256: its leaves, its root, and the path from a leaf to the root.

A tree is a list of hashes, from left to right, of which two neighbours at a time have a parent; one that is left over
goes up as it is. A perfect subtree can stand for its leaves, which is why a tree of any size needs little memory: see
`jobs.receipts.make`.
"""

import hashlib
from collections.abc import Sequence

_LEAF, _NODE = b"\0", b"\1"

_sha256 = hashlib.sha256


def leaf(data: bytes) -> bytes:
    """Return the hash of one leaf."""
    return _sha256(_LEAF + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees side by side."""
    return _sha256(_NODE + left + right).digest()


def salted_leaves(lines: Sequence[bytes], salts: bytes, size: int) -> list[bytes]:
    """Return the leaves of some lines, each with its salt before it.

    Args:
        lines: what the leaves hold.
        salts: one salt after the other, in the same order.
        size: bytes of a salt.
    """
    starts = range(0, len(salts), size)
    return [
        _sha256(_LEAF + salts[at : at + size] + line).digest() for at, line in zip(starts, lines, strict=True)
    ]  # written out: a call per line would take as long as its hash


def root(hashes: list[bytes]) -> bytes:
    """Return the root over leaves, or over perfect subtrees of one size, of which the last can be smaller."""
    if not hashes:
        return _sha256().digest()
    while len(hashes) > 1:
        hashes = _parents(hashes)
    return hashes[0]


def path(hashes: list[bytes], index: int) -> list[bytes]:
    """Return what is needed besides one of the hashes to compute the root, from the bottom up.

    Args:
        hashes: as for `root`.
        index: which of them, from 0.
    """
    found: list[bytes] = []
    while len(hashes) > 1:
        beside = index ^ 1
        found += hashes[beside : beside + 1]
        hashes, index = _parents(hashes), index // 2
    return found


def root_by_path(start: bytes, index: int, size: int, steps: Sequence[bytes]) -> bytes | None:
    """Compute the root from one leaf and its path (RFC 9162, section 2.1.3.2).

    Args:
        start: the hash of the leaf.
        index: which leaf of the tree it is, from 0.
        size: leaves of the tree.
        steps: the path.

    Returns:
        The root; None if a leaf at this place has no path of this length.
    """
    last, result, left = size - 1, start, list(reversed(steps))
    if not 0 <= index <= last:
        return None
    while last:
        if index % 2 or index < last:
            if not left:
                return None
            beside = left.pop()
            result = node(beside, result) if index % 2 else node(result, beside)
        index, last = index // 2, last // 2
    return None if left else result


def _parents(hashes: list[bytes]) -> list[bytes]:
    above = [_sha256(_NODE + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=False)]
    return above + hashes[-1:] if len(hashes) % 2 else above
