"""The progress of a job over time: enough samples to draw it, however long it took."""

import math

import msgspec
from redis.asyncio import Redis

from jobs.store import keys
from jobs.store.times import iso


class Sample(msgspec.Struct, frozen=True):
    """How far a job was at one moment."""

    at: str
    """When, ISO 8601 in UTC."""
    decided: int
    """Contact IDs with a final outcome by then, not counting those that a cancellation skipped."""
    requests_per_second: float
    """Calls per second that the portal was driven with."""
    batch_size: int
    """Contact IDs per PUT that the portal handled well; 0 while that was not known."""


async def read_history(redis: Redis, job_id: str) -> list[Sample]:
    """Read a job's samples, oldest first: at most 240, a second apart at first and further apart in long jobs.

    Their times ascend. Where the server's clock was set back, samples from before that which are later than those after
    it are left out.
    """
    samples: list[Sample] = []
    earliest_ms = math.inf
    for kept in reversed(await redis.execute_command("LRANGE", keys.history(job_id), 0, -1)):
        at_ms, decided, rate, batch_size = kept.split()
        if int(at_ms) < earliest_ms:
            earliest_ms = int(at_ms)
            samples.append(Sample(iso(int(at_ms)), int(decided), round(float(rate), 2), int(batch_size)))
    return samples[::-1]
