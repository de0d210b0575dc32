"""The functions that arq calls. Each is short, safe to repeat and safe to lose; the facts are in the ledger."""

import asyncio
import logging
from typing import Any

from arq.constants import in_progress_key_prefix
from arq.worker import Retry
from redis.exceptions import RedisError

from config.logging import get_logger
from jobs.accept.from_arq import accept
from jobs.ledger.retention import forget_old_jobs
from jobs.store.connection import AWAY
from jobs.store.trouble import Reason, trouble_of, word_for
from jobs.words.errors import BadSubmission, JobExists
from worker.drain import cancel
from worker.fleet import Fleet
from worker.messages import Message

#: After this time without a sign of life, a request is accepted by another worker.
_INTAKE_TTL_MS = 10_000

#: Pause before a request is tried again that Redis did not let be written, such as when it is out of memory.
_PUT_BACK_S = 5

FLEET = "fleet"
"""Where the fleet stands in arq's context."""

STOPPING = "stopping"
"""Where, under arq's own command line, the task stands that ends arq's main loop."""


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
            # What the lane held is taken back by the lifeline, and looked up.
            return _told(error, portal=portal)
        except asyncio.CancelledError:
            if STOPPING in ctx:  # arq's own command line has no other way to say that the worker is to stop
                fleet.drain.begin()
            if not fleet.drain.wanted and not lane.done():
                continue  # arq's time-out: Redis stood still for very long, which is no reason to stop the worker
            # arq cancels on SIGTERM. The batch in flight is finished and recorded as long as there is time; after that
            # it is handed back. The wake-up itself stays in the queue, so another worker goes on at once.
            await asyncio.wait({lane}, timeout=fleet.settings.worker.shutdown_grace_s)
            lane.cancel()
            await asyncio.wait({lane}, timeout=5.0)
            raise
        return farewell.ending.value


async def lifeline(ctx: dict[str, Any]) -> None:
    """Rescue what dead lanes held, wake lanes where there is work, forget what is old, keep the lists of jobs right."""
    fleet: Fleet = ctx[FLEET]
    try:
        await fleet.look_after_portals()
        for job_id in await forget_old_jobs(fleet.redis, fleet.settings.retention_days):
            get_logger().info("job_forgotten", job_id=job_id)
        await fleet.indexer.advance(fleet.redis)
    except (*AWAY, RedisError) as error:
        _told(error)


def _told(error: Exception, **fields: str) -> str:
    """Log what is wrong with Redis, and give the reason. What the server cannot help is a bug, and arq's to log."""
    trouble = trouble_of(error)
    if trouble.reason is Reason.REFUSES:
        raise error
    get_logger(**fields).warning("redis_away", error=trouble.reason.word, detail=trouble.what)
    return trouble.reason.word


async def delete_contacts(ctx: dict[str, Any], message: Message) -> str:
    """Accept a deletion request from another service.

    Args:
        ctx: arq's context; its job ID becomes the job's ID.
        message: the request as it lay in Redis (worker/messages.py).

    Returns:
        The job's ID.

    Raises:
        BadSubmission: the request is wrong; arq's result says what, and so does a job that has failed.
        JobExists: the ID is taken by another request; arq's result says so.
        arq.worker.Retry: Redis did not let the job be written, which is no reason to lose it.
    """
    fleet: Fleet = ctx[FLEET]
    sign_of_life = asyncio.create_task(_show_life(fleet, ctx["job_id"]))
    try:
        return await accept(fleet.redis, fleet.settings, ctx["job_id"], message.data)
    except (BadSubmission, JobExists) as error:
        # What was wrong may be anything that the sender typed: it stands on the job, not in the log.
        get_logger().warning("request_refused", job_id=ctx["job_id"], error=type(error).__name__)
        raise
    except (*AWAY, RedisError) as error:
        get_logger().warning("request_put_back", job_id=ctx["job_id"], error=word_for(error))
        raise Retry(defer=_PUT_BACK_S) from error
    finally:
        await cancel(sign_of_life)


def is_news(record: logging.LogRecord) -> bool:
    """Say whether a line of arq is worth writing.

    Not the traceback of a request that was refused. And, unless everything is wanted, not that a wake-up came and went:
    that is a pair of lines every two seconds for the lifeline alone, between which a batch would not be found.
    """
    if record.exc_info and isinstance(record.exc_info[1], BadSubmission | JobExists):
        return False
    return record.levelno > logging.INFO or logging.getLogger().isEnabledFor(logging.DEBUG)


async def _show_life(fleet: Fleet, arq_job_id: str) -> None:
    """Keep arq's own mark of this message short-lived.

    arq would hand a killed worker's message to another one only after the longest time-out of all functions.
    """
    mark = in_progress_key_prefix + arq_job_id
    while True:
        await fleet.redis.pexpire(mark, _INTAKE_TTL_MS)
        await asyncio.sleep(_INTAKE_TTL_MS / 1000 / 4)
