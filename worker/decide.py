"""What follows from one answer of the portal, contact ID by contact ID. Pure: nothing here calls, waits or stores.

The rules in one place:

- `deleted` only for contact IDs that the portal listed in its answer to our PUT;
- an ID of which an attempt may have deleted it stays *doubtful* for ever: if it is gone, it is `presumed_deleted`;
- an ID that a valid answer left out is looked up: gone is `not_found`, visible is `refused` or tried again;
- a doubtful ID is `refused` only if two look-ups in a row say so;
- an attempt that certainly had no effect is repeated, split or given up as worker/failures.py says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pyroaring import BitMap

from config.portal import Portal
from jobs.lanes.grants import Batch
from jobs.lanes.settlement import Settlement
from jobs.ledger.items import Call, Item
from jobs.ledger.records import Record
from jobs.words.outcomes import Code, failed_code
from jobs.words.states import State
from worker.portal_answers import Action, Deleted, Failure, LookedUp, Visible

_DECIDED_BY = {Visible.READ_ONLY: Code.READ_ONLY, Visible.HAS_INVOICE: Code.HAS_INVOICE}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look-up showed, and when."""

    asked: frozenset[int]
    visible: Mapping[int, Visible]
    at_ms: int


@dataclass(frozen=True, slots=True)
class Decider:
    """Turns answers into settlements for one portal.

    Args:
        portal: its limits on attempts and waits.
        uniform: gives a random number between two bounds (`random.uniform`); spreads retries.
        protected: contact IDs that are never sent. A look-up meets them where a batch that held them was claimed by a
            worker that died before it sent the others.
    """

    portal: Portal
    uniform: Callable[[float, float], float]
    protected: BitMap = field(default_factory=BitMap)

    def settle(
        self, batch: Batch, ids: Sequence[Sequence[int]], answer: Deleted | LookedUp | Failure, at_ms: int
    ) -> Settlement:
        """Decide what becomes of a batch.

        Args:
            batch: what was sent.
            ids: the contact IDs of each of its items, by position.
            answer: what came of the call.
            at_ms: the time to record, Unix milliseconds on the Redis server's clock.
        """
        if isinstance(answer, Failure):
            settlement = _failed_call(batch, answer)
            for item in batch.items:
                self._failed(settlement, batch, item, answer, at_ms)
        elif isinstance(answer, Deleted):
            settlement = Settlement(sent=1, calm=True, retried=int(batch.items[0].attempts > 0))
            for item, item_ids in zip(batch.items, ids, strict=True):
                _deleted(settlement, item, item_ids, answer, at_ms)
        else:
            settlement = Settlement(sent=1, calm=True)
            seen = _Seen(frozenset(answer.asked), answer.visible, at_ms)
            for item, item_ids in zip(batch.items, ids, strict=True):
                self._looked_up(settlement, batch, item, item_ids, seen)
        return settlement

    def drop(self, batch: Batch, at_ms: int, *, never_sent: Code = Code.SKIPPED) -> Settlement:
        """Decide what becomes of a PUT that is not sent, because its job is being cancelled or its IDs are protected.

        What an earlier attempt may have deleted is looked up; what an earlier attempt certainly left is given up.

        Args:
            batch: what is not sent.
            at_ms: the time to record.
            never_sent: the outcome of contact IDs that no attempt has held.
        """
        settlement = Settlement()
        for item in batch.items:
            if item.doubtful:
                settlement.items.append((replace(item, call=Call.LOOK_UP), 0.0))
            else:
                _record(settlement, item, item.reason if item.attempts else never_sent, at_ms)
        return settlement

    def _looked_up(
        self, settlement: Settlement, batch: Batch, item: Item, item_ids: Sequence[int], seen: _Seen
    ) -> None:
        gone = Code.PRESUMED_DELETED if item.doubtful else Code.NOT_FOUND
        decided: list[int] = []
        codes = bytearray()
        there: list[int] = []
        not_asked: list[int] = []
        refused: list[int] = []
        for position, contact_id in zip(item.positions, item_ids, strict=True):
            if contact_id not in seen.asked:
                not_asked.append(position)
                continue
            visible = seen.visible.get(contact_id)
            if visible is Visible.DELETABLE and contact_id in self.protected:
                decided.append(position)
                codes.append(Code.PROTECTED)
                continue
            if visible is Visible.DELETABLE:
                there.append(position)
                continue
            if visible and item.doubtful and not item.seen_refused:
                refused.append(position)
                continue
            decided.append(position)
            codes.append(_DECIDED_BY[visible] if visible else gone)
        if decided:
            settlement.records.append((item.segment, _as_record(item, decided, bytes(codes), seen.at_ms)))
        if not_asked:
            settlement.items.append((replace(item, positions=not_asked), 0.0))
        if refused:
            # A look-up that runs into the end of the doubtful attempt still sees the contacts, but no rights to them:
            # they are gone a moment later. The next look-up tells.
            settlement.items.append((replace(item, positions=refused, seen_refused=True), 0.0))
        if there:
            again = replace(item, call=Call.PUT, positions=there, seen_refused=False)
            self._try_again(settlement, batch, again, seen.at_ms)

    def _failed(self, settlement: Settlement, batch: Batch, item: Item, failure: Failure, at_ms: int) -> None:
        if batch.call is Call.PUT:
            item = _after_put(item, failure)
        if batch.call is Call.PUT and failure.may_have_deleted:
            settlement.items.append((replace(item, call=Call.LOOK_UP, doubtful=True), failure.settle_s))
        elif failure.action in {Action.STOP, Action.SLOW_DOWN, Action.WAIT} or not failure.sent:
            settlement.items.append((item, 0.0))
        elif failure.action is Action.SPLIT and len(item.positions) > 1:
            settlement.items += [(half, 0.0) for half in _halves(item)]
        elif failure.action in {Action.SPLIT, Action.GIVE_UP}:
            _record(settlement, item, item.reason, at_ms)
        else:
            self._try_again(settlement, batch, item, at_ms)

    def _try_again(self, settlement: Settlement, batch: Batch, item: Item, at_ms: int) -> None:
        """Another try later; when there have been enough, cut the item down to the contact IDs that cause it."""
        failures = item.failures + 1
        most = self.portal.max_attempts
        if item.call is Call.PUT and batch.state is State.CANCELLING:
            _record(settlement, item, item.reason, at_ms)
        elif failures < most:
            later = replace(item, failures=failures)
            settlement.items.append((later, self._backoff_s(failures)))
        elif len(item.positions) > 1:
            # One more try for each half: what is at fault is found in log2 of the size, the rest goes through.
            settlement.items += [(replace(half, failures=most - 1), 0.0) for half in _halves(item)]
        else:
            _record(settlement, item, item.reason, at_ms)

    def _backoff_s(self, failures: int) -> float:
        """Exponential backoff with full jitter: anything between 0 and the bound, so that retries spread out."""
        bound: float = min(self.portal.backoff_max_s, self.portal.backoff_base_s * 2.0 ** (failures - 1))
        return self.uniform(0.0, bound)


def _failed_call(batch: Batch, failure: Failure) -> Settlement:
    """What a failure means for the job and the portal, whatever the contact IDs."""
    return Settlement(
        sent=int(failure.sent),
        retried=int(failure.sent and batch.call is Call.PUT and batch.items[0].attempts > 0),
        throttled=int(_throttled(failure)),
        last_error=failure.message,
        stop=failure.reason if failure.action is Action.STOP else None,
        everyone=failure.action is Action.STOP and failure.everyone,
    )


def _throttled(failure: Failure) -> bool:
    return failure.action is Action.SLOW_DOWN and not failure.may_have_deleted


def _after_put(item: Item, failure: Failure) -> Item:
    """Note the attempt on the item; being throttled, waiting for a log-in or not getting through is none."""
    waits = failure.action is Action.WAIT and not failure.may_have_deleted
    if _throttled(failure) or waits or not failure.sent:
        return item
    return replace(
        item, attempts=item.attempts + 1, http_status=failure.http_status or 0, reason=failed_code(failure.reason)
    )


def _deleted(settlement: Settlement, item: Item, item_ids: Sequence[int], answer: Deleted, at_ms: int) -> None:
    # If those that it left out are still there and have to be given up, then because it does not delete them.
    sent = replace(item, attempts=item.attempts + 1, http_status=answer.http_status, reason=Code.NOT_DELETED)
    if len(answer.listed) == len(item_ids):  # a subset of as many: all of them
        _record(settlement, sent, Code.DELETED, at_ms)
        return
    listed = answer.listed
    deleted = [position for position, contact_id in zip(item.positions, item_ids, strict=True) if contact_id in listed]
    left_out = sorted(set(item.positions).difference(deleted))
    if deleted:
        codes = bytes([Code.DELETED]) * len(deleted)
        settlement.records.append((item.segment, _as_record(sent, deleted, codes, at_ms)))
    look_up = replace(sent, call=Call.LOOK_UP, positions=left_out, doubtful=item.doubtful or answer.unlisted_doubtful)
    settlement.items.append((look_up, 0.0))


def _record(settlement: Settlement, item: Item, code: Code, at_ms: int) -> None:
    codes = bytes([code]) * len(item.positions)
    settlement.records.append((item.segment, _as_record(item, item.positions, codes, at_ms)))


def _as_record(item: Item, positions: Sequence[int], codes: bytes, at_ms: int) -> Record:
    return Record(positions=positions, codes=codes, attempts=item.attempts, http_status=item.http_status, at_ms=at_ms)


def _halves(item: Item) -> tuple[Item, Item]:
    middle = len(item.positions) // 2
    return replace(item, positions=item.positions[:middle]), replace(item, positions=item.positions[middle:])
