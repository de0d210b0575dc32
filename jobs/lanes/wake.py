"""Waking lanes through arq. A wake-up contains only the portal's name: a lost one, or one too many, is harmless.

A wake-up is a message in arq's queue, and a nudge: a publication that makes idle workers read the queue at once
(worker/nudge.py). If a nudge is lost, they read it when they look next.
"""

import math
import time
from collections.abc import Sequence
from uuid import uuid4

from arq.connections import ArqRedis
from arq.jobs import serialize_job

from jobs.store.keys import QUEUE, WAKE_UP
from jobs.store.scripts import Script

DRIVE_LANE = "drive_lane"
"""The name of the arq function that drives a lane."""

WAKE = Script("wake")

#: With more unread wake-ups than this, no more are sent: they would wake no worker.
CROWDED = 1000

#: Alarms are rounded up to this many seconds; those for the next second to a tenth of it.
_GRAIN_S = 0.1

#: A wake-up for now is due since this long ago: a worker whose clock is behind the sender's takes it at once as well.
_CLOCK_SLACK_MS = 60_000


async def wake_lanes(redis: ArqRedis, portal: str, lanes: int, *, delay_s: float = 0.0) -> None:
    """Ask the workers to drive a portal.

    Args:
        redis: the connection.
        portal: the portal's name.
        lanes: how many lanes to wake; those that find no lease or no work end immediately.
        delay_s: seconds to wait first; if not 0, only one lane is woken, and the lifeline wakes the others.
    """
    if lanes < 1:
        return
    if delay_s > 0:
        # Lanes that let go at the same time ask for the same moment, and one alarm is enough for all of them. It is
        # rounded up, and due then: an alarm that is being answered is never taken for one that is still to come.
        now_s, grain_s = time.time(), _GRAIN_S if delay_s >= 10 * _GRAIN_S else _GRAIN_S / 10
        due_s = math.ceil((now_s + delay_s) / grain_s) * grain_s
        await wake(redis, DRIVE_LANE, portal, ids=[f"{WAKE_UP}{portal}:{due_s:.2f}"], delay_s=due_s - now_s)
    else:
        await wake(redis, DRIVE_LANE, portal, ids=[WAKE_UP + uuid4().hex for _ in range(lanes)])


async def wake(redis: ArqRedis, function: str, name: str, *, ids: Sequence[str] = (), delay_s: float = 0.0) -> None:
    """Have an arq function called, in one round trip; `ArqRedis.enqueue_job` takes several for each call.

    Args:
        redis: the connection.
        function: the function's name.
        name: its argument.
        ids: arq's IDs of the calls; one that is waiting already is not made a second time. By default one call, with
            an ID of its own.
        delay_s: in how many seconds it is to be called.
    """
    now_ms, delay_ms = time.time_ns() // 1_000_000, round(delay_s * 1000)
    due_ms = now_ms + delay_ms if delay_ms else now_ms - _CLOCK_SLACK_MS
    message = serialize_job(function, (name,), {}, None, now_ms, serializer=redis.job_serializer)
    life_ms = delay_ms + redis.expires_extra_ms
    await WAKE(redis, [QUEUE], [message, due_ms, delay_ms, life_ms, CROWDED, *(ids or [uuid4().hex])])
