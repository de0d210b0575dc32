"""Everything that one simulated portal consists of."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from simulator.authentication import Authentication
from simulator.behaviour import Behaviour
from simulator.capacity import Capacity
from simulator.editing import Editor
from simulator.faults import Fault, Faults
from simulator.latency import Gate, Latency
from simulator.replies import PortalError
from simulator.truth import Truth
from simulator.world import World


class Portal:
    """The parts of one portal, and its addresses once it is running.

    Attributes:
        url: base address of the portal, without ``/api``.
        truth_url: base address of the truth, including ``/truth``.
    """

    def __init__(self, world: World, behaviour: Behaviour, faults: list[Fault] | None = None) -> None:
        self.url = self.truth_url = ""
        self.behaviour = behaviour
        self.faults = Faults(list(faults or []), behaviour.seed)
        self.authentication = Authentication(behaviour)
        self.latency = Latency(behaviour)
        self.gate = Gate(behaviour)
        self.editor = Editor(lambda: self.truth, behaviour)
        self._orphans: set[asyncio.Task[None]] = set()
        self.reset(world)

    def reset(self, world: World) -> None:
        """Start a new world with an empty record; switches, faults and sessions stay."""
        self.world = world
        self.truth = Truth(world)
        self.capacity = Capacity(self.behaviour)
        self.cached_totals: dict[str, tuple[float, int]] = {}

    def go_on_without_caller(self, running: Coroutine[Any, Any, object]) -> None:
        """Finish a call whose caller has already been answered."""

        async def finish() -> None:
            with contextlib.suppress(PortalError):
                await running

        task = asyncio.create_task(finish())
        self._orphans.add(task)
        task.add_done_callback(self._orphans.discard)

    async def stop(self) -> None:
        """End the calls that are still running without a caller."""
        orphans = list(self._orphans)
        for task in orphans:
            task.cancel()
        await asyncio.gather(*orphans, return_exceptions=True)
