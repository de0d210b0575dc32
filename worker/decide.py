"""What follows from one answer of the portal, contact ID by contact ID. Pure: nothing here calls, waits or stores.

The rules in one place:

- `deleted` only for contact IDs that the portal listed in its answer to our PUT;
- an ID that an attempt may have deleted stays *doubtful* forever: if it is gone, it is `presumed_deleted`;
- an ID that a valid answer left out is looked up: gone is `not_found`, visible is `refused` or tried again;
- a doubtful ID is `refused` only if two look-ups in a row say so;
- an attempt that certainly had no effect is repeated, split or given up, as worker/failures.py decides.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from msgspec.structs import replace
from pyroaring import BitMap

from config.portal import Portal
from jobs.lanes.grants import Batch
from jobs.lanes.settlement import Settlement
from jobs.ledger.items import Call, Item
from jobs.ledger.records import Record
from jobs.words.outcomes import Code, failed_code
from jobs.words.reasons import StateReason, known_reason
from jobs.words.states import State
from worker.portal_answers import Answer, Deleted, Failure, LookedUp, Remedy, Visible

_DECIDED_BY = {Visible.READ_ONLY: Code.READ_ONLY, Visible.HAS_INVOICE: Code.HAS_INVOICE}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look-up showed, and when."""

    asked: frozenset[int]
    visible: Mapping[int, Visible]
    at_ms: int
    spared: Mapping[tuple[int, int], Code]


@dataclass(frozen=True, slots=True)
class _Fate:
    """What becomes of the contact IDs of one item: each is in either a record or an item."""

    records: list[tuple[int, Record]] = field(default_factory=list)
    items: list[tuple[Item, float]] = field(default_factory=list)

    def __add__(self, other: "_Fate") -> "_Fate":
        return _Fate(self.records + other.records, self.items + other.items)


@dataclass(frozen=True, slots=True)
class Decider:
    """Turns answers into settlements for one portal.

    Args:
        portal: its limits on attempts and waits.
        uniform: returns a random number between two bounds (`random.uniform`); spreads retries.
        protected: contact IDs that are never sent. A look-up can still meet them: a worker may have claimed a batch
            that held them and died before it sent the others.
    """

    portal: Portal
    uniform: Callable[[float, float], float]
    protected: BitMap = field(default_factory=BitMap)

    def settle(
        self,
        batch: Batch,
        ids: Sequence[Sequence[int]],
        answer: Deleted | LookedUp | Failure,
        at_ms: int,
        spared: Mapping[tuple[int, int], Code] = MappingProxyType({}),
    ) -> Settlement:
        """Decide what becomes of a batch.

        Args:
            batch: what was sent.
            ids: the contact IDs of each of its items, by position.
            answer: the result of the call.
            at_ms: the time to record, Unix milliseconds on the Redis server's clock.
            spared: what is to be left alone by now although an attempt may have contained it, by segment and position.
        """
        if isinstance(answer, Failure):
            fates = [self._failed(batch, item, answer, at_ms) for item in batch.items]
            retries = batch.call is Call.PUT and batch.items[0].attempts > 0
            return _joined(fates, _after_failure(answer, retries=retries))
        if isinstance(answer, Deleted):
            fates = [_deleted(item, item_ids, answer, at_ms) for item, item_ids in zip(batch.items, ids, strict=True)]
            return _joined(fates, Settlement(sent=1, calm=True, retried=int(batch.items[0].attempts > 0)))
        seen = _Seen(frozenset(answer.asked), answer.visible, at_ms, spared)
        fates = [self._looked_up(batch, item, item_ids, seen) for item, item_ids in zip(batch.items, ids, strict=True)]
        return _joined(fates, Settlement(sent=1, calm=True))

    def drop(self, batch: Batch, at_ms: int, *, never_sent: Code = Code.SKIPPED) -> Settlement:
        """Decide what becomes of a PUT that is not sent, because its job is being cancelled or its IDs are protected.

        What an earlier attempt may have deleted is looked up; what it certainly did not delete is given up.

        Args:
            batch: what is not sent.
            at_ms: the time to record.
            never_sent: the outcome of contact IDs that no attempt has held.
        """
        fates = [
            _undecided(replace(item, call=Call.LOOK_UP))
            if item.doubtful
            else _decided(item, item.reason if item.attempts else never_sent, at_ms)
            for item in batch.items
        ]
        return _joined(fates, Settlement())

    def only_look_up(self, batch: Batch) -> Settlement:
        """Have contact IDs looked up that their plan does not call deletable; they are never sent."""
        fates = [_undecided(replace(item, call=Call.LOOK_UP, look_only=True)) for item in batch.items]
        return _joined(fates, Settlement())

    def after_step(self, answer: Answer) -> Settlement:
        """Return what the answer to a survey's call means for the job and the portal."""
        if isinstance(answer, Failure):
            return _after_failure(answer, retries=False)
        return Settlement(sent=1, calm=True)

    def _looked_up(self, batch: Batch, item: Item, item_ids: Sequence[int], seen: _Seen) -> _Fate:
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
            if visible is Visible.DELETABLE and (item.segment, position) in seen.spared:
                decided.append(position)
                codes.append(seen.spared[item.segment, position])
                continue
            if visible is Visible.DELETABLE and item.look_only:
                decided.append(position)
                codes.append(Code.NOT_PLANNED)
                continue
            if visible is Visible.DELETABLE:
                there.append(position)
                continue
            if visible and item.doubtful and not item.seen_refused:
                refused.append(position)
                continue
            decided.append(position)
            codes.append(_DECIDED_BY[visible] if visible else gone)
        fate = _Fate()
        if decided:
            fate += _Fate(records=[(item.segment, _as_record(item, decided, bytes(codes), seen.at_ms))])
        if not_asked:
            fate += _undecided(replace(item, positions=not_asked))
        if refused:
            # A look-up that overlaps with the end of the doubtful attempt still sees the contacts, but no rights to
            # them: they are gone a moment later. The next look-up shows which it is.
            fate += _undecided(replace(item, positions=refused, seen_refused=True))
        if there:
            again = replace(item, call=Call.PUT, positions=there, seen_refused=False)
            fate += self._try_again(batch, again, seen.at_ms)
        return fate

    def _failed(self, batch: Batch, item: Item, failure: Failure, at_ms: int) -> _Fate:
        if batch.call is Call.PUT:
            item = _after_put(item, failure)
        if batch.call is Call.PUT and failure.may_have_deleted:
            return _undecided(replace(item, call=Call.LOOK_UP, doubtful=True), failure.settle_s)
        if failure.action in {Remedy.STOP, Remedy.SLOW_DOWN, Remedy.WAIT} or not failure.sent:
            return _undecided(item)
        if failure.action is Remedy.SPLIT and len(item.positions) > 1:
            return _halves(item)
        if failure.action in {Remedy.SPLIT, Remedy.GIVE_UP}:
            return _decided(item, item.reason, at_ms)
        return self._try_again(batch, item, at_ms)

    def _try_again(self, batch: Batch, item: Item, at_ms: int) -> _Fate:
        """Try an item again later; after enough tries, narrow it down to the contact IDs that cause the trouble."""
        failures = item.failures + 1
        most = self.portal.max_attempts
        if item.call is Call.PUT and batch.state is State.CANCELLING:
            return _decided(item, item.reason, at_ms)
        if failures < most:
            return _undecided(replace(item, failures=failures), self.backoff_s(failures))
        if len(item.positions) > 1:
            # One more try for each half: the culprits are found in log2(size) steps, and the rest goes through.
            return _halves(replace(item, failures=most - 1))
        return _decided(item, item.reason, at_ms)

    def backoff_s(self, failures: int) -> float:
        """Return an exponential backoff with full jitter: anything from 0 to the bound, so that retries spread out."""
        bound: float = min(self.portal.backoff_max_s, self.portal.backoff_base_s * 2.0 ** (failures - 1))
        return self.uniform(0.0, bound)


def _joined(fates: Sequence[_Fate], settlement: Settlement) -> Settlement:
    """Add the fates of a batch's items to what its answer means for the job and the portal."""
    return replace(
        settlement,
        records=[record for fate in fates for record in fate.records],
        items=[item for fate in fates for item in fate.items],
    )


def _after_failure(failure: Failure, *, retries: bool) -> Settlement:
    """Return what a failure means for the job and the portal, regardless of the contact IDs.

    Args:
        failure: what happened.
        retries: whether it happened to a PUT of contact IDs that an earlier one had contained.
    """
    stops = failure.action is Remedy.STOP
    return Settlement(
        sent=int(failure.sent),
        retried=int(failure.sent and retries),
        throttled=int(_throttled(failure)),
        last_error=failure.message,
        stop=(known_reason(failure.reason) or StateReason.PORTAL_PROTOCOL) if stops else None,
        everyone=stops and failure.everyone,
    )


def _throttled(failure: Failure) -> bool:
    return failure.action is Remedy.SLOW_DOWN and not failure.may_have_deleted


def _after_put(item: Item, failure: Failure) -> Item:
    """Count the attempt on the item; being throttled, waiting for a log-in or failing to connect is not one."""
    waits = failure.action is Remedy.WAIT and not failure.may_have_deleted
    if _throttled(failure) or waits or not failure.sent:
        return item
    return replace(
        item, attempts=item.attempts + 1, http_status=failure.http_status or 0, reason=failed_code(failure.reason)
    )


def _deleted(item: Item, item_ids: Sequence[int], answer: Deleted, at_ms: int) -> _Fate:
    # If contacts it left out still exist and have to be given up, the reason is that the portal does not delete them.
    sent = replace(item, attempts=item.attempts + 1, http_status=answer.http_status, reason=Code.NOT_DELETED)
    if len(answer.listed) == len(item_ids):  # a subset of as many: all of them
        return _decided(sent, Code.DELETED, at_ms)
    listed = answer.listed
    deleted = [position for position, contact_id in zip(item.positions, item_ids, strict=True) if contact_id in listed]
    left_out = sorted(set(item.positions).difference(deleted))
    doubtful = item.doubtful or answer.unlisted_doubtful
    fate = _undecided(replace(sent, call=Call.LOOK_UP, positions=left_out, doubtful=doubtful))
    return _decided(replace(sent, positions=deleted), Code.DELETED, at_ms) + fate if deleted else fate


def _decided(item: Item, code: Code, at_ms: int) -> _Fate:
    codes = bytes([code]) * len(item.positions)
    return _Fate(records=[(item.segment, _as_record(item, item.positions, codes, at_ms))])


def _undecided(item: Item, delay_s: float = 0.0) -> _Fate:
    return _Fate(items=[(item, delay_s)])


def _halves(item: Item) -> _Fate:
    middle = len(item.positions) // 2
    return _undecided(replace(item, positions=item.positions[:middle])) + _undecided(
        replace(item, positions=item.positions[middle:])
    )


def _as_record(item: Item, positions: Sequence[int], codes: bytes, at_ms: int) -> Record:
    return Record(positions=positions, codes=codes, attempts=item.attempts, http_status=item.http_status, at_ms=at_ms)
