"""Lists on their way in: written under a temporary key first, so that a job appears with its whole list."""

from arq.connections import ArqRedis
from pyroaring import BitMap
from ulid import ULID

from jobs.store import keys
from jobs.words.contact_ids import segments

#: A staged list that never became a job is forgotten after this time.
_STAGING_S = 3600

#: Segments sent together, 256 KiB each at most, so that memory use stays flat.
_TOGETHER = 16


def new_place() -> str:
    """Return a new key under which a list can be staged."""
    return keys.staging(str(ULID()))


async def stage(redis: ArqRedis, staged: str, ids: BitMap) -> None:
    """Write the segments of a list.

    Args:
        redis: the connection.
        staged: the key, from `new_place`.
        ids: the contact IDs.
    """
    # In transactions, so that no staged list is ever left without an expiry.
    pipe = redis.pipeline(transaction=True)
    for number, segment in enumerate(segments(ids)):
        pipe.execute_command("HSET", staged, str(number), segment)
        pipe.expire(staged, _STAGING_S)
        if len(pipe) >= _TOGETHER:
            await pipe.execute()
    await pipe.execute()
