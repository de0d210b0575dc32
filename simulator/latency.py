"""How long a call takes, and how many calls the portal works on at the same time."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from simulator.behaviour import Behaviour
from simulator.chance import seeded


class Latency:
    """``base_ms + per_contact_ms * n``, with optional jitter."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._random = seeded("latency", behaviour.seed)

    def deletion_s(self, contacts: int) -> float:
        """Return the time in seconds that deleting this many contacts takes."""
        return self._jittered_s(self._behaviour.base_ms + self._behaviour.per_contact_ms * contacts)

    def reading_s(self, contacts: int = 0) -> float:
        """Return the time in seconds that any other call about this many contacts takes."""
        return self._jittered_s(self._behaviour.base_ms + self._behaviour.read_per_contact_ms * contacts)

    def writing_s(self) -> float:
        """Return the time in seconds that creating or changing something takes."""
        return self._jittered_s(self._behaviour.base_ms + self._behaviour.write_ms)

    def _jittered_s(self, time_ms: float) -> float:
        jitter = self._behaviour.jitter
        return time_ms * (self._random.uniform(1 - jitter, 1 + jitter) if jitter else 1) / 1000


async def spend(time_s: float) -> None:
    """Let the time pass; zero seconds do not even yield to the event loop."""
    if time_s > 0:
        await asyncio.sleep(time_s)


class Gate:
    """Lets ``behaviour.concurrency`` calls through at a time, the others in order of arrival."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._inside = 0
        self._line: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> Self:
        if self._full() or self._line:
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._line.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._inside -= 1
                    self.admit()
                raise
        else:
            self._inside += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside -= 1
        self.admit()

    def admit(self) -> None:
        """Let in as many calls as fit; to be called after the limit was raised."""
        while self._line and not self._full():
            place = self._line.popleft()
            if not place.done():
                self._inside += 1
                place.set_result(None)

    def _full(self) -> bool:
        return 0 < self._behaviour.concurrency <= self._inside
