"""Waking lanes through arq. A wake-up holds nothing but the portal's name: losing one, or one too many, is harmless."""

import time

from arq.connections import ArqRedis

from jobs.store.keys import QUEUE

DRIVE_LANE = "drive_lane"
"""Name of the arq function that drives a lane."""

#: With this many messages unread, more of them wake nobody.
CROWDED = 1000


async def wake_lanes(redis: ArqRedis, portal: str, lanes: int, *, delay_s: float = 0.0) -> None:
    """Ask the workers to drive a portal.

    Args:
        redis: the connection.
        portal: the portal's name.
        lanes: how many lanes to wake; those that find no lease or no work end at once.
        delay_s: not before so many seconds from now; then one lane is woken, and the lifeline sees to the others.
    """
    if lanes < 1 or await redis.zcard(QUEUE) > CROWDED:
        return
    if delay_s > 0:
        # Lanes that let go at the same time name the same moment; one alarm clock is enough for all of them.
        alarm = f"wake:{portal}:{time.time() + delay_s:.1f}"
        await redis.enqueue_job(DRIVE_LANE, portal, _job_id=alarm, _defer_by=delay_s)
        return
    for _ in range(lanes):
        await redis.enqueue_job(DRIVE_LANE, portal)
