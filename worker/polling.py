"""arq's worker, whose loop also goes round when it is nudged.

arq reads its queue, sleeps for its poll delay, and so on. Here the sleep ends early. Everything else is arq's own: the
same loop reads the queue, starts what is in it, and ends the worker if something goes wrong.

A message stays in the queue until its function has returned. So each look finds the wake-ups of all lanes that any
worker is driving, and arq would ask about each of them in three round trips. With hundreds of lanes that is much of
what Redis does. Here, one round trip for all of them comes first.
"""

import asyncio
from datetime import datetime
from typing import Any

from arq.constants import in_progress_key_prefix
from arq.worker import Worker

from worker.nudge import Nudges

#: Most messages that one look reads: more than there can be lanes in any fleet, or new ones would stay unseen behind
#: those that are being worked on.
READ_LIMIT = 10_000

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

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start what no worker is working on yet; the argument is arq's."""
        pipe = self.pool.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.exists(in_progress_key_prefix + job_id.decode())
        in_progress = await pipe.execute()
        await super().start_jobs(
            [job_id for job_id, is_taken in zip(job_ids, in_progress, strict=True) if not is_taken]
        )

    async def run_cron(self, n: datetime, delay: float, num_windows: int = 2) -> None:
        """Enqueue cron jobs that are due before the queue is read again; the arguments are arq's."""
        await super().run_cron(n, max(delay, self._look_every_s), num_windows)
