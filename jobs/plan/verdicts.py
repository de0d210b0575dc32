"""Verdicts as they are stored: one byte per position of a segment, compressed.

A segment of which every contact is deletable takes about 90 bytes. With five verdicts in any order, a contact takes
less than three bits, because no other byte occurs (bench/storage.py shows both).
"""

import zlib
from collections.abc import Iterable

from redis.asyncio import Redis

from jobs.store import keys
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.verdicts import Verdict, VerdictCode


def pack(codes: bytes | bytearray) -> bytes:
    """Compress the codes of one segment.

    Args:
        codes: one code of `VerdictCode`, or of the ledger's `Code`, per position.
    """
    # Run lengths and Huffman codes are all that helps here; looking for longer matches would take ten times as long.
    compressor = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    packed: bytes = compressor.compress(codes) + compressor.flush()
    return packed


def unpack(data: bytes | None) -> bytearray:
    """Return the codes of one segment; none if nothing is stored.

    Raises:
        ValueError: the data are not those of a segment.
    """
    if data is None:
        return bytearray()
    decompressor = zlib.decompressobj()
    try:
        codes = decompressor.decompress(data, SEGMENT_SIZE + 1)
    except zlib.error as error:
        raise ValueError(f"not the codes of a segment: {error}") from None
    if len(codes) > SEGMENT_SIZE or not decompressor.eof:
        raise ValueError("not the codes of a segment: too many, or cut off")
    return bytearray(codes)


async def read_verdicts(redis: Redis, job_id: str, segment: int) -> bytearray:
    """Read what a plan predicts for a segment, by position; empty if there is no plan."""
    return unpack(await redis.execute_command("HGET", keys.verdicts(job_id), str(segment)))


def count(codes: bytes | bytearray) -> dict[VerdictCode, int]:
    """Return how often each code occurs, of those that do."""
    return {code: number for code in VerdictCode if (number := codes.count(code))}


def as_verdicts(counts: Iterable[tuple[VerdictCode, int]]) -> dict[Verdict, int]:
    """Return how many contacts got which verdict, every verdict among them.

    Args:
        counts: codes and how often each occurs; none of them UNKNOWN.
    """
    verdicts = dict.fromkeys(Verdict, 0)
    for code, number in counts:
        verdicts[code.verdict] += number
    return verdicts
