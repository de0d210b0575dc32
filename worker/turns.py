"""Turns for calls that belong to no batch, out of the rate that everything that calls a portal shares."""

import asyncio
from collections.abc import Callable

from redis.asyncio import Redis

from jobs.lanes.grants import Later, Terms
from jobs.lanes.lease import reserve_turn
from jobs.store.clock import TICK_S, ticking


async def turn_of_fleet(redis: Redis, portal: str, terms: Terms, *, on_wait: Callable[[float], None]) -> None:
    """Wait for the turn of one call, however long the portal rests.

    Args:
        redis: where the turns are shared.
        portal: the portal's name.
        terms: its limits.
        on_wait: called with the seconds of each wait before it begins.
    """
    while True:
        turn = await reserve_turn(redis, portal, terms)
        on_wait(turn.wait_s)
        if turn.wait_s > TICK_S:
            async with ticking(redis):  # perhaps no worker does
                await asyncio.sleep(turn.wait_s)
        else:
            await asyncio.sleep(turn.wait_s)
        if not isinstance(turn, Later):
            return
