"""Forgetting jobs that ended long ago."""

from dataclasses import dataclass

from redis.asyncio import Redis

from jobs.store import keys
from jobs.store.scripts import Script

FORGET = Script("forget")

_AT_A_TIME = 20
#: Later than anything that happens; Lua counts exactly up to here.
_ANY_TIME_MS = 2**53


async def forget_job(redis: Redis, job_id: str) -> bool:
    """Remove a job that has ended, with everything that belongs to it.

    Returns:
        False if there is no such job, or it has not ended.
    """
    return bool(await FORGET(redis, [keys.job(job_id), keys.JOBS], [job_id, _ANY_TIME_MS]))


@dataclass(slots=True)
class Forgetter:
    """Forgets the jobs that ended long ago, a few at a time.

    Jobs whose bundle has not been destroyed yet are passed over, and come up again when the others have been looked at.
    """

    _passed: int = 0

    async def advance(self, redis: Redis, retention_days: float) -> list[str]:
        """Remove jobs that ended more than `retention_days` ago, with everything that belongs to them.

        Removes a few, so that no call takes long; the others follow with the next calls.

        Returns:
            The IDs of the jobs that were removed.
        """
        seconds, _ = await redis.time()
        before_ms = round((seconds - retention_days * 86_400) * 1000)
        old = await redis.zrangebyscore(keys.FINISHED, "-inf", before_ms, start=self._passed, num=_AT_A_TIME)
        forgotten = [
            job_id
            for job_id in map(bytes.decode, old)
            if await FORGET(redis, [keys.job(job_id), keys.JOBS], [job_id, before_ms])
        ]
        self._passed = self._passed + len(old) - len(forgotten) if len(old) == _AT_A_TIME else 0
        return forgotten


async def forget_old_jobs(redis: Redis, retention_days: float) -> list[str]:
    """Remove some of the jobs that ended more than `retention_days` ago; return their IDs."""
    return await Forgetter().advance(redis, retention_days)
