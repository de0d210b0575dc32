"""A script as one would write it for a single use: a semaphore, one task per batch, gather."""

import asyncio

from bench.load import Load
from bench.peers.portal import delete, open_session
from bench.script import run_script


async def _delete_all(load: Load) -> None:
    slots = asyncio.Semaphore(load.concurrency)
    async with open_session(load.portal_url, load.concurrency) as session:

        async def one(batch: list[int]) -> list[int]:
            async with slots:
                return await delete(session, batch)

        await asyncio.gather(*(one(batch) for batch in load.batches()))


def _work(load: Load) -> None:
    asyncio.run(_delete_all(load))


if __name__ == "__main__":
    run_script(_work)
