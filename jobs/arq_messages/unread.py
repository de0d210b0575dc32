"""A job that another service has submitted with plain arq and that no worker has taken yet.

It is shown immediately, under its ID, as far as its message can be read; whether it is accepted is up to a worker. The
list is read once per process and message, in a thread: 0.05 s for 100,000 contact IDs scattered over the whole range,
about a second for a million, a twentieth of that for neighbours. Reading the job again costs two round trips. A message
of more than `_LARGEST` bytes is not opened: it is shown by its ID alone, with a total of 0.
"""

import asyncio
import re
from collections import OrderedDict

from redis.asyncio import Redis

from jobs.arq_messages.message import FUNCTION, Waiting, find_message, read_head, read_message
from jobs.arq_messages.request import Request, read_request
from jobs.lanes.presence import is_anybody_there
from jobs.words.reasons import StateReason
from jobs.words.states import State

#: About six million contact IDs. Longer lists are better streamed over HTTP.
_LARGEST = 64 * 1024 * 1024

_LARGE_ONE = re.compile(rb'\s*\{[^\[{]*"f"\s*:\s*"%b"' % FUNCTION.encode())

#: What messages said, by job ID and by what tells one message from the next under the same ID: its size and its last
#: bytes, which contain the time at which it was enqueued.
_read: OrderedDict[tuple[str, int, bytes], dict[str, str]] = OrderedDict()
_KEPT = 256


async def read_unread(redis: Redis, job_id: str) -> dict[str, str] | None:
    """Read a job from the message that it is still in.

    Returns:
        Its facts, as far as they are known, named as in a job's hash; None if there is no such message.
    """
    waiting = await find_message(redis, job_id)
    if waiting is None:
        return None
    place = (job_id, waiting.size, waiting.tail)
    facts = _read.get(place) or await _read_facts(redis, job_id, waiting)
    if facts is None:
        return None
    if place not in _read:
        _read[place] = facts
        if len(_read) > _KEPT:
            _read.popitem(last=False)
    reason = StateReason.STARTING if await is_anybody_there(redis) else StateReason.NO_WORKER
    return {**facts, "state_reason": reason}


async def _read_facts(redis: Redis, job_id: str, waiting: Waiting) -> dict[str, str] | None:
    if waiting.size > _LARGEST:
        return _facts(Request(), waiting) if _LARGE_ONE.match(await read_head(redis, job_id)) else None
    data = await read_message(redis, job_id)
    request = await asyncio.to_thread(read_request, data) if data else None
    return _facts(request, waiting) if request and request.function == FUNCTION else None


def _facts(request: Request, waiting: Waiting) -> dict[str, str]:
    total = str(len(request.ids))
    selection = {"filter": request.filter.to_json().decode()} if request.filter else {}
    return {
        **selection,
        "state": State.PLANNING if request.plan or request.filter else State.QUEUED,
        "portal": request.portal,
        "label": request.label,
        "priority": request.priority,
        "created_ms": str(request.enqueued_ms or round(waiting.due_ms)),
        "total": total,
        "duplicates": str(request.duplicates),
        "n:pending": total,
        "inflight": "0",
    }
