"""Does with one batch what has to be done: sends it, or part of it, and decides what becomes of each contact ID.

This is the last gate before the wire. What is not to be sent after all, because of a plan, a bundle, the list of
protected contact IDs or a cancellation, is settled with the rest.
"""

import asyncio
import math
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace
from pyroaring import BitMap
from structlog.typing import FilteringBoundLogger

from config.portal import Portal
from jobs.lanes.call_report import OK, CallReport
from jobs.lanes.grants import Batch
from jobs.lanes.lease import LaneLedger
from jobs.lanes.settlement import Settlement
from jobs.lanes.survey_step import SurveyStep
from jobs.ledger.items import Call, Item
from jobs.words.outcomes import Code
from jobs.words.reasons import StateReason
from jobs.words.states import State
from worker import batch_size
from worker.clearance import Clearance
from worker.decide import Decider
from worker.departures import with_departures
from worker.drain import Drain
from worker.exchange import UNACKNOWLEDGED_S, CancelledUnsent
from worker.forecast import Forecasts, Parts
from worker.grace import Grace
from worker.kept import KeptRecords
from worker.planner import Planner
from worker.portal_answers import Answer, Deleted, Failure, LookedUp, Remedy
from worker.portal_client import NOT_SENT, PortalClient
from worker.push_back import PushBack, Relief
from worker.segments import Segments

#: The result of a call whose answer this process had no time to wait for.
INTERRUPTED = Failure(
    action=Remedy.RETRY,
    may_have_deleted=True,
    reason="timeout",
    http_status=None,
    message="the worker was stopped before the portal had answered",
    settle_s=UNACKNOWLEDGED_S + 5.0,
)

#: A call shorter than this leaves no time for anything else; one round trip is then cheaper than two.
_LONG_CALL_S = 0.005


class Done(msgspec.Struct, frozen=True):
    """A batch that has been worked on but not yet recorded.

    Attributes:
        batch: the batch.
        settlement: what becomes of it.
        answer: the result of the call; None if there was no call.
        took_s: how long the call took.
        size: contacts that the call was about.
    """

    batch: Batch
    settlement: Settlement
    answer: Answer | None = None
    took_s: float = 0.0
    size: int = 0

    def recordable_later(self) -> bool:
        """Check whether the next batch can be taken before this one is recorded: only if nothing follows from it."""
        return self.took_s > _LONG_CALL_S and isinstance(self.answer, Deleted) and not self.settlement.items


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """Works on the batches of one lane.

    Attributes:
        ledger: the lane's side of the ledger: nothing is sent once its lease is lost.
        portal: the portal's settings.
        conditions: under which a plan may be carried out (jobs/plan/digest.py).
        client: calls the portal; shared by the lanes of the process.
        segments: the contact IDs; shared by the lanes of the process.
        protected: contact IDs that are never sent.
        forecasts: what the plans say; shared by the lanes of the process.
        kept: which contacts have a record in a bundle; shared by the lanes of the process.
        planner: takes the steps of surveys.
        decider: decides what follows from an answer.
        push_back: how long to stay away when the portal does not say; shared by the lanes of the process.
        drain: signals that the worker has to stop; shared by the lanes of the process.
        log: writes what is unusual.
        grace: ends the call that the lane waits for.
    """

    ledger: LaneLedger
    portal: Portal
    conditions: str
    client: PortalClient
    segments: Segments
    protected: BitMap
    forecasts: Forecasts
    kept: KeptRecords
    planner: Planner
    decider: Decider
    push_back: PushBack
    drain: Drain
    log: FilteringBoundLogger
    grace: Grace = field(default_factory=Grace)

    async def work(self, batch: Batch, until_s: float = math.inf) -> Done:
        """Send one batch and decide what becomes of it.

        Args:
            batch: what the lane holds.
            until_s: when the lane's slice is over, on this process's monotonic clock; long steps end early.
        """
        done = await self._work(batch, until_s)
        return replace(done, settlement=await self._compare(batch, done.settlement)) if batch.in_canary else done

    async def _work(self, batch: Batch, until_s: float) -> Done:
        if not batch.is_replicated:
            self.log.warning("claim_not_replicated", seq=batch.seq, size=batch.size)
            return Done(batch, _given_back(batch))
        if batch.call is Call.SURVEY:
            return await self._survey(batch, until_s)
        if batch.call is Call.PUT and batch.state is State.CANCELLING:
            return Done(batch, self.decider.drop(batch, batch.server_ms()))
        if batch.call is Call.PUT and batch.state is State.PAUSING:
            return Done(batch, _given_back(batch))  # delivered for the second time: the first reply was lost
        if batch.most is not None and batch.most < batch.size:
            return await self._send_some(batch, batch.most, until_s)
        if batch.call is Call.PUT and batch.plan and not await self.forecasts.stands(batch, self.conditions):
            return Done(batch, self._not_as_approved(batch))
        if batch.call is Call.LOOK_UP and (batch.plan or batch.bundle):
            never_sent = await self._never_sent(batch)
            if never_sent:
                return await self._look_up_without(batch, never_sent)
        return await self._call_about(batch)

    async def _call_about(self, batch: Batch) -> Done:
        segments = [await self.segments.ids(batch, item.segment) for item in batch.items]
        ids = [_pick(segment, item.positions) for segment, item in zip(segments, batch.items, strict=True)]
        if batch.call is Call.LOOK_UP:
            return await self._send(batch, ids, await self._left_alone(batch))
        parts = await self._parts(batch, ids[0])
        return await (self._send_part(batch, ids[0], parts) if parts else self._send(batch, ids))

    async def _left_alone(self, batch: Batch) -> dict[tuple[int, int], Code]:
        """Return what of a look-up is not to be sent, whatever it shows, although an attempt may have contained it."""
        left_alone: dict[tuple[int, int], Code] = {}
        for item in batch.items:
            forecast = await self.forecasts.of(batch, item.segment) if batch.plan else None
            if batch.bundle:
                kept = await self.kept.of(batch, item.segment)
                planned = [at for at in item.positions if forecast is None or forecast.is_deletable(at)]
                left_alone |= {(item.segment, at): Code.NO_RECORD for at in planned if not kept.has(at)}
            if forecast:
                excluded = {(item.segment, at): forecast.excluded(at) for at in item.positions}
                left_alone |= {place: Code(code) for place, code in excluded.items() if code}
        return left_alone

    async def _never_sent(self, batch: Batch) -> list[Item]:
        """Return what of a look-up only seems to be doubtful, to be handed out again as if for the first time.

        A claim holds a whole run of the list. If its lane dies, all of it is doubtful, also contacts that the plan does
        not call deletable, or of which nothing is kept, although these were certainly not sent.
        """
        never_sent = []
        for item in batch.items:
            if item.doubtful:
                positions: set[int] = set()
                if batch.plan:
                    forecast = await self.forecasts.of(batch, item.segment)
                    positions.update(at for at in item.positions if forecast.is_never_sent(at))
                if batch.bundle and not batch.bundle_late:
                    kept = await self.kept.of(batch, item.segment)
                    positions.update(at for at in item.positions if not kept.has(at))
                if positions:
                    never_sent.append(Item(call=Call.PUT, segment=item.segment, positions=sorted(positions)))
        return never_sent

    async def _look_up_without(self, batch: Batch, never_sent: list[Item]) -> Done:
        """Look up the rest of a batch, and give back what was never sent."""
        left_out = {(item.segment, at) for item in never_sent for at in item.positions}
        rest = []
        for item in batch.items:
            positions = [at for at in item.positions if (item.segment, at) not in left_out]
            if positions:
                rest.append(replace(item, positions=positions))
        done = Done(batch, Settlement())
        if rest:
            done = await self._call_about(replace(batch, items=tuple(rest)))
        given_back = [(item, 0.0) for item in never_sent]
        settlement = replace(done.settlement, items=[*done.settlement.items, *given_back])
        return replace(done, batch=batch, settlement=settlement)

    async def _send_some(self, batch: Batch, most: int, until_s: float) -> Done:
        """Send no more than the portal's gates allow, and give the rest back."""
        [item] = batch.items
        done = Done(batch, Settlement())
        if most:
            done = await self._work(_part(batch, range(most)), until_s)
        rest = _part(batch, range(most, len(item.positions))).items[0]
        settlement = replace(done.settlement, items=[*done.settlement.items, (rest, 0.0)])
        return replace(done, batch=batch, settlement=settlement)

    async def _parts(self, batch: Batch, ids: list[int]) -> Parts | None:
        """Sort out what is not to be sent; None if all of it is. This is the last check before the wire."""
        [item] = batch.items
        parts = None
        if batch.plan:
            forecast = await self.forecasts.of(batch, item.segment)
            parts = None if forecast.allows_all(item.positions) else forecast.parts(item.positions)
        if batch.bundle:
            kept = await self.kept.of(batch, item.segment)
            if not kept.has_all(item.positions):
                parts = (parts or Parts.all_of(ids)).sending_only([kept.has(at) for at in item.positions])
        if not self.protected or not self.protected.intersect(BitMap(ids)):
            return parts
        return (parts or Parts.all_of(ids)).without(
            [at for at, contact_id in enumerate(ids) if contact_id in self.protected]
        )

    async def _send_part(self, batch: Batch, ids: list[int], parts: Parts) -> Done:
        """Send what is to be sent of a PUT, and settle the rest with it."""
        done = Done(batch, Settlement())
        if parts.send:
            done = await self._send(_part(batch, parts.send), [[ids[at] for at in parts.send]])
        settlements = [done.settlement]
        settlements += [
            self.decider.drop(_part(batch, places), batch.server_ms(), never_sent=code)
            for code, places in parts.spare.items()
        ]
        if parts.look_up:
            settlements.append(self.decider.only_look_up(_part(batch, parts.look_up)))
        all_of_it = replace(
            done.settlement,
            records=[record for settlement in settlements for record in settlement.records],
            items=[item for settlement in settlements for item in settlement.items],
            unsent=done.settlement.unsent + len(ids) - len(parts.send),
        )
        return replace(done, batch=batch, settlement=all_of_it)

    async def _compare(self, batch: Batch, settlement: Settlement) -> Settlement:
        """Note how many contacts of a canary's batch did not end as expected."""
        segments = {segment for segment, _ in settlement.records} if batch.plan else ()
        forecasts = {segment: await self.forecasts.of(batch, segment) for segment in segments}
        return with_departures(settlement, forecasts)

    async def _survey(self, batch: Batch, until_s: float) -> Done:
        """Take the next step of a job's survey."""
        started_s = time.monotonic()
        try:
            stepped = await self.grace.call(
                self.planner.step(
                    batch,
                    Clearance(self.ledger, batch, self.drain).may_send,
                    lambda: self.drain.wanted or time.monotonic() >= until_s,
                )
            )
        except asyncio.CancelledError:
            # The grace period is over; the step is given back as if it had not been taken.
            return Done(batch, _given_back(batch))
        took_s = time.monotonic() - started_s
        answer = stepped.answer
        if answer is None:
            return Done(batch, Settlement(survey=stepped.step, last_error=stepped.error, stop=stepped.stop))
        relief = self._relief(answer, started_s)
        settlement = replace(
            self.decider.after_step(answer),
            survey=stepped.step,
            slow_down=relief.slow_down,
            rest=relief.rest,
            report=_report(batch, answer, took_s, stepped.size),
        )
        if stepped.error:
            settlement = replace(settlement, last_error=stepped.error, stop=settlement.stop or stepped.stop)
        return Done(batch, settlement, answer, took_s, stepped.size)

    def _not_as_approved(self, batch: Batch) -> Settlement:
        """Give a PUT back unsent, and pause its job: what is stored is not what a person has approved."""
        return replace(
            _given_back(batch),
            stop=StateReason.PLAN_CHANGED,
            last_error="the stored plan is not the one that was approved, or conditions have changed since",
        )

    def _relief(self, answer: Answer, started_s: float) -> Relief:
        """Return how to spare the portal after an answer."""
        if isinstance(answer, Failure):
            return self.push_back.after(answer, started_s)
        self.push_back.calm()
        return Relief()

    async def _send(
        self, batch: Batch, ids: list[list[int]], spared: Mapping[tuple[int, int], Code] | None = None
    ) -> Done:
        started_s = time.monotonic()
        answer = await self._call(batch, ids)
        if answer is NOT_SENT:
            self.log.info("batch_given_back", seq=batch.seq, size=batch.size)
            return Done(batch, _given_back(batch))
        took_s = time.monotonic() - started_s
        relief = self._relief(answer, started_s)
        settlement = replace(
            self.decider.settle(batch, ids, answer, batch.server_ms(), spared or {}),
            slow_down=relief.slow_down,
            rest=relief.rest,
            batch_size=self._next_size(batch, answer, took_s) if batch.call is Call.PUT else None,
            unsent=batch.size if isinstance(answer, Failure) and not answer.sent else 0,
            report=_report(batch, answer, took_s, batch.size),
        )
        return Done(batch, settlement, answer, took_s, batch.size)

    async def _call(self, batch: Batch, ids: list[list[int]]) -> Deleted | LookedUp | Failure:
        if not self.ledger.holds_lease:  # so that no log-in is made for nothing
            return NOT_SENT
        may_send = Clearance(self.ledger, batch, self.drain).may_send
        try:
            if batch.call is Call.PUT:
                return await self.grace.call(self.client.delete(ids[0], may_send=may_send))
            every_id = [contact_id for item_ids in ids for contact_id in item_ids]
            return await self.grace.call(self.client.look_up(every_id, may_send=may_send))
        except CancelledUnsent:
            return NOT_SENT
        except asyncio.CancelledError:
            # The grace period is over. What was sent is given back as doubtful; the lane ends right after that.
            return INTERRUPTED

    def _next_size(self, batch: Batch, answer: Deleted | LookedUp | Failure, took_s: float) -> int | None:
        most = self.portal.batch_size_max
        if isinstance(answer, Failure):
            return batch_size.after_overload(batch.size, most) if answer.shrink else None
        # Well below the time-out: a call that takes a little longer than usual must not time out.
        target_s = min(self.portal.batch_target_s, self.portal.request_timeout_s / 4)
        size = batch_size.after_answer(batch.batch_size, batch.size, took_s, most, target_s)
        return size if size != batch.batch_size else None


def _given_back(batch: Batch) -> Settlement:
    """Give a batch back as if it had never been handed out: nothing of it was sent."""
    if batch.call is Call.SURVEY:
        return Settlement(survey=SurveyStep())
    return Settlement(items=[(item, 0.0) for item in batch.items], unsent=batch.size)


def _part(batch: Batch, places: Sequence[int]) -> Batch:
    """Return the part of a PUT at these places in its list."""
    [item] = batch.items
    return replace(batch, items=(replace(item, positions=[item.positions[at] for at in places]),))


def _pick(segment: "array[int]", positions: Sequence[int]) -> list[int]:
    if isinstance(positions, range):
        return segment[positions.start : positions.stop].tolist()
    return [segment[position] for position in positions]


def _report(batch: Batch, answer: Answer, took_s: float, size: int) -> CallReport | None:
    if isinstance(answer, Failure) and not answer.sent:
        return None
    return CallReport(
        at_ms=batch.server_ms(),
        job_id=batch.job_id,
        call=batch.call.name.lower(),
        size=size,
        took_s=took_s,
        http_status=answer.http_status,
        result=_result(answer),
    )


def _result(answer: Answer) -> str:
    if not isinstance(answer, Failure):
        return OK
    # The wait is our own; the portal's answer was 401.
    return StateReason.PORTAL_AUTH if answer.action is Remedy.WAIT else answer.reason
