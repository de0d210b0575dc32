"""arq, one job per batch. Run as `python -m bench.peers.arq_job_per_batch LOAD POLL_DELAY_S`.

The poll delay is how often an arq worker looks for jobs: 0.5 s by default, and each poll starts at most `max_jobs`.
Jobs are enqueued 32 at a time, which is as fast as the public interface goes.
"""

import asyncio
import sys
from typing import Any

from arq import Worker, create_pool
from arq.connections import RedisSettings
from arq.constants import default_queue_name
from redis.asyncio import Redis

from bench.load import Load
from bench.peers.portal import delete, open_session

_ENQUEUE_AT_ONCE = 32


async def enqueue(load: Load) -> None:
    """Queue every batch as a job whose argument is its IDs."""
    pool = await create_pool(RedisSettings.from_dsn(load.redis_url))
    batches = load.batches()
    for start in range(0, len(batches), _ENQUEUE_AT_ONCE):
        some = batches[start : start + _ENQUEUE_AT_ONCE]
        await asyncio.gather(*(pool.enqueue_job("delete_batch", batch) for batch in some))
    await pool.aclose()


async def is_finished(load: Load) -> bool:
    """Check whether the queue is empty; arq removes a job when it writes its result."""
    async with Redis.from_url(load.redis_url) as redis:
        return not await redis.zcard(default_queue_name)


async def delete_batch(ctx: dict[str, Any], contact_ids: list[int]) -> list[int]:
    """Run as the job: one PUT, which returns the deleted IDs."""
    return await delete(ctx["session"], contact_ids)


def _run_worker(load: Load, poll_delay_s: float) -> None:
    async def start_up(ctx: dict[str, Any]) -> None:
        ctx["session"] = open_session(load.portal_url, load.concurrency)
        print("ready", flush=True)

    async def shut_down(ctx: dict[str, Any]) -> None:
        await ctx["session"].close()

    Worker(
        functions=[delete_batch],
        redis_settings=RedisSettings.from_dsn(load.redis_url),
        max_jobs=load.concurrency,
        poll_delay=poll_delay_s,
        on_startup=start_up,
        on_shutdown=shut_down,
    ).run()


if __name__ == "__main__":
    _run_worker(Load.from_argument(sys.argv[1]), float(sys.argv[2]))
