"""The batches of a lane as spans of their job's trace.

A batch's span begins when the lane is given the batch, and ends when what became of it is recorded; the calls to the
portal and the recording are within it. So no span lasts longer than a batch, however long the lane or the job does.

The job's hash has the trace that its submission was part of (`traceparent`), and whether it is sampled. A job that was
submitted while tracing was off has none, and gets no spans.
"""

import random
from dataclasses import dataclass, field

from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span, set_span_in_context
from redis.asyncio import Redis

from config.tracing import TRACEPARENT, Attributes, Context, Span, continued, enter, fail, is_on, leave, open_span, span
from jobs.lanes.call_report import OK
from jobs.lanes.grants import Batch, Grant, Terms
from jobs.lanes.lease import LaneLedger
from jobs.lanes.settlement import Settlement
from jobs.store import keys


@dataclass(frozen=True, slots=True)
class _Traced:
    """What the spans of a job need to know of it."""

    parent: Context
    contacts: int


@dataclass(slots=True)
class Traces:
    """The traces that jobs are part of, as one lane knows them.

    It remembers them for its slice and no longer: a job that was forgotten can leave its ID to another one.

    Attributes:
        redis: the connection.
        calls_per_job: about how many calls of one job get spans.
    """

    redis: Redis
    calls_per_job: int
    _known: dict[tuple[str, bytes, str], _Traced | None] = field(default_factory=dict)

    async def of(self, batch: Batch) -> Context | None:
        """Return the context of which a batch's span is a child; None if its job is not traced.

        Of the calls of a large job some are drawn. The others get a context that is not sampled: they make no spans,
        but their log lines have the job's trace.
        """
        key = batch.job_id, batch.digest, batch.plan  # a job's size changes once, when its plan stands
        if key not in self._known:
            self._known[key] = await self._read(batch.job_id)
        traced = self._known[key]
        if traced is None:
            return None
        drawn = random.random() * traced.contacts < self.calls_per_job * batch.batch_size  # noqa: S311 - no secret
        return traced.parent if drawn else _not_sampled(traced.parent)

    async def _read(self, job_id: str) -> _Traced | None:
        parent, total = await self.redis.execute_command("HMGET", keys.job(job_id), TRACEPARENT, "total")
        return _Traced(continued(parent.decode()), int(total or 0)) if parent else None


def ledger_for(
    redis: Redis, portal: str, token: str, lease_ttl_s: float, configuration: str, *, calls_per_job: int
) -> LaneLedger:
    """Return a lane's side of the ledger, which makes spans only if tracing is on."""
    if is_on():
        return TracedLaneLedger(redis, portal, token, lease_ttl_s, configuration, calls_per_job=calls_per_job)
    return LaneLedger(redis, portal, token, lease_ttl_s, configuration)


class TracedLaneLedger(LaneLedger):
    """A ledger that opens a batch's span when it hands out the batch, and ends it once the batch is recorded.

    The span is the one that is going on in the lane's task from then on, and in the task that records the batch while
    the lane takes the next one.
    """

    def __init__(
        self, redis: Redis, portal: str, token: str, lease_ttl_s: float, configuration: str, *, calls_per_job: int
    ) -> None:
        super().__init__(redis, portal, token, lease_ttl_s, configuration)
        self._portal = portal
        self._traces = Traces(redis, calls_per_job)
        self._open: dict[int, Span] = {}

    async def acquire_and_next(self, max_concurrency: int, terms: Terms) -> Grant | None:
        """Take a lease and ask for a batch, and open its span; see `LaneLedger.acquire_and_next`."""
        leave()
        grant = await super().acquire_and_next(max_concurrency, terms)
        return None if grant is None else await self._entered(grant)

    async def next_batch(self, terms: Terms, *, has_turn: bool = False) -> Grant:
        """Ask for a batch, and open its span; see `LaneLedger.next_batch`."""
        leave()
        return await self._entered(await super().next_batch(terms, has_turn=has_turn))

    async def settle(self, batch: Batch, settlement: Settlement) -> bool:
        """Record what became of a batch, and end its span; see `LaneLedger.settle`."""
        current = self._open.get(batch.seq)
        if current is None:
            return await super().settle(batch, settlement)
        with span("settle", context=set_span_in_context(current)):
            is_ours = await super().settle(batch, settlement)
        self._end(batch, settlement, is_ours=is_ours)
        return is_ours

    async def settle_and_next(self, batch: Batch, settlement: Settlement, terms: Terms) -> tuple[bool, Grant]:
        """Record a batch and ask for the next one, in one round trip; see `LaneLedger.settle_and_next`."""
        current = self._open.get(batch.seq)
        if current is None:
            is_ours, grant = await super().settle_and_next(batch, settlement, terms)
        else:
            with span("settle", context=set_span_in_context(current)):
                is_ours, grant = await super().settle_and_next(batch, settlement, terms)
            self._end(batch, settlement, is_ours=is_ours)
        leave()
        return is_ours, await self._entered(grant)

    def abandon(self) -> None:
        """End with the lane: also the spans of batches that were never recorded, because it has broken off."""
        while self._open:
            _, current = self._open.popitem()
            fail(current, "abandoned")
            current.end()
        leave()

    async def _entered(self, grant: Grant) -> Grant:
        if isinstance(grant, Batch) and (parent := await self._traces.of(grant)) is not None:
            enter(self._span_of(grant, parent))
        return grant

    def _span_of(self, batch: Batch, parent: Context) -> Span:
        """Open a batch's span; where its job is not sampled, or it was not drawn, that of the job stands for it."""
        of_job = get_current_span(parent)
        if not of_job.get_span_context().trace_flags.sampled:
            return of_job
        about: Attributes = {
            "crm_sweep.job": batch.job_id,
            "crm_sweep.portal": self._portal,
            "crm_sweep.call": batch.call.name.lower(),
            "crm_sweep.seq": batch.seq,
            "crm_sweep.contacts": batch.size,
        }
        current = self._open[batch.seq] = open_span(f"batch {batch.call.name.lower()}", parent, about)
        return current

    def _end(self, batch: Batch, settlement: Settlement, *, is_ours: bool) -> None:
        current = self._open.pop(batch.seq)
        for outcome, count in settlement.counts().items():
            current.set_attribute(f"crm_sweep.{outcome.value}", count)
        if reason := _failure(settlement) if is_ours else "lost":
            fail(current, reason)
        current.end()


def abandon(ledger: LaneLedger) -> None:
    """End what a lane has left open of its spans; a ledger without spans has left nothing."""
    if isinstance(ledger, TracedLaneLedger):
        ledger.abandon()


def _failure(settlement: Settlement) -> str | None:
    """Return the word for what went wrong with a batch; None if nothing did."""
    if settlement.report and settlement.report.result != OK:
        return settlement.report.result
    return settlement.stop or (settlement.rest.reason if settlement.rest else None)


def _not_sampled(parent: Context) -> Context:
    context = get_current_span(parent).get_span_context()
    flags = TraceFlags(context.trace_flags & ~TraceFlags.SAMPLED)
    there = SpanContext(context.trace_id, context.span_id, is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(there), Context())
