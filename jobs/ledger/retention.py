"""Forgetting jobs that ended long ago."""

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


async def forget_old_jobs(redis: Redis, retention_days: float) -> list[str]:
    """Remove jobs that ended more than `retention_days` ago, with everything that belongs to them.

    Removes a few at a time, so that no call takes long; the others follow with the next calls.

    Returns:
        The IDs of the jobs that were removed.
    """
    seconds, _ = await redis.time()
    before_ms = round((seconds - retention_days * 86_400) * 1000)
    old = await redis.zrangebyscore(keys.FINISHED, "-inf", before_ms, start=0, num=_AT_A_TIME)
    return [
        job_id
        for job_id in map(bytes.decode, old)
        if await FORGET(redis, [keys.job(job_id), keys.JOBS], [job_id, before_ms])
    ]
