"""A lane: drives one portal for a while, one batch after another, with at most one call in flight.

    take a lease → (ask for a batch → wait for the turn → call the portal → record)* → give the lease back

Where calls are short, recording a batch and asking for the next one is a single round trip. Where they are long, the
next batch is taken first, and the last one is recorded during the next call. The claim that comes with a batch marks it
as sent, so whatever happens to this process afterwards, another worker knows what may have been deleted.
"""

import asyncio
import contextlib
import contextvars
import dataclasses
import math
import time
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from msgspec.structs import replace
from redis.exceptions import RedisError
from structlog.contextvars import bind_contextvars, unbind_contextvars
from structlog.typing import FilteringBoundLogger

from jobs.lanes.grants import Batch, Grant, Idle, Later, Lost, Outdated, Surplus, Terms, Turn
from jobs.lanes.lease import LaneLedger
from jobs.ledger.items import Call
from jobs.store.connection import AWAY
from jobs.store.times import iso
from jobs.words.outcomes import Outcome
from worker.dispatch import Dispatcher, Done
from worker.drain import Drain, cancel
from worker.gatekeeper import Gatekeeper
from worker.portal_answers import Failure

#: A lane that may not send its batch because replicas lag behind gives way for this time, in seconds.
_REPLICAS_LAG_S = 1.0


_OUTCOMES = tuple(Outcome)

#: With these a lane goes on.
_GOES_ON = (Batch, Turn, Outdated)


class Ending(StrEnum):
    """Why a lane ended."""

    BUSY = "busy"
    """Enough lanes drive the portal already."""
    IDLE = "idle"
    """There was nothing to do."""
    LATER = "later"
    """The portal takes no calls for a while."""
    SLICE_OVER = "slice_over"
    """Its time is up; another lane continues."""
    DRAINED = "drained"
    """The worker is about to stop."""
    LOST = "lost"
    """Its lease has lapsed."""
    NOT_REPLICATED = "not_replicated"
    """Too few replicas had its claim in time."""


class Farewell(msgspec.Struct, frozen=True):
    """How a lane ended.

    Attributes:
        ending: why.
        wake_in_s: when the portal has work again, in seconds; None if no lane needs to be woken.
    """

    ending: Ending
    wake_in_s: float | None = None


@dataclass(slots=True, kw_only=True)
class Lane:
    """One lane, for one slice of time.

    Attributes:
        ledger: its side of the ledger, with a token of its own.
        terms: the portal's limits in the form that the ledger needs, with the gates of when it was asked last.
        gatekeeper: knows what the portal's guards say now; shared by the lanes of the process.
        dispatcher: works on each batch.
        drain: signals that the worker has to stop; shared by the lanes of the process.
        slice_s: how long to drive.
        log: writes one line per batch.
    """

    ledger: LaneLedger
    terms: Terms
    gatekeeper: Gatekeeper
    dispatcher: Dispatcher
    drain: Drain
    slice_s: float
    log: FilteringBoundLogger

    async def drive(self) -> Farewell:
        """Drive the portal until the slice is over or there is nothing to do.

        If it is cancelled, the grace period is over: the call in flight is given up, what is known is recorded, and
        the lane ends. A second cancellation breaks off that as well.

        Raises:
            redis.exceptions.RedisError: Redis stayed away for longer than the connection's patience.
        """
        driving = asyncio.create_task(self._take_lease_and_drive())
        try:
            return await asyncio.shield(driving)
        except asyncio.CancelledError:
            self.drain.begin()
            self.dispatcher.grace.end()
            return await driving

    async def _take_lease_and_drive(self) -> Farewell:
        grant = await self.ledger.acquire_and_next(self.terms.max_concurrency, self._terms_now())
        if grant is None:
            return Farewell(Ending.BUSY)
        keeper = asyncio.create_task(self._keep_lease())
        try:
            return await self._drive(grant)
        finally:
            await cancel(keeper)

    async def _drive(self, grant: Grant) -> Farewell:
        until_s = time.monotonic() + self.slice_s
        recording: asyncio.Task[None] | None = None
        has_turn = False
        try:
            while isinstance(grant, _GOES_ON):
                if not isinstance(grant, Batch):
                    has_turn = has_turn or isinstance(grant, Turn)
                    is_over = await self._wait(grant)
                    # Without a lease, it would be rescued as doubtful; and if it was refused, nothing more is sent.
                    if recording and (is_over or recording.done()):
                        await recording
                    if is_over:
                        return await self._let_go(Ending.DRAINED)
                    grant = await self.ledger.next_batch(self._terms_now(), has_turn=has_turn)
                    continue
                has_turn = False
                # The line about this batch may be written while the next one is under way: its task inherits this.
                bind_contextvars(job_id=grant.job_id)
                done = await self.dispatcher.work(grant, until_s)
                if recording:
                    before, recording = recording, None
                    await self._finish(before, done)
                if ending := self._ending(grant, until_s):
                    await self._record(done)
                    return await self._let_go(ending)
                if done.recordable_later():
                    has_asked = asyncio.Event()
                    recording = asyncio.create_task(self._record(done, has_asked))
                    try:
                        grant = await self.ledger.next_batch(self._terms_now())
                    finally:
                        has_asked.set()
                else:
                    of_batch = contextvars.copy_context()  # afterwards, this task is in the span of the next one
                    is_recorded, grant = await self.ledger.settle_and_next(
                        done.batch, done.settlement, self._terms_now()
                    )
                    of_batch.run(self._log, done, is_recorded=is_recorded)
        finally:
            unbind_contextvars("job_id")
            if recording:
                await recording
                await self.ledger.release()
        farewell = _farewell(grant)
        # A lane woken while the last batch was being recorded found no free lease, so another has to check again.
        return replace(farewell, wake_in_s=0.0) if recording else farewell

    async def _wait(self, grant: Turn | Outdated) -> bool:
        """Wait until the turn has come, or look at the gates again; return whether the worker has to stop instead."""
        if isinstance(grant, Turn):
            return await self.drain.within(_whole_ms(grant.wait_s))
        self._look(grant.now_ms)
        return False

    def _look(self, now_ms: int) -> None:
        self.gatekeeper.look(now_ms)
        gates = self.gatekeeper.gates
        self.log.info("gates_looked_at", is_open=gates.is_open, day=gates.day, until=iso(gates.until_ms))

    def _terms_now(self) -> Terms:
        if self.terms.gates is not self.gatekeeper.gates:
            self.terms = dataclasses.replace(self.terms, gates=self.gatekeeper.gates)
        return self.terms

    async def _record(self, done: Done, may_begin: asyncio.Event | None = None) -> None:
        """Record a batch, perhaps not before the next one has been handed out: that is what a call waits for."""
        if may_begin is not None:
            await may_begin.wait()
        is_recorded = await self.ledger.settle(done.batch, done.settlement)
        self._log(done, is_recorded=is_recorded)

    async def _finish(self, recording: "asyncio.Task[None]", done: Done) -> None:
        """Wait until the batch before this one is recorded. If that was refused, this one is recorded all the same."""
        try:
            await recording
        except Exception:
            await self._record(done)
            raise

    def _ending(self, batch: Batch, until_s: float) -> Ending | None:
        """Return why the lane ends with this batch; None if it goes on."""
        if self.drain.wanted:
            return Ending.DRAINED
        if not batch.is_replicated:
            return Ending.NOT_REPLICATED
        return Ending.SLICE_OVER if time.monotonic() >= until_s else None

    async def _let_go(self, ending: Ending) -> Farewell:
        await self.ledger.release()
        return Farewell(ending, _REPLICAS_LAG_S if ending is Ending.NOT_REPLICATED else 0.0)

    async def _keep_lease(self) -> None:
        """Renew the lease during a call or the wait for a turn; asking for a batch renews it as well."""
        every_s = self.ledger.ttl_s / 4
        while True:
            await asyncio.sleep(max(every_s - self.ledger.since_renewal_s(), every_s / 8))
            if self.ledger.since_renewal_s() >= every_s:
                with contextlib.suppress(*AWAY, RedisError):
                    await self.ledger.renew()

    def _log(self, done: Done, *, is_recorded: bool) -> None:
        if not is_recorded:
            # Another worker took it for that of a dead lane: the ledger does not have what the portal answered.
            self.log.warning("batch_lost", seq=done.batch.seq, size=done.batch.size)
        if done.answer is None or not is_recorded:
            return
        counts = done.settlement.counts()
        fields: dict[str, object] = {
            "seq": done.batch.seq,
            "call": done.batch.call.name.lower(),
            "size": done.size,
            "took_ms": round(done.took_s * 1000, 1),
            "http_status": done.answer.http_status,
        }
        fields.update((outcome.value, counts[outcome]) for outcome in _OUTCOMES if outcome in counts)
        if done.batch.call is not Call.SURVEY:
            fields["undecided"] = done.batch.size - sum(counts.values())
        if isinstance(done.answer, Failure):
            self.log.warning("batch_failed", **fields, action=done.answer.action.value, reason=done.answer.reason)
        else:
            self.log.info("batch", **fields)


def _farewell(grant: Idle | Later | Surplus | Lost) -> Farewell:
    if isinstance(grant, Idle):
        return Farewell(Ending.IDLE, grant.wait_s)
    if isinstance(grant, Later):
        return Farewell(Ending.LATER, grant.wait_s)
    return Farewell(Ending.BUSY if isinstance(grant, Surplus) else Ending.LOST)


def _whole_ms(wait_s: float) -> float:
    """Round up to milliseconds, the resolution of event loop timers: never early, or the rate would be exceeded."""
    return math.ceil(wait_s * 1000) / 1000
