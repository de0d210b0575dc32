"""Whether Redis would take a job now: the changes that accepting one makes are made, on keys that are gone at once."""

from arq.constants import job_key_prefix
from redis.asyncio import Redis
from ulid import ULID

from jobs.store import keys
from jobs.store.scripts import Script

TRY_WRITE = Script("try_write")

#: A staged list that is left behind because the next step was refused is gone after this time.
_LEFTOVER_S = 10


async def try_write(redis: Redis) -> None:
    """Do to Redis what accepting a job does, and leave nothing. Five round trips, and one write to its disk.

    Raises:
        redis.exceptions.RedisError: it would refuse a job as well, and for the same reason.
    """
    ident = f"-try-{ULID()}"  # a job's ID begins with a letter or a digit, so this is never one
    staged, message = keys.staging(ident), f"{job_key_prefix}{ident}"
    # As a list is staged, and as arq puts a message into its queue.
    async with redis.pipeline(transaction=True) as pipe:
        await pipe.watch(message)
        await pipe.exists(message)
        pipe.multi()
        pipe.execute_command("HSET", staged, "0", b"")
        pipe.expire(staged, _LEFTOVER_S)
        await pipe.execute()
    await redis.zcard(keys.QUEUE)
    # Scripts are refused by rules of their own.
    await TRY_WRITE(redis, [staged, keys.job(ident), keys.JOBS, keys.portal(ident), keys.QUEUE, message], [ident])
