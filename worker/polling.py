"""arq's worker, whose loop also goes round when it is nudged.

arq reads its queue, sleeps for its poll delay, and so on. Here the sleep ends early. Everything else is arq's own: the
same loop reads the queue, starts what is in it, and ends the worker if something goes wrong.
"""

import asyncio
from datetime import datetime
from typing import Any

from arq.worker import Worker

from worker.nudge import Nudges

#: Time between two looks at the queue, however many nudges come: an eager sender must not keep all workers busy.
_GAP_S = 0.01


class NudgedWorker(Worker):
    """An arq worker that reads its queue when it is nudged.

    Args:
        nudges: what makes it look; otherwise it looks every `poll_delay` seconds.
        poll_delay: as in arq.
        options: those of an arq worker.
    """

    def __init__(self, nudges: Nudges, *, poll_delay: float, **options: Any) -> None:
        super().__init__(**options, poll_delay=0)
        self._nudges = nudges
        self._look_every_s = poll_delay

    async def _poll_iteration(self) -> None:
        self._nudges.forget()  # before the queue is read: what comes from now on may not be seen this time
        await super()._poll_iteration()
        await asyncio.sleep(_GAP_S)
        await self._nudges.within(self._look_every_s - _GAP_S)

    async def run_cron(self, n: datetime, delay: float, num_windows: int = 2) -> None:
        """Enqueue cron jobs that are due before the queue is read again; the arguments are arq's."""
        await super().run_cron(n, max(delay, self._look_every_s), num_windows)
