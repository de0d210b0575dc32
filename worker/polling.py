"""arq's worker, whose loop also goes round when it is nudged, and survives a fail-over.

arq reads its queue, sleeps for its poll delay, and so on. Here the sleep ends early. One look takes no more wake-ups
than there is room for; the others stay in the queue until a lane ends, here or in another worker. What is no wake-up,
such as a request from another service, needs no lane, and never waits for one. Everything else is arq's own: the same
loop reads the queue, starts what is in it, and ends the worker if something goes wrong.

Two things go wrong in a fail-over that are no reason to end it. A connection can break between arq's look at a message
and its mark on it. And the new primary can lack the mark of a message that is being worked on: arq would start it a
second time, and mix up the two.

arq's mark on a message that is being worked on lasts as long as the longest function may take, an hour. If a worker is
killed, or only the reply to its mark is lost, nobody would touch the message for that long. So here a mark lasts for
seconds, and is renewed.

A message stays in the queue until its function has returned. So each look finds the wake-ups of all lanes that any
worker is driving, and arq would ask about each of them in three round trips. With hundreds of lanes that is much of
what Redis does. Here, one round trip for all of them comes first.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from arq.constants import in_progress_key_prefix
from arq.worker import Worker
from redis.exceptions import RedisError, WatchError

from jobs.store.connection import AWAY
from jobs.store.keys import WAKE_UP
from worker.drain import cancel
from worker.nudge import Nudges

_WAKE_UP = WAKE_UP.encode()

#: Most messages that one look reads: more than there can be lanes in any fleet, or new ones would stay unseen behind
#: those that are being worked on.
READ_LIMIT = 10_000

#: Time between two looks at the queue, however many nudges come: an eager sender must not keep all workers busy.
_GAP_S = 0.01

#: How much later a worker without room looks, seconds.
_GIVE_WAY_S = 0.05

#: How long a mark lasts unless it is renewed, milliseconds. A worker that is alive renews it four times as often.
MARK_LASTS_MS = 10_000

#: Most wake-ups that a worker without room leaves in the queue. The lifeline sends more and more of them while all
#: workers are full, and a crowded queue takes no more messages (jobs/lanes/wake.py).
_MOST_LEFT = 100

#: How long a worker that ends waits for Redis to take its last messages out of the queue. One that stays is started
#: again, which does no harm.
_FINISH_S = 5.0


class NudgedWorker(Worker):
    """An arq worker that reads its queue when it is nudged.

    Args:
        nudges: what makes it look; otherwise it looks every `poll_delay` seconds.
        free_lanes: says how many more lanes the worker could drive.
        poll_delay: as in arq.
        options: those of an arq worker.
    """

    def __init__(self, nudges: Nudges, free_lanes: Callable[[], int], *, poll_delay: float, **options: Any) -> None:
        super().__init__(**options, poll_delay=0, on_job_start=self._note_begin)
        self.in_progress_timeout_s = MARK_LASTS_MS / 1000
        self._nudges = nudges
        self._free_lanes = free_lanes
        self._look_every_s = poll_delay
        self._beginning: set[str] = set()
        self._has_left_some = False
        self._finishing: set[asyncio.Future[None]] = set()

    async def main(self) -> None:
        """Run until cancelled."""
        keeping = asyncio.create_task(self._keep_marks())
        try:
            await super().main()
        finally:
            await cancel(keeping)

    async def _keep_marks(self) -> None:
        while True:
            await asyncio.sleep(MARK_LASTS_MS / 1000 / 4)
            running = [job_id for job_id, task in self.tasks.items() if not task.done()]
            if running:
                with contextlib.suppress(*AWAY, RedisError):
                    pipe = self.pool.pipeline(transaction=False)
                    for job_id in running:
                        pipe.pexpire(in_progress_key_prefix + job_id, MARK_LASTS_MS)
                    await pipe.execute()

    async def _poll_iteration(self) -> None:
        if self._room() < 1:
            await asyncio.sleep(_GIVE_WAY_S)
        self._nudges.forget()  # before the queue is read: what comes from now on may not be seen this time
        await super()._poll_iteration()
        await asyncio.sleep(_GAP_S)
        await self._nudges.within(self._look_every_s - _GAP_S)

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start what nobody works on, in this process or another, but no more wake-ups than there is room for.

        Args:
            job_ids: what is due in the queue.
        """
        running = {job_id.encode() for job_id, task in self.tasks.items() if not task.done()}
        room, left = self._room(), []
        for job_id in await self._not_taken([job_id for job_id in job_ids if job_id not in running]):
            is_wake_up = job_id.startswith(_WAKE_UP)
            if is_wake_up and room < 1:
                left.append(job_id.decode())
                continue
            try:
                await super().start_jobs([job_id])
            except WatchError:  # the connection broke; arq has already counted the message as started
                self._release_sem_dec_counter_on_complete()
                self._nudges.nudge()
            if is_wake_up:
                room -= self._has_started(job_id.decode())
        self._has_left_some = bool(left)
        for wake_up in left[_MOST_LEFT:]:
            await super().finish_failed_job(wake_up, None)

    def _room(self) -> int:
        """Return for how many wake-ups there is room."""
        return self._free_lanes() - len(self._beginning)

    def _has_started(self, wake_up: str) -> bool:
        task = self.tasks.get(wake_up)
        if task is None or task.done():  # another worker was faster
            return False
        self._beginning.add(wake_up)
        task.add_done_callback(lambda _: self._note_end(wake_up))
        return True

    def _note_end(self, wake_up: str) -> None:
        self._beginning.discard(wake_up)
        if self._has_left_some:
            self._nudges.nudge()

    async def _note_begin(self, ctx: dict[str, Any]) -> None:
        self._beginning.discard(ctx["job_id"])

    async def finish_job(self, *arguments: Any, **options: Any) -> None:
        """Take a message out of the queue; the arguments are arq's."""
        await self._finish(super().finish_job(*arguments, **options))

    async def finish_failed_job(self, *arguments: Any, **options: Any) -> None:
        """Take a message that cannot be run out of the queue; the arguments are arq's."""
        await self._finish(super().finish_failed_job(*arguments, **options))

    async def finished(self) -> None:
        """Wait until nothing is being taken out of the queue any more, for a while if Redis is away.

        arq shields that from being cancelled with the function that ran, so it goes on by itself.
        """
        if self._finishing:
            await asyncio.wait(self._finishing, timeout=_FINISH_S)

    async def _finish(self, finishing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(finishing)
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        await asyncio.shield(task)

    async def _not_taken(self, job_ids: list[bytes]) -> list[bytes]:
        """Return the messages that have no mark of a worker."""
        pipe = self.pool.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.exists(in_progress_key_prefix + job_id.decode())
        marks = await pipe.execute()
        return [job_id for job_id, mark in zip(job_ids, marks, strict=True) if not mark]
