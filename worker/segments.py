"""The contact IDs of the segments that are being worked on."""

from array import array
from collections import OrderedDict

from redis.asyncio import Redis

from jobs.lanes.grants import Batch
from jobs.store import keys
from jobs.words.contact_ids import decode_segment

#: Unpacked segments kept in memory, 256 KiB each: enough for many jobs taking turns, and no more than 4 MiB.
_KEPT = 16


class Segments:
    """Reads segments and keeps the latest ones unpacked.

    They are kept by what determines the list: a job's ID can return with another list after the job is forgotten or
    Redis is emptied, and then nothing of the old list may be sent. A submission by filter does not determine it: the
    same filter selects other contacts another time. The digest of the plan does.

    Args:
        redis: the connection.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._kept: OrderedDict[tuple[str, bytes, str, int], array[int]] = OrderedDict()

    async def ids(self, batch: Batch, segment: int) -> "array[int]":
        """Return the contact IDs of a segment by position.

        Args:
            batch: a batch of the job; not of a filter that is still being resolved.
            segment: number of the segment.

        Raises:
            LookupError: the job has no such segment (any more), or its ID now belongs to another list.
        """
        key = batch.job_id, batch.digest, batch.plan, segment
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        # In one step: between two, Redis could be emptied and the ID return with another list.
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("HMGET", keys.job(batch.job_id), "digest", "plan_digest")
        pipe.execute_command("HGET", keys.segments(batch.job_id), str(segment))
        [digest, plan], data = await pipe.execute()
        if data is None or (digest, plan or b"") != (batch.digest, batch.plan.encode()):
            raise LookupError(f"job {batch.job_id} has no segment {segment}")
        ids = self._kept[key] = decode_segment(data)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return ids
