"""Waking lanes through arq. A wake-up contains only the portal's name: a lost one, or one too many, is harmless."""

import time

from arq.connections import ArqRedis

from jobs.store.keys import QUEUE

DRIVE_LANE = "drive_lane"
"""The name of the arq function that drives a lane."""

#: With more unread messages than this, no more wake-ups are sent: they would wake no worker.
CROWDED = 1000


async def wake_lanes(redis: ArqRedis, portal: str, lanes: int, *, delay_s: float = 0.0) -> None:
    """Ask the workers to drive a portal.

    Args:
        redis: the connection.
        portal: the portal's name.
        lanes: how many lanes to wake; those that find no lease or no work end immediately.
        delay_s: seconds to wait first; if not 0, only one lane is woken, and the lifeline wakes the others.
    """
    if lanes < 1 or await redis.zcard(QUEUE) > CROWDED:
        return
    if delay_s > 0:
        # Lanes that let go at the same time ask for the same moment, and one alarm is enough for all of them.
        alarm = f"wake:{portal}:{time.time() + delay_s:.1f}"
        await redis.enqueue_job(DRIVE_LANE, portal, _job_id=alarm, _defer_by=delay_s)
        return
    for _ in range(lanes):
        await redis.enqueue_job(DRIVE_LANE, portal)
