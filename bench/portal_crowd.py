"""Many simulated portals in one process: `python -m bench.portal_crowd OPTIONS`, OPTIONS as `crowd` writes them.

Each has its contacts, its record and its truth for itself, on a port of its own.
"""

import asyncio
import dataclasses
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import uvloop

from bench.ours import TOKEN
from bench.process import Child, module
from simulator.behaviour import Behaviour
from simulator.server import running
from simulator.world import World


@dataclass(frozen=True)
class Crowd:
    """What all of the portals are like."""

    portals: int
    contacts: int  #: of each, with the IDs from 1 on
    base_ms: float  #: of each call
    per_contact_ms: float  #: and of each contact that is to be deleted


@asynccontextmanager
async def crowd(like: Crowd) -> AsyncIterator[tuple[Child, list[str]]]:
    """Run the portals; yield their process and their addresses."""
    async with module("bench.portal_crowd", json.dumps(dataclasses.asdict(like)), ready=None) as child:
        yield child, json.loads(await child.expect(r"^\["))


async def _serve(like: Crowd) -> None:
    stopped = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    async with AsyncExitStack() as stack:
        urls = []
        for _ in range(like.portals):
            behaviour = Behaviour(token=TOKEN, base_ms=like.base_ms, per_contact_ms=like.per_contact_ms)
            portal = await stack.enter_async_context(running(World(like.contacts), behaviour))
            urls.append(portal.url)
        print(json.dumps(urls), flush=True)
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(_serve(Crowd(**json.loads(sys.argv[1]))))
