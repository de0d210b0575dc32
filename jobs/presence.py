"""Which workers are alive, and which portals they know: so that a job can say that nobody is there to work on it."""

from collections.abc import Iterable

from redis.asyncio import Redis

from jobs import keys

#: A worker says that it is alive this often, and counts as gone after three silent beats.
BEAT_S = 5.0


async def beat(redis: Redis, worker: str, portals: Iterable[str]) -> None:
    """Say that a worker is alive; forget those that have been silent for long.

    Args:
        redis: the connection.
        worker: its name, unique among all workers.
        portals: the portals in its configuration.
    """
    seconds, _ = await redis.time()
    until_ms, long_ago_ms = round((seconds + 3 * BEAT_S) * 1000), (seconds - 3600) * 1000
    pipe = redis.pipeline(transaction=False)
    # Portals first: a worker that is seen has said what it knows.
    pipe.zremrangebyscore(keys.KNOWN_PORTALS, "-inf", long_ago_ms)
    if known := dict.fromkeys(portals, until_ms):
        pipe.zadd(keys.KNOWN_PORTALS, known)
    pipe.zremrangebyscore(keys.WORKERS, "-inf", long_ago_ms)
    pipe.zadd(keys.WORKERS, {worker: until_ms})
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
