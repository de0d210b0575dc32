"""What a portal was asked and what came of it, counted since ever by all workers together.

The counters stand in one hash per portal and only ever grow, so that monitoring can take rates of them:

    contacts:{outcome}        contact IDs by outcome; what `retry-failed` takes back is not subtracted
    calls:{call}:{result}     calls of the portal; call is put or look_up, result is ok or what went wrong
    seconds:{call}:{bucket}   how many of them took at most so many seconds and more than the bucket before
    ms_sum:{call}             milliseconds that they took together
    retried                   PUTs that held contact IDs which an earlier PUT had held
    throttled                 calls that the portal turned away because it had too many
    push_backs                answers after which everybody stayed away for a while
    rate_cuts                 times the learned rate was cut
"""

from redis.asyncio import Redis

from jobs.store import keys


async def read_stats(redis: Redis, portal: str) -> dict[str, int]:
    """Read the counters of one portal; one that never counted anything is missing."""
    counted = await redis.execute_command("HGETALL", keys.stats(portal))
    return {name.decode(): int(value) for name, value in counted.items()}
