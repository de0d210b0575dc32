"""Checking whether Redis would accept a job now, by making the same kinds of changes on keys that are then removed."""

from arq.constants import job_key_prefix
from redis.asyncio import Redis
from ulid import ULID

from jobs.store import keys
from jobs.store.discreet_redis import replication_of
from jobs.store.scripts import Script

TRY_WRITE = Script("try_write")

#: A staged list that is left behind because the next step was refused expires after this time.
_LEFTOVER_S = 10


async def try_write(redis: Redis) -> None:
    """Make the changes that accepting a job makes, and leave nothing behind.

    Takes up to six round trips and a disk write.

    Raises:
        redis.exceptions.RedisError: Redis would refuse a job too, and for the same reason.
    """
    ident = f"-try-{ULID()}"  # a job's ID begins with a letter or a digit, so this is never one
    staged, message = keys.staging(ident), f"{job_key_prefix}{ident}"
    # The way a list is staged, and the way arq puts a message into its queue.
    async with redis.pipeline(transaction=True) as pipe:
        await pipe.watch(message)
        await pipe.exists(message)
        pipe.multi()
        pipe.execute_command("HSET", staged, "0", b"")
        pipe.expire(staged, _LEFTOVER_S)
        await pipe.execute()
    await redis.zcard(keys.QUEUE)
    # Scripts can be refused for reasons of their own.
    await TRY_WRITE(redis, [staged, keys.job(ident), keys.JOBS, keys.portal(ident), keys.QUEUE, message], [ident])
    if replication_of(redis).min_replicas:
        await redis.wait(0, 1)  # whether it may be asked; for no replica, so it answers at once
