"""Which workers are alive, and which portals they know, with which configuration.

Lets a job report that no worker is available, or that none of those available can work on it. All of it is on the
steady clock (jobs/store/clock.py).
"""

from collections.abc import Iterable, Mapping

from redis.asyncio import Redis

from jobs.store import keys
from jobs.store.clock import LEAVE, Clocks
from jobs.store.scripts import Script

BEAT = Script("beat")

#: A worker reports that it is alive this often, in seconds, and counts as gone after three missed beats.
BEAT_S = 5.0
_LASTS_S, _REMEMBERED_S = 3 * BEAT_S, 3600.0


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
    known, fingerprints = list(portals), configurations or {}
    await BEAT(
        redis,
        [keys.WORKERS, keys.KNOWN_PORTALS, *map(keys.configurations, fingerprints)],
        [worker, round(_LASTS_S * 1000), round(_REMEMBERED_S * 1000), len(known), *known, *fingerprints.values()],
    )


async def leave(redis: Redis, worker: str, configurations: Mapping[str, str] | None = None) -> None:
    """Report that a worker has ended; the arguments are those of `beat`."""
    fingerprints = configurations or {}
    await LEAVE(redis, [keys.WORKERS, *map(keys.configurations, fingerprints)], [worker, *fingerprints.values()])


async def is_anybody_there(redis: Redis) -> bool:
    """Check whether any worker is alive."""
    pipe = redis.pipeline(transaction=False)
    Clocks.ask(pipe)
    pipe.zrange(keys.WORKERS, -1, -1, withscores=True)
    replies = iter(await pipe.execute())
    clocks, last = Clocks.take(replies), next(replies)
    return bool(last) and last[0][1] > clocks.presence_ms
