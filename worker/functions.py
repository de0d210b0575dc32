"""The functions that arq calls. Each is short, safe to repeat and safe to lose; the facts are in the ledger."""

import asyncio
import logging
from typing import Any

from arq.constants import in_progress_key_prefix
from arq.worker import Retry
from redis.exceptions import RedisError

from config.logging import get_logger
from config.tracing import SpanKind, span
from jobs.accept.from_arq import accept
from jobs.arq_messages.message import FUNCTION
from jobs.store.connection import AWAY
from jobs.store.keys import QUEUE
from jobs.store.trouble import Reason, trouble_of, word_for
from jobs.words.errors import BadSubmission, JobExists
from worker.drain import cancel
from worker.fleet import Fleet
from worker.messages import Message
from worker.polling import MARK_LASTS_MS

#: Pause before retrying a request that Redis refused to store, for example because it is out of memory.
_PUT_BACK_S = 5

FLEET = "fleet"
"""The key of the fleet in arq's context."""

#: What the span of a message says; arq has no place for a trace of the sender's, so it begins one.
_ABOUT_MESSAGES = {
    "messaging.system": "arq",
    "messaging.operation.type": "process",
    "messaging.operation.name": "process",
    "messaging.destination.name": QUEUE,
}

STOPPING = "stopping"
"""The key of the task that ends arq's main loop, which exists only under arq's own command line."""


async def drive_lane(ctx: dict[str, Any], portal: str) -> str:
    """Drive a portal for one slice.

    Args:
        ctx: arq's context.
        portal: the portal's name.

    Returns:
        How the lane ended, for arq's log.
    """
    fleet: Fleet = ctx[FLEET]
    lane = asyncio.create_task(fleet.drive(portal))
    while True:
        try:
            farewell = await asyncio.shield(lane)
        except (*AWAY, RedisError) as error:
            # The lifeline rescues what the lane held, and it is looked up.
            return _told(error, portal=portal)
        except asyncio.CancelledError:
            if STOPPING in ctx:  # arq's own command line has no other way to stop the worker
                fleet.drain.begin()
            if not fleet.drain.wanted and not lane.done():
                continue  # arq's time-out: Redis stalled for very long, which is no reason to stop the worker
            # arq cancels on SIGTERM. The batch in flight is finished and recorded if there is time; otherwise it is
            # given back. The wake-up itself stays in the queue, so another worker continues immediately.
            await asyncio.wait({lane}, timeout=fleet.settings.worker.shutdown_grace_s)
            lane.cancel()
            await asyncio.wait({lane}, timeout=5.0)
            raise
        return farewell.ending.value


async def deliver_webhooks(ctx: dict[str, Any], name: str) -> str:
    """Send the events of a webhook that are due.

    Args:
        ctx: arq's context.
        name: the webhook's name.

    Returns:
        How it ended, for arq's log.
    """
    fleet: Fleet = ctx[FLEET]
    try:
        return await fleet.courier.deliver(name)
    except (*AWAY, RedisError) as error:
        return _told(error, webhook=name)


def _told(error: Exception, **fields: str) -> str:
    """Log what is wrong with Redis, and return the reason. What is not the server's doing is a bug, which arq logs."""
    trouble = trouble_of(error)
    if trouble.reason is Reason.REFUSES:
        raise error
    get_logger(**fields).warning("redis_away", error=trouble.reason.word, detail=trouble.what)
    return trouble.reason.word


async def delete_contacts(ctx: dict[str, Any], message: Message) -> str:
    """Accept a deletion request from another service.

    Args:
        ctx: arq's context; its job ID becomes the job's ID.
        message: the request as it was in Redis (worker/messages.py).

    Returns:
        The job's ID.

    Raises:
        BadSubmission: the request is wrong; arq's result says why, and so does a failed job.
        JobExists: the ID is taken by another request; arq's result says so.
        arq.worker.Retry: Redis refused to store the job; the request must not be lost for that.
    """
    with span(f"process {FUNCTION}", kind=SpanKind.CONSUMER, attributes=_ABOUT_MESSAGES):
        return await _accept(ctx, message)


async def _accept(ctx: dict[str, Any], message: Message) -> str:
    fleet: Fleet = ctx[FLEET]
    sign_of_life = asyncio.create_task(_show_life(fleet, ctx["job_id"]))
    try:
        return await accept(fleet.redis, fleet.settings, ctx["job_id"], message.data)
    except (BadSubmission, JobExists) as error:
        # The error can quote anything that the sender typed, so it is kept on the job, not in the log.
        get_logger().warning("request_refused", job_id=ctx["job_id"], error=type(error).__name__)
        raise
    except (*AWAY, RedisError) as error:
        get_logger().warning("request_put_back", job_id=ctx["job_id"], error=word_for(error))
        raise Retry(defer=_PUT_BACK_S) from error
    finally:
        await cancel(sign_of_life)


def is_news(record: logging.LogRecord) -> bool:
    """Check whether a log line of arq is worth writing.

    The traceback of a refused request is not. Nor, unless the level is DEBUG, are the start and end of each wake-up:
    batches would be lost among them.
    """
    if record.exc_info and isinstance(record.exc_info[1], BadSubmission | JobExists):
        return False
    return record.levelno > logging.INFO or logging.getLogger().isEnabledFor(logging.DEBUG)


async def _show_life(fleet: Fleet, arq_job_id: str) -> None:
    """Keep arq's mark of this message short-lived, also in a worker that was started with arq's own command."""
    mark = in_progress_key_prefix + arq_job_id
    while True:
        await fleet.redis.pexpire(mark, MARK_LASTS_MS)
        await asyncio.sleep(MARK_LASTS_MS / 1000 / 4)
