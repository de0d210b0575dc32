"""The calls to a portal and their results, counted by all workers since the portal was first used.

The counters are in one hash per portal and only ever grow, so that monitoring can compute rates from them:

    contacts:{outcome}        contact IDs by outcome; what `retry-failed` takes back is not subtracted
    calls:{call}:{result}     calls to the portal; call is put, look_up or survey, result is ok or what went wrong
    seconds:{call}:{bucket}   how many of them took at most this many seconds, and more than the bucket before
    ms_sum:{call}             milliseconds that they took in total
    retried                   PUTs with contact IDs that an earlier PUT had contained
    throttled                 calls that the portal turned away because there were too many
    push_backs                answers after which all workers stayed away for a while
    rate_cuts                 times the learned rate was cut
    records_kept              records of contacts that were written into bundles
    record_bytes              their size in the undo store
    undo_failures             times a job was paused because they could not be
"""

from collections.abc import Iterable

from redis.asyncio import Redis

from jobs.store import keys


async def read_stats(redis: Redis, portal: str) -> dict[str, int]:
    """Read the counters of one portal; a counter that never counted anything is missing."""
    return (await read_all_stats(redis, [portal]))[portal]


async def read_all_stats(redis: Redis, portals: Iterable[str]) -> dict[str, dict[str, int]]:
    """Read the counters of some portals in one round trip, by the name of the portal; see `read_stats`."""
    names = list(portals)
    pipe = redis.pipeline(transaction=False)
    for name in names:
        pipe.hgetall(keys.stats(name))
    return {
        name: {field.decode(): int(value) for field, value in counted.items()}
        for name, counted in zip(names, await pipe.execute(), strict=True)
    }
