"""What a lane records about a batch."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from jobs.lanes.call_report import CallReport
from jobs.ledger.items import Item
from jobs.ledger.records import Record
from jobs.words.outcomes import Outcome


@dataclass(slots=True, kw_only=True)
class Settlement:
    """What became of a batch: every contact ID of it is either in a record or in an item.

    Attributes:
        records: decided contact IDs, with their segments.
        items: contact IDs that need another call, and how many seconds from now.
        sent, retried, throttled: calls to add to the job's counters.
        last_error: what went wrong, for a person; None keeps the former one.
        stop: the state_reason with which the job must pause; None if it may go on. A fault of the portal (`portal_…`)
            holds everybody with this configuration, and pauses the job unless a worker with another one can go on.
        everyone: that fault holds everybody, whatever the configuration.
        push_back_s: nobody calls the portal for this long; None for no push-back.
        push_back_reason: `rate_limit`, `push_back`, `login_guard` or `portal_unreachable`.
        asked_s: the rest that the portal asked for; None if it said nothing. It may be longer than the one it gets.
        calm: the portal answered well.
        slow_down: the portal pushed back: cut the learned rate, from `ceiling` calls per second at most.
        ceiling: the configured calls per second.
        batch_size: contact IDs of the next PUTs; None leaves it.
        threshold: failed share of the decided contact IDs, 0 to 1, above which the job pauses.
        threshold_from: decided contact IDs before that share is judged.
        answer: what came of the call, to be counted and shown; None if there was no call.
    """

    records: list[tuple[int, Record]] = field(default_factory=list)
    items: list[tuple[Item, float]] = field(default_factory=list)
    sent: int = 0
    retried: int = 0
    throttled: int = 0
    last_error: str | None = None
    stop: str | None = None
    everyone: bool = False
    push_back_s: float | None = None
    push_back_reason: str | None = None
    asked_s: float | None = None
    calm: bool = False
    slow_down: bool = False
    ceiling: float = 0.0
    batch_size: int | None = None
    threshold: float = 0.5
    threshold_from: int = 1000
    answer: CallReport | None = None

    def counts(self) -> dict[Outcome, int]:
        """How many contact IDs got which outcome."""
        counts: dict[Outcome, int] = {}
        for _, record in self.records:
            for outcome, count in record.counts().items():
                counts[outcome] = counts.get(outcome, 0) + count
        return counts

    def arguments(self) -> list[bytes]:
        """The settlement as jobs/store/lua/settle.lua reads it: a map of the facts, then records and items in order.

        Binary strings travel beside the map because Lua's msgpack does not know them.
        """
        message: dict[str, Any] = {
            "records": [segment for segment, _ in self.records],
            "counts": self.counts(),
            "items": [(chr(item.call), round(delay_s * 1000), len(item.positions)) for item, delay_s in self.items],
            "sent": self.sent,
            "retried": self.retried,
            "throttled": self.throttled,
            "threshold": self.threshold,
            "threshold_from": self.threshold_from,
        }
        optional = {
            "last_error": self.last_error,
            "stop": self.stop,
            "everyone": self.everyone or None,
            "push_back_ms": None if self.push_back_s is None else round(self.push_back_s * 1000),
            "push_back_reason": self.push_back_reason,
            "asked_ms": None if self.asked_s is None else round(self.asked_s * 1000),
            "calm": self.calm or None,
            "slow_down": self.ceiling if self.slow_down else None,
            "batch_size": self.batch_size,
            "answer": self.answer and self.answer.counted(),
        }
        message.update((name, value) for name, value in optional.items() if value is not None)
        return [
            _encode(message),
            *(record.encode() for _, record in self.records),
            *(item.encode() for item, _ in self.items),
        ]


_encode = msgspec.msgpack.Encoder().encode
