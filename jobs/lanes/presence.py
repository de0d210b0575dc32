"""Which workers are alive, and which portals they know, with which configuration.

Lets a job report that no worker is available, or that none of those available can work on it.
"""

from collections.abc import Iterable, Mapping

from redis.asyncio import Redis

from jobs.store import keys

#: A worker reports that it is alive this often, in seconds, and counts as gone after three missed beats.
BEAT_S = 5.0


async def beat(
    redis: Redis, worker: str, portals: Iterable[str], configurations: Mapping[str, str] | None = None
) -> None:
    """Report that a worker is alive; forget workers that have been silent for long.

    Args:
        redis: the connection.
        worker: its name, unique among all workers.
        portals: the portals in its configuration.
        configurations: fingerprints of the configurations with which it reaches them, by portal, where known.
    """
    seconds, _ = await redis.time()
    until_ms, long_ago_ms = round((seconds + 3 * BEAT_S) * 1000), (seconds - 3600) * 1000
    pipe = redis.pipeline(transaction=False)
    # Portals first: a worker that is seen has already reported what it knows.
    pipe.zremrangebyscore(keys.KNOWN_PORTALS, "-inf", long_ago_ms)
    if known := dict.fromkeys(portals, until_ms):
        pipe.zadd(keys.KNOWN_PORTALS, known)
    for portal, fingerprint in (configurations or {}).items():
        key = keys.configurations(portal)
        pipe.zremrangebyscore(key, "-inf", seconds * 1000)
        pipe.zadd(key, {f"{fingerprint}/{worker}": until_ms})
        pipe.expire(key, 3600)  # for a portal that is no longer in any configuration
    pipe.zremrangebyscore(keys.WORKERS, "-inf", long_ago_ms)
    pipe.zadd(keys.WORKERS, {worker: until_ms})
    await pipe.execute()


async def leave(redis: Redis, worker: str, configurations: Mapping[str, str] | None = None) -> None:
    """Report that a worker has ended; the arguments are those of `beat`."""
    pipe = redis.pipeline(transaction=False)
    pipe.zrem(keys.WORKERS, worker)
    for portal, fingerprint in (configurations or {}).items():
        pipe.zrem(keys.configurations(portal), f"{fingerprint}/{worker}")
    await pipe.execute()


async def is_anybody_there(redis: Redis) -> bool:
    """Check whether any worker is alive."""
    pipe = redis.pipeline(transaction=False)
    pipe.time()
    pipe.zrange(keys.WORKERS, -1, -1, withscores=True)
    (seconds, _), last = await pipe.execute()
    return bool(last) and last[0][1] > seconds * 1000
