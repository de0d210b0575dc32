"""The contact IDs of the segments that are being worked on."""

from array import array
from collections import OrderedDict

from redis.asyncio import Redis

from jobs import keys
from jobs.contact_ids import decode_segment

#: Unpacked segments kept in memory, 256 KiB each: enough for many jobs taking turns, and no more than 4 MiB.
_KEPT = 16


class Segments:
    """Reads segments and keeps the latest ones unpacked. A job's list never changes, so nothing goes stale.

    Args:
        redis: the connection.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._kept: OrderedDict[tuple[str, int], array[int]] = OrderedDict()

    async def ids(self, job_id: str, segment: int) -> "array[int]":
        """Give the contact IDs of a segment by position.

        Raises:
            LookupError: the job has no such segment (any more).
        """
        key = job_id, segment
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        data = await self._redis.execute_command("HGET", keys.segments(job_id), str(segment))
        if data is None:
            raise LookupError(f"job {job_id} has no segment {segment}")
        ids = self._kept[key] = decode_segment(data)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return ids
