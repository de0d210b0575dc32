"""Keeping a request that cannot be accepted as a failed job.

Otherwise only a service that waits for arq's result would learn of it.
"""

import hashlib

from redis.asyncio import Redis

from config.tracing import TRACEPARENT, traceparent
from jobs.store import keys
from jobs.store.scripts import Script
from jobs.words.priority import Priority
from jobs.words.reasons import StateReason

REJECT_JOB = Script("reject_job", replicated=True)

#: Longest `last_error`, characters.
_MAX_ERROR = 1000


async def reject_job(
    redis: Redis,
    job_id: str,
    error: str,
    *,
    by: str,
    portal: str = "",
    label: str = "",
    priority: Priority = Priority.NORMAL,
) -> bool:
    """Create an empty job in state `failed`. A job that already has the ID stays as it is.

    Args:
        redis: the connection.
        job_id: its ID.
        error: what was wrong and what was expected; its `last_error`.
        by: who submits; kept with the job.
        portal: the portal asked for; empty where that cannot be a portal's name.
        label: the label asked for; empty where that cannot be a label.
        priority: the priority asked for.

    Returns:
        False if the ID is taken by anything but this same refusal.
    """
    digest = hashlib.sha256(f"refused\n{error}".encode()).hexdigest()
    fields: dict[str, str | float] = {
        "portal": portal,
        "label": label,
        "priority": priority,
        "stride": priority.stride,
        "state_reason": StateReason.BAD_REQUEST,
        "last_error": error if len(error) <= _MAX_ERROR else f"{error[: _MAX_ERROR - 1]}…",
    }
    if trace := traceparent():
        fields[TRACEPARENT] = trace
    reply = await REJECT_JOB(
        redis,
        [keys.job(job_id), keys.JOBS],
        [job_id, digest, by, *(part for pair in fields.items() for part in pair)],
    )
    return bool(reply[0] == b"created" or reply[1].decode() == digest)
