"""The watch: notices lanes that have fallen silent, as soon as their leases lapse.

Every worker keeps one. It asks Redis when the next lease of any portal lapses, in one round trip, and asks again at
that moment, or at the next tick of the steady clock if that is sooner. What has lapsed is rescued at once. A lane that
is alive renews its lease long before that. A look also tells whether it is this worker's turn to run the lifeline.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.logging import get_logger
from jobs.lanes.lease import look_for_lapses
from jobs.store.clock import TICK_S
from jobs.store.connection import AWAY
from worker.lifeline import Lifeline

#: Longest time between two looks, seconds. Each is a tick of the steady clock.
LOOK_EVERY_S = TICK_S

#: A look that takes longer is given up, seconds: the connection itself is patient for minutes.
_GIVE_UP_S = 5.0


async def watch(
    redis: Redis, portals: Sequence[str], rescue: Callable[[dict[str, bool]], Awaitable[None]], lifeline: Lifeline
) -> None:
    """Watch the leases of some portals until cancelled.

    Args:
        redis: the connection.
        portals: their names.
        rescue: called with the portals at which leases have lapsed, and whether a place became free there.
        lifeline: run whenever it is this worker's turn.
    """
    while True:
        wait_s = LOOK_EVERY_S
        try:
            async with asyncio.timeout(_GIVE_UP_S):
                lapses = await look_for_lapses(redis, portals, group=lifeline.group, lifeline_s=lifeline.turn_every_s)
                if lapses.is_turn:
                    lifeline.run()
                if lapses.portals:
                    await rescue(lapses.portals)
                elif lapses.soonest_s is not None:
                    wait_s = min(wait_s, lapses.soonest_s)
        except (*AWAY, RedisError, TimeoutError):
            pass  # the worker's heartbeat reports what is wrong with Redis
        except Exception:  # noqa: BLE001 - a bug must not leave dead lanes to nobody
            get_logger().exception("watch_failed")
        await asyncio.sleep(wait_s)
