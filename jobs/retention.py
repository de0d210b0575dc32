"""Forgetting jobs that ended long ago."""

from redis.asyncio import Redis

from jobs import keys
from jobs.contact_ids import SEGMENT_SIZE

_AT_A_TIME = 20


async def forget_old_jobs(redis: Redis, retention_days: float) -> list[str]:
    """Remove jobs that ended more than `retention_days` ago, with everything that belongs to them.

    A few at a time, so that no call takes long; the rest goes with the next call.

    Returns:
        The IDs of the jobs that are gone now.
    """
    seconds, _ = await redis.time()
    before_ms = round((seconds - retention_days * 86_400) * 1000)
    old = [
        job_id.decode()
        for job_id in await redis.zrangebyscore(keys.FINISHED, "-inf", before_ms, start=0, num=_AT_A_TIME)
    ]
    for job_id in old:
        total = int(await redis.execute_command("HGET", keys.job(job_id), "total") or 0)
        ledgers = [keys.ledger(job_id, segment) for segment in range(-(-total // SEGMENT_SIZE))]
        pipe = redis.pipeline(transaction=True)
        pipe.unlink(keys.job(job_id), keys.segments(job_id), keys.items(job_id), *ledgers)
        pipe.zrem(keys.JOBS, job_id)
        pipe.zrem(keys.FINISHED, job_id)
        await pipe.execute()
    return old
