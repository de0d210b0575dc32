"""A simulated portal in a process of its own, for tests that block."""

import asyncio
import contextlib
import os
import select
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from pyroaring import BitMap

from simulator.client import SimulatorClient, connect
from tests.support.loaded import ROOT, Loaded, plain_environment, start

T = TypeVar("T")


@dataclass
class Portal:
    """A running portal.

    Attributes:
        url: its address.
        process: can be killed or frozen.
    """

    url: str
    process: Loaded

    def contacts(self, name: str) -> BitMap:
        """Return one of the sets of contact IDs that the portal knows."""
        return self._ask(lambda client: client.contacts(name))

    def summary(self) -> dict[str, Any]:
        """Return its counts."""
        return self._ask(lambda client: client.summary())

    def has_committed(self, calls: int = 1) -> bool:
        """Check whether at least this many calls have deleted something."""
        return int(self.summary()["deletions_committed"]) >= calls

    def change(self, **switches: object) -> None:
        """Change how it behaves."""
        self._ask(lambda client: client.behave(**switches))

    def misbehave(self, **rule: object) -> None:
        """Make a fault strike."""
        self._ask(lambda client: client.misbehave(rule))

    def reset(self, **world: object) -> None:
        """Begin a new world."""
        self._ask(lambda client: client.reset(**world))

    def calls(self) -> list[dict[str, Any]]:
        """Return every call so far."""
        return self._ask(lambda client: client.calls())

    def change_world(self, **changes: object) -> None:
        """Change which contacts exist and what they are like."""
        self._ask(lambda client: client.change_world(**changes))

    def _ask(self, question: Callable[[SimulatorClient], Awaitable[T]]) -> T:
        async def ask() -> T:
            async with connect(self.url, timeout_s=10) as client:
                return await question(client)

        # In a thread of its own: Playwright runs an event loop in the test's thread.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: asyncio.run(ask())).result()


@contextlib.contextmanager
def portal_process(*arguments: object) -> Iterator[Portal]:
    """Run a portal: `portal_process("--contacts", 100)`."""
    readable, writable = os.pipe()
    try:
        process = start(
            "simulator", [*map(str, arguments)], cwd=ROOT, env=plain_environment(), stdout=writable, stderr=2
        )
    finally:
        os.close(writable)
    with os.fdopen(readable, "rb") as output:
        try:
            assert select.select([output], [], [], 30)[0], "the simulated portal did not start"
            yield Portal(output.readline().decode().removeprefix("listening on ").strip(), process)
        finally:
            process.kill()
            process.wait()
