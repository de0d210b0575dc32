"""The lifeline: wakes lanes where there is work that nobody drives, and does what has to be done now and then.

Wake-ups can be lost, and are trusted with nothing; this is why nothing else has to be. One worker of a group runs it
every `worker.lifeline_s`. Whose turn it is, the watch learns with each of its looks (jobs/store/lua/lapses.lua), on the
steady clock: no clock of a worker decides it, and a worker that is gone is missed by nobody.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from config.logging import get_logger
from config.settings import Settings
from jobs.store.connection import AWAY
from jobs.store.trouble import Reason, trouble_of
from worker.drain import Drain, cancel

#: A run that takes longer is given up, seconds; there is another one soon.
_GIVE_UP_S = 60.0


@dataclass(slots=True)
class Lifeline:
    """One worker's share in the lifeline of its group.

    Args:
        group: the workers that share one; see `group_of`.
        every_s: how often one of them runs it, seconds.
        look_after: does what the lifeline is there for.
        drain: says when the worker has to stop.
    """

    group: str
    every_s: float
    look_after: Callable[[], Awaitable[None]]
    drain: Drain = field(default_factory=Drain)
    _running: asyncio.Task[None] | None = field(default=None, init=False)

    @property
    def turn_every_s(self) -> float:
        """How often this worker can take a turn, seconds. 0: it stops, or has not ended its last run; others can."""
        return 0.0 if self.drain.wanted or self._is_running else self.every_s

    @property
    def _is_running(self) -> bool:
        return self._running is not None and not self._running.done()

    def run(self) -> None:
        """Run it in the background, unless the last run has not ended yet."""
        if not self._is_running:
            self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Break off the run that is under way."""
        if self._running is not None:
            await cancel(self._running)

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(_GIVE_UP_S):
                await self.look_after()
        except Exception as error:  # noqa: BLE001 - a bug must not keep the next run from happening
            trouble = trouble_of(error) if isinstance(error, (*AWAY, RedisError, TimeoutError)) else None
            if trouble is None or trouble.reason is Reason.REFUSES:  # no doing of the server's
                get_logger().exception("lifeline_failed")
            else:
                get_logger().warning("redis_away", error=trouble.reason.word, detail=trouble.what)


def group_of(settings: Settings) -> str:
    """Return the name of the group that a worker belongs to: those with the same portals and webhooks.

    A worker cannot look after what is not in its configuration, so it must not take the turn of one that can.
    """
    names = [*sorted(settings.portals), "", *sorted(webhook.name for webhook in settings.webhooks)]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
