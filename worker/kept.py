"""Which contacts of a batch have a record in the bundle of their job: nobody else is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from redis.asyncio import Redis

from jobs.bundles.kept import Kept, unpack
from jobs.lanes.grants import Batch
from jobs.store import keys
from worker.per_segment import PerSegment


@dataclass(frozen=True, slots=True)
class KeptSegment:
    """What of one segment has a record.

    Attributes:
        codes: a code of `Kept` per position.
    """

    codes: bytes

    def has_all(self, positions: Sequence[int]) -> bool:
        """Check whether all of these positions have a record, as nearly always."""
        if isinstance(positions, range):
            return self.codes.count(Kept.RECORD, positions.start, positions.stop) == len(positions)
        return all(self.codes[at] == Kept.RECORD for at in positions)

    def has(self, at: int) -> bool:
        """Check whether the contact at a position has a record."""
        return self.codes[at] == Kept.RECORD


class KeptRecords:
    """Reads what bundles hold.

    Args:
        redis: the connection.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._segments: PerSegment[tuple[str, str, int], KeptSegment] = PerSegment()

    async def of(self, batch: Batch, segment: int) -> KeptSegment:
        """Return what of a segment has a record.

        Args:
            batch: a batch of a job with a complete bundle.
            segment: number of the segment.

        Raises:
            LookupError: it is not known (any more), or the job has another bundle by now.
        """
        key = batch.job_id, batch.bundle, segment
        return await self._segments.of(key, partial(self._read, batch, segment))

    async def _read(self, batch: Batch, segment: int) -> KeptSegment:
        # In one step: between two, the bundle could be destroyed and another one be begun.
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("HGET", keys.job(batch.job_id), "bundle_id")
        pipe.execute_command("HGET", keys.kept(batch.job_id), str(segment))
        bundle_id, data = await pipe.execute()
        if data is None or bundle_id != batch.bundle.encode():
            raise LookupError(f"job {batch.job_id} has no complete bundle of segment {segment}")
        return KeptSegment(bytes(unpack(data)))
