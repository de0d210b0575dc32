"""SAQ, one job per batch, its defaults without the sweep: it waits for jobs on a blocking pop instead of polling."""

import asyncio
import sys
from typing import Any

from redis.asyncio import Redis
from saq import Worker
from saq.queue.redis import RedisQueue

from bench.load import Load
from bench.peers.portal import delete, open_session

_ENQUEUE_AT_ONCE = 32


class _Queue(RedisQueue):  # type: ignore[misc, unused-ignore]  # without the extra `bench`, SAQ has no types
    """A queue that is never swept.

    A worker sweeps when it starts. It mistakes a job that has been popped but not yet marked as active for a stuck one,
    and runs it twice. Nothing gets stuck in a run of the benchmark, so there is nothing to sweep.
    """

    async def sweep(self, lock: int = 60, abort: float = 5.0) -> list[str]:  # noqa: ARG002  # as SAQ calls it
        """Sweep nothing."""
        return []


async def enqueue(load: Load) -> None:
    """Queue every batch as a job whose argument is its IDs."""
    queue = _queue(load)
    await queue.connect()
    batches = load.batches()
    for start in range(0, len(batches), _ENQUEUE_AT_ONCE):
        some = batches[start : start + _ENQUEUE_AT_ONCE]
        await asyncio.gather(*(queue.enqueue("delete_batch", contact_ids=batch) for batch in some))
    await queue.disconnect()


async def is_finished(load: Load) -> bool:
    """Check whether SAQ counts no incomplete jobs."""
    queue = _queue(load)
    await queue.connect()
    incomplete = await queue.count("incomplete")
    await queue.disconnect()
    return not incomplete


async def delete_batch(ctx: Any, *, contact_ids: list[int]) -> list[int]:
    """Run as the job: one PUT, which returns the deleted IDs."""
    return await delete(ctx["session"], contact_ids)


def _queue(load: Load) -> RedisQueue:
    return _Queue(Redis.from_url(load.redis_url))


async def _run_worker(load: Load) -> None:
    async def start_up(ctx: Any) -> None:
        ctx["session"] = open_session(load.portal_url, load.concurrency)
        print("ready", flush=True)

    async def shut_down(ctx: Any) -> None:
        await ctx["session"].close()

    queue = _queue(load)
    await queue.connect()
    functions = [("delete_batch", delete_batch)]
    worker = Worker(queue, functions, concurrency=load.concurrency, startup=start_up, shutdown=shut_down)
    await worker.start()


if __name__ == "__main__":
    asyncio.run(_run_worker(Load.from_argument(sys.argv[1])))
