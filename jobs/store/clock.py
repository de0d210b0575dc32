"""The two clocks that the program lives by, both kept by the Redis server.

The **wall clock** is the server's own, its command TIME. It is for what people see, and for what the calendar decides:
when a job was created, windows, days, when a plan expires. It can be set at any moment, and after a fail-over it is
another machine's.

The **steady clock** is for spans of time: leases, turns, rests, and when something is due. It goes as the wall clock
does, but never back, and a jump of any size moves it by no more than `LONGEST_TICK_MS`. Workers keep it going with
`tick`; the rules are in jobs/store/lua/includes/clock.lua. Both are Unix milliseconds, but only differences of the
steady clock mean anything: it lags behind the wall clock by every outage so far, and by every jump forward.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Self

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from jobs.store import keys
from jobs.store.connection import AWAY
from jobs.store.kept import LONGEST_TICK_MS
from jobs.store.scripts import Script
from jobs.store.times import server_ms

TICK = Script("tick")
LEAVE = Script("leave")

#: A process that relies on the steady clock ticks this often, in seconds: twice per longest tick, so that the clock
#: does not lag by itself.
TICK_S = LONGEST_TICK_MS / 2000

#: By so much, in seconds, a jump of the server's clock can shorten a lease.
LONGEST_TICK_S = LONGEST_TICK_MS / 1000

#: How long one tick may take; then the next one is tried.
_PATIENCE_S = 5.0

_FIELDS = ("steady_us", "wall_us", "asleep")


@dataclass(frozen=True, slots=True)
class Clocks:
    """Both clocks at one moment, Unix milliseconds.

    Attributes:
        wall_ms: the server's own clock.
        steady_ms: the steady clock.
        presence_ms: the steady clock if all of the time since the last tick counted. Who was to be alive until then has
            died if it is past: when the last worker dies, the steady clock stands still, and it alone would show that
            worker as alive for ever.
    """

    wall_ms: int
    steady_ms: int
    presence_ms: int

    @staticmethod
    def ask(pipe: Pipeline) -> None:
        """Queue the commands that read the clocks, together with whatever else a caller reads in one round trip."""
        pipe.time()
        pipe.execute_command("HMGET", keys.CLOCK, *_FIELDS)

    @classmethod
    def take(cls, replies: Iterator[Any]) -> Self:
        """Take the replies to `ask`.

        Args:
            replies: the replies of the round trip that have not been taken yet.
        """
        wall_ms = server_ms(next(replies))
        steady_us, ticked_us, asleep = next(replies)
        if steady_us is None:
            return cls.together(wall_ms)
        steady_ms, since_ms = _ms(steady_us), wall_ms - _ms(ticked_us)
        counted_ms = max(since_ms, 0) if asleep else min(max(since_ms, 0), LONGEST_TICK_MS)
        return cls(wall_ms, steady_ms + counted_ms, steady_ms + abs(since_ms))

    @classmethod
    def together(cls, now_ms: int) -> Self:
        """Return clocks that all show the same, as they do before the first tick."""
        return cls(now_ms, now_ms, now_ms)

    def to_wall(self, steady_ms: float) -> int:
        """Return what the wall clock shows when the steady clock shows `steady_ms`, unless one of them is held up."""
        return round(steady_ms) - self.steady_ms + self.wall_ms


async def read_clocks(redis: Redis) -> Clocks:
    """Read both clocks, in a round trip of its own."""
    pipe = redis.pipeline(transaction=False)
    Clocks.ask(pipe)
    return Clocks.take(iter(await pipe.execute()))


async def _keep_ticking(redis: Redis) -> None:
    """Keep the steady clock going until cancelled. While Redis is away, the clock stands still, which is all right."""
    while True:
        with contextlib.suppress(*AWAY, RedisError, TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await TICK(redis, [keys.CLOCK], [])
        await asyncio.sleep(TICK_S)


@contextlib.asynccontextmanager
async def ticking(redis: Redis) -> AsyncIterator[None]:
    """Keep the steady clock going for the duration of the block, in a process that is no worker."""
    task = asyncio.create_task(_keep_ticking(redis))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        with contextlib.suppress(*AWAY, RedisError):
            await LEAVE(redis, [keys.WORKERS], [""])


def _ms(time_us: bytes) -> int:
    return int(float(time_us)) // 1000
