"""The worker: everything arq needs to run one, and a supervisor that keeps it running.

`crm-sweep worker` is the usual way to start. arq's own command line works as well: `arq worker.main.WorkerSettings`.
"""

import asyncio
import atexit
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from typing import Any

from arq.connections import ArqRedis
from arq.worker import Function, func
from redis.exceptions import RedisError

from config.logging import configure_logging, get_logger
from config.settings import Settings, load_settings
from config.tracing_setup import start_tracing, stop_tracing
from jobs.arq_messages.message import FUNCTION, KEEP_RESULT_S
from jobs.lanes.wake import DRIVE_LANE
from jobs.schedules.definition import wrong_schedules
from jobs.store.connection import AWAY, encode_payload
from jobs.store.format_number import check_format
from jobs.store.keys import QUEUE
from jobs.store.server_check import check_server
from jobs.store.trouble import word_for
from jobs.webhooks.wake import DELIVER
from worker.drain import cancel
from worker.fleet import Fleet, connect_patiently
from worker.functions import FLEET, STOPPING, delete_contacts, deliver_webhooks, drive_lane, is_news
from worker.messages import read_message
from worker.nudge import Nudges, listening
from worker.polling import READ_LIMIT, NudgedWorker

#: Beyond its slice, a lane can wait for its turn, then for an answer, then for Redis; this is far more than that.
_LANE_TIMEOUT_S = 3600

#: Reading the longest list that Redis can hold takes about a minute. A request cut off here would be lost.
_INTAKE_TIMEOUT_S = 3600

#: Room for messages that are not lanes: requests from other services.
_SPARE_JOBS = 8

#: A courier ends after its slice and the tries under way by then; this is far more than that.
_COURIER_TIMEOUT_S = 120


def worker_options(settings: Settings, fleet: Fleet | None = None) -> dict[str, Any]:
    """Return the arguments of an arq `Worker`.

    Every function's name is spelled out, so that no import path is ever stored in Redis.

    Args:
        settings: the configuration.
        fleet: the fleet to use; by default each worker starts and closes its own.
    """
    logging.getLogger("arq.worker").addFilter(is_news)  # before arq logs what it is about to start

    async def start(ctx: dict[str, Any]) -> None:
        if FLEET not in ctx:
            await check_format(ctx["redis"])  # before anything is written
            ctx[FLEET] = Fleet.start(settings)
            ctx[STOPPING] = asyncio.create_task(_stop_with(ctx[FLEET], asyncio.current_task()))
            await _warn_of_risks(ctx[FLEET].redis)

    async def stop(ctx: dict[str, Any]) -> None:
        if ctx[FLEET] is not fleet:
            await cancel(ctx[STOPPING])
            await ctx[FLEET].close()

    functions: list[Function] = [
        # arq counts every try, also one that a shutdown cut short; none of them may be the last.
        func(drive_lane, name=DRIVE_LANE, timeout=_LANE_TIMEOUT_S, keep_result=0, max_tries=1_000_000),
        func(deliver_webhooks, name=DELIVER, timeout=_COURIER_TIMEOUT_S, keep_result=0, max_tries=1_000_000),
        func(delete_contacts, name=FUNCTION, timeout=_INTAKE_TIMEOUT_S, keep_result=KEEP_RESULT_S, max_tries=1_000_000),
    ]
    return {
        "functions": functions,
        "queue_name": QUEUE,
        "queue_read_limit": READ_LIMIT,
        "redis_pool": connect_patiently(settings),
        "on_startup": start,
        "on_shutdown": stop,
        "ctx": {FLEET: fleet} if fleet else {},
        # Each webhook has a slot of its own, so that none of them takes one from lanes or from another webhook.
        "max_jobs": settings.worker.max_lanes + _SPARE_JOBS + len(settings.webhooks),
        "poll_delay": settings.worker.poll_delay_s,
        "job_serializer": encode_payload,
        "job_deserializer": read_message,
        "log_results": False,
    }


async def _warn_of_risks(redis: ArqRedis) -> None:
    """Log what puts the ledger at risk on this server, or refuse the server."""
    await check_format(redis)
    for warning in await check_server(redis):
        get_logger().warning("redis_not_safe", detail=warning)


async def _stop_with(fleet: Fleet, main: asyncio.Task[None] | None) -> None:
    """Make sure that arq's main loop ends once its lanes have to stop: arq's command line cancels it only once."""
    await fleet.drain.begun()
    if main is not None:
        await cancel(main)


def __getattr__(name: str) -> Any:
    """Return `WorkerSettings` for arq's command line, built from the configuration on access."""
    if name != "WorkerSettings":
        raise AttributeError(name)
    settings = load_settings(checks=[wrong_schedules])
    configure_logging(settings.log)
    start_tracing(settings.tracing)
    atexit.register(stop_tracing)  # arq's command line ends in no place of ours
    return {**worker_options(settings), "job_completion_wait": 0}


async def run_worker(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT; then let the batches in flight finish.

    A second signal does not wait for them: it ends the process as if there were no handler, and other workers rescue
    what was in flight as doubtful.

    Raises:
        UnsuitableServer: Redis is set up so that the ledger would not be safe.
        redis.exceptions.RedisError: Redis cannot be reached.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    try:
        async with working(settings):
            await stop.wait()
            for signum in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(signum)
    finally:
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(signum)


@contextlib.asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[Fleet]:
    """Run a worker alongside other code; leaving the block lets the batches in flight finish.

    Raises:
        UnsuitableServer: Redis is set up so that the ledger would not be safe.
        redis.exceptions.RedisError: Redis cannot be reached.
    """
    fleet = Fleet.start(settings)
    try:
        await _warn_of_risks(fleet.redis)
        async with listening(settings, fleet.name) as nudges:
            supervisor = asyncio.create_task(_supervise(settings, fleet, nudges))
            try:
                yield fleet
            finally:
                fleet.drain.begin()
                await supervisor
    finally:
        await fleet.close()


async def _supervise(settings: Settings, fleet: Fleet, nudges: Nudges) -> None:
    """Keep an arq worker running: its main loop dies if a connection breaks at the wrong moment.

    Its lanes do not die with it. They finish their slices while the next arq worker takes over; the old one is closed
    as soon as none of its tasks runs any more.
    """
    workers: list[NudgedWorker] = []
    try:
        while not fleet.drain.wanted:
            options = worker_options(settings, fleet)
            workers.append(NudgedWorker(nudges, fleet.free_lanes, **options, handle_signals=False))
            try:
                await _run(workers[-1], fleet)
            except Exception as error:  # noqa: BLE001 - whatever it dies of, jobs must not wait for a worker that is alive
                get_logger().warning("arq_restarted", error=word_for(error))
                await _drop_garbage(fleet.redis)
            for worker in [one for one in workers if all(task.done() for task in one.tasks.values())]:
                workers.remove(worker)
                await _end(worker)
            await fleet.drain.within(1.0)
    finally:
        for worker in workers:
            await _end(worker)


async def _drop_garbage(redis: ArqRedis) -> None:
    """Remove what cannot be an arq job ID from the queue: arq would die of it at every poll."""
    with contextlib.suppress(*AWAY, RedisError):
        for member in await redis.zrange(QUEUE, 0, -1):
            try:
                member.decode()
            except UnicodeDecodeError:
                await redis.zrem(QUEUE, member)
                get_logger().warning("queue_garbage_dropped", size=len(member))


async def _run(worker: NudgedWorker, fleet: Fleet) -> None:
    """Run an arq worker's main loop until it dies or this process has to stop."""
    main = asyncio.create_task(worker.async_run())
    stop = asyncio.create_task(fleet.drain.begun())
    try:
        await asyncio.wait({main, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(stop)
        await cancel(main)
    if not main.cancelled():
        main.result()


async def _end(worker: NudgedWorker) -> None:
    """Cancel what runs in an arq worker (lanes take that as a request to finish), and close its connection.

    arq itself stops waiting at the first message that was cancelled before its function ran, while lanes are still
    finishing their batches; so this waits for them.
    """
    running = list(worker.tasks.values())
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await worker.finished()  # or it would open the connection again after it was closed
    worker.tasks.clear()
    pool = worker.pool
    with contextlib.suppress(*AWAY, RedisError):
        await worker.close()
    # arq deletes a key first, and does not close the connection if Redis refuses that.
    await pool.aclose(close_connection_pool=True)
