"""Which workers are alive, so that a job can say that nobody is there to work on it."""

from redis.asyncio import Redis

from jobs import keys

#: A worker says that it is alive this often, and counts as gone after three silent beats.
BEAT_S = 5.0


async def beat(redis: Redis, worker: str) -> None:
    """Say that a worker is alive; forget those that have been silent for long."""
    seconds, _ = await redis.time()
    pipe = redis.pipeline(transaction=False)
    pipe.zadd(keys.WORKERS, {worker: round((seconds + 3 * BEAT_S) * 1000)})
    pipe.zremrangebyscore(keys.WORKERS, "-inf", (seconds - 3600) * 1000)
    await pipe.execute()


async def leave(redis: Redis, worker: str) -> None:
    """Say that a worker has ended."""
    await redis.zrem(keys.WORKERS, worker)


async def is_anybody_there(redis: Redis) -> bool:
    """Whether any worker is alive."""
    pipe = redis.pipeline(transaction=False)
    pipe.time()
    pipe.zrange(keys.WORKERS, -1, -1, withscores=True)
    (seconds, _), last = await pipe.execute()
    return bool(last) and last[0][1] > seconds * 1000
