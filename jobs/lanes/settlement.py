"""What a lane records about a batch, as one immutable value that the lane builds once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from jobs.lanes.call_report import CallReport
from jobs.lanes.grants import Terms
from jobs.lanes.survey_step import SurveyStep
from jobs.ledger.items import Item
from jobs.ledger.records import Record
from jobs.words.outcomes import Outcome
from jobs.words.reasons import StateReason


@dataclass(frozen=True, slots=True)
class NewRest:
    """A time during which no worker calls the portal.

    Attributes:
        wait_s: how long, in seconds.
        reason: `push_back`, `login_guard` or `portal_unreachable`.
        asked_s: the rest that the portal asked for in seconds, which may be longer; None if it did not say.
    """

    wait_s: float
    reason: StateReason
    asked_s: float | None = None


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch: each of its contact IDs is either in a record or in an item.

    A step of a survey has neither.

    Attributes:
        records: decided contact IDs, with their segments.
        items: contact IDs that need another call, and how many seconds from now.
        departures: how many of the decided contact IDs did not end as expected; counted while the job's canary is sent.
        sent, retried, throttled: calls to add to the job's counters.
        unsent: contact IDs of a PUT that were not sent after all, so that they do not count for the day.
        last_error: what went wrong, for a person; None keeps the previous one.
        stop: the state_reason with which the job must pause; None if it may go on. A fault of the portal holds all
            workers with this configuration, and pauses the job unless a worker with another one can go on.
        everyone: whether that fault holds all workers, whatever their configuration.
        calm: whether the portal answered well.
        slow_down: whether the portal pushed back, so that the learned rate is cut.
        rest: how long no worker calls the portal; None for no rest.
        batch_size: contact IDs of the next PUTs; None leaves the size unchanged.
        report: the call itself, to be counted and shown; None if there was no call.
        survey: what a step of a survey found; None for any other batch.
    """

    records: Sequence[tuple[int, Record]] = ()
    items: Sequence[tuple[Item, float]] = ()
    departures: int = 0
    sent: int = 0
    retried: int = 0
    throttled: int = 0
    unsent: int = 0
    last_error: str | None = None
    stop: StateReason | None = None
    everyone: bool = False
    calm: bool = False
    slow_down: bool = False
    rest: NewRest | None = None
    batch_size: int | None = None
    report: CallReport | None = None
    survey: SurveyStep | None = None

    def counts(self) -> dict[Outcome, int]:
        """Return how many contact IDs got which outcome."""
        counts: dict[Outcome, int] = {}
        for _, record in self.records:
            for outcome, count in record.counts().items():
                counts[outcome] = counts.get(outcome, 0) + count
        return counts

    def arguments(self, terms: Terms) -> list[bytes]:
        """Return the settlement as settle.lua reads it: a map of the facts, then records and items in order.

        Binary strings are passed separately because Lua's msgpack does not support them.

        Args:
            terms: the limits under which the lane works.
        """
        message = _Message(
            records=[segment for segment, _ in self.records],
            counts=self.counts(),
            items=[(chr(item.call), round(delay_s * 1000), len(item.positions)) for item, delay_s in self.items],
            sent=self.sent,
            retried=self.retried,
            throttled=self.throttled,
            unsent=self.unsent,
            threshold=terms.failure_threshold,
            threshold_from=terms.failure_threshold_from,
            departures=self.departures,
            last_error=self.last_error,
            stop=self.stop,
            everyone=self.everyone,
            calm=self.calm,
            slow_down=terms.requests_per_second if self.slow_down else None,
            batch_size=self.batch_size,
            answer=self.report.counted() if self.report else None,
            survey=self.survey.message() if self.survey else None,
        )
        if self.rest:
            message.push_back_ms = round(self.rest.wait_s * 1000)
            message.push_back_reason = self.rest.reason
            message.asked_ms = None if self.rest.asked_s is None else round(self.rest.asked_s * 1000)
        return [
            _encode(message),
            *(record.encode() for _, record in self.records),
            *(item.encode() for item, _ in self.items),
            *(self.survey.segments() if self.survey else ()),
        ]


class _Message(msgspec.Struct, omit_defaults=True):
    """The facts, as settle.lua lists them; what has its default is left out."""

    records: list[int]
    counts: dict[Outcome, int]
    items: list[tuple[str, int, int]]
    sent: int
    retried: int
    throttled: int
    unsent: int
    threshold: float
    threshold_from: int
    departures: int = 0
    last_error: str | None = None
    stop: StateReason | None = None
    everyone: bool = False
    calm: bool = False
    slow_down: float | None = None
    batch_size: int | None = None
    answer: tuple[str, str, str, int, str] | None = None
    survey: dict[str, Any] | None = None
    push_back_ms: int | None = None
    push_back_reason: StateReason | None = None
    asked_ms: int | None = None


_encode = msgspec.msgpack.Encoder().encode
