"""The processes that a process has started."""

import asyncio

import psutil


async def children_of(parent: psutil.Process, count: int) -> list[psutil.Process]:
    async with asyncio.timeout(30):
        while len(children := parent.children(recursive=True)) < count:  # noqa: ASYNC110  # the kernel does not tell
            await asyncio.sleep(0.01)
    return children
