"""The contact IDs of the segments that are being worked on."""

import time
from array import array
from collections import OrderedDict
from collections.abc import Callable

from redis.asyncio import Redis

from jobs import keys
from jobs.contact_ids import decode_segment

#: Unpacked segments kept in memory, 256 KiB each: enough for many jobs taking turns, and no more than 4 MiB.
_KEPT = 16

#: What has not been used for so long is read again, in seconds. A job is forgotten 0.01 days after its end at the
#: earliest, and then its ID may come back with another list: nothing of the former one may be sent.
_FRESH_S = 60.0


class Segments:
    """Reads segments and keeps the latest ones unpacked. A job's list never changes as long as the job exists.

    Args:
        redis: the connection.
        clock: Unix time in seconds. Not the monotonic clock, which stands still while a machine sleeps.
    """

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock
        self._kept: OrderedDict[tuple[str, int], tuple[float, array[int]]] = OrderedDict()

    async def ids(self, job_id: str, segment: int) -> "array[int]":
        """Give the contact IDs of a segment by position.

        Raises:
            LookupError: the job has no such segment (any more).
        """
        key, now_s = (job_id, segment), self._clock()
        used_s, ids = self._kept.pop(key, (0.0, array("I")))
        if 0 <= now_s - used_s < _FRESH_S:
            self._kept[key] = now_s, ids
            return ids
        data = await self._redis.execute_command("HGET", keys.segments(job_id), str(segment))
        if data is None:
            raise LookupError(f"job {job_id} has no segment {segment}")
        ids = decode_segment(data)
        self._kept[key] = now_s, ids
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return ids
