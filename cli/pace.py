"""Turns for calls that a command makes to a portal: out of the fleet's rate, or alone where Redis is away."""

import asyncio
import time
from collections.abc import Callable

from arq.connections import ArqRedis
from redis.exceptions import RedisError

from cli.output import note
from cli.summary import duration
from config.portal import Portal
from jobs.store.connection import AWAY
from jobs.store.trouble import trouble_of
from worker.fleet import terms_of
from worker.turns import turn_of_fleet

#: Waits that are longer than this are told, seconds.
_LONG_S = 5.0


class Pace:
    """Waits for the turn of each call.

    Args:
        portal: its settings.
        redis: where the fleet shares its turns; None if it is known to be away.
    """

    def __init__(self, portal: Portal, redis: ArqRedis | None) -> None:
        self._portal = portal
        self._terms = terms_of(portal, look_up_size=1)
        self._redis = redis
        self._free_s = 0.0
        self.calls = 0
        """Turns so far: one per call, log-ins included."""

    async def __call__(self) -> None:
        """Wait for a turn."""
        self.calls += 1
        if self._redis is not None:
            try:
                await self._fleet_turn(self._redis)
            except (*AWAY, RedisError) as error:
                self.alone(error)
            else:
                return
        now_s = time.monotonic()
        turn_s = max(now_s, self._free_s)
        self._free_s = turn_s + 1 / self._portal.requests_per_second
        await asyncio.sleep(turn_s - now_s)

    def alone(self, error: Exception) -> None:
        """Go on without Redis, and tell the user."""
        self._redis = None
        rate = f"{self._portal.requests_per_second:g} a second"
        note(
            f"{trouble_of(error).what}; calls are paced by this command alone, at most {rate} besides those of workers"
        )

    async def _fleet_turn(self, redis: ArqRedis) -> None:
        await turn_of_fleet(redis, self._portal.name, self._terms, on_wait=tell_long_wait(self._portal.name))


def tell_long_wait(portal: str) -> Callable[[float], None]:
    """Return a function that tells the user that a call has to wait, if the wait is long."""

    def tell(wait_s: float) -> None:
        if wait_s > _LONG_S:
            note(f"portal {portal} has no turn for a call for {duration(wait_s)}; waiting")

    return tell
