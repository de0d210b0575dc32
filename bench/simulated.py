"""The simulated portal as a process of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.ours import TOKEN
from bench.process import module
from simulator.client import SimulatorClient, connect


@asynccontextmanager
async def simulated_portal() -> AsyncIterator[SimulatorClient]:
    """Run a portal without contacts; `reset` adds some."""
    async with module("simulator", "--contacts", "0", "--token", TOKEN, ready=None) as process:
        url = (await process.expect("^listening on ")).removeprefix("listening on ")
        async with connect(url) as portal:
            yield portal
