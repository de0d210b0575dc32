"""The format number: which form the data in Redis has, so that a version that cannot read it leaves it alone.

The number is kept beside the data. It is raised only when something changes its meaning; a field that older versions
can ignore needs no new number (docs/upgrading.md). Data without a number is of format 1.
"""

import contextlib

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from jobs.store import keys
from jobs.store.server_check import UnsuitableServer

#: The format that this version reads and writes.
FORMAT = 1


async def check_format(redis: Redis) -> None:
    """Check that this version knows the form of the data, and leave the number if there is none yet.

    Takes one round trip, and two the first time.

    Args:
        redis: the connection.

    Raises:
        UnsuitableServer: the data has a form that this version does not know.
        redis.exceptions.RedisError: Redis is away, or refuses to be read.
    """
    found = await redis.get(keys.FORMAT)
    if found is None:
        # A server that accepts no writes for now can still be read; whoever comes next leaves the number.
        with contextlib.suppress(ResponseError):
            await redis.set(keys.FORMAT, FORMAT, nx=True)
            found = await redis.get(keys.FORMAT)
    if found not in (None, b"%d" % FORMAT):
        raise UnsuitableServer(
            f"Redis holds data of format {_shown(found)}, and this version of crm-sweep knows format {FORMAT} only: "
            "install the version that the other workers have, or use another database (docs/upgrading.md)"
        )


def _shown(found: bytes) -> str:
    """Return the number for a message; anything else that stands in its place is not repeated."""
    return found.decode() if found.isdigit() and len(found) < 10 else "unknown"
