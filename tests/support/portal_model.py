"""A portal that is a set in memory, and a lane's work on it, for tests that drive the real scripts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from arq.connections import ArqRedis
from pyroaring import BitMap
from structlog import get_logger

from jobs.lanes.grants import Batch, Terms
from jobs.lanes.lease import LaneLedger
from jobs.lanes.settlement import Settlement
from worker.decide import Decider
from worker.dispatch import Dispatcher
from worker.drain import Drain
from worker.exchange import MaySend
from worker.forecast import Forecasts
from worker.kept import KeptRecords
from worker.planner import Planner
from worker.portal_answers import Deleted, Failure, LookedUp, Remedy, Visible
from worker.portal_client import PortalClient
from worker.push_back import PushBack, Relief
from worker.segments import Segments


def failure(action: Remedy, *, may_have_deleted: bool, reason: str = "portal_error", sent: bool = True) -> Failure:
    return Failure(
        action=action, may_have_deleted=may_have_deleted, reason=reason, http_status=500, message="staged", sent=sent
    )


@dataclass
class PortalModel:
    """What the portal has, and what it will still do."""

    alive: set[int] = field(default_factory=lambda: set(range(1, 400, 2)) | set(range(2, 400, 6)))
    read_only: set[int] = field(default_factory=lambda: set(range(5, 400, 20)))
    invoiced: set[int] = field(default_factory=lambda: set(range(8, 400, 18)))
    poisoned: set[int] = field(default_factory=lambda: set(range(13, 400, 60)))
    deleted: set[int] = field(default_factory=set)
    late: list[list[int]] = field(default_factory=list)

    def delete(self, contact_ids: Sequence[int]) -> list[int]:
        gone = [one for one in contact_ids if one in self.alive and one not in self.read_only | self.invoiced]
        self.alive.difference_update(gone)
        self.deleted.update(gone)
        return gone

    def visible(self, contact_ids: Sequence[int]) -> dict[int, Visible]:
        def rights(one: int) -> Visible:
            if one in self.read_only:
                return Visible.READ_ONLY
            return Visible.HAS_INVOICE if one in self.invoiced else Visible.DELETABLE

        return {one: rights(one) for one in contact_ids if one in self.alive}


@dataclass
class ModelClient:
    """What a lane calls in place of a portal.

    Attributes:
        portal: the portal.
        fate: what becomes of its next call.
        look_up_size: contact IDs of a look-up at most.
        send: is told the contact IDs of a PUT that leaves, before anything becomes of them.
        doubt: is told those of which nobody learns what became of them.
    """

    portal: PortalModel
    fate: str
    look_up_size: int
    send: Callable[[list[int]], None]
    doubt: Callable[[list[int]], None]

    async def delete(self, ids: list[int], *, may_send: MaySend) -> Deleted | Failure:
        assert await may_send()
        if self.fate == "throttled":
            return failure(Remedy.SLOW_DOWN, may_have_deleted=False, reason="rate_limit")
        if self.fate == "unreachable":
            return failure(Remedy.RETRY, may_have_deleted=False, reason="portal_unreachable", sent=False)
        if self.fate == "stop":
            return failure(Remedy.STOP, may_have_deleted=False, reason="portal_auth")
        self.send(ids)
        if self.portal.poisoned.intersection(ids):
            return failure(Remedy.SPLIT, may_have_deleted=False, reason="rejected")
        if self.fate == "answered":
            return Deleted(frozenset(self.portal.delete(ids)), unlisted_doubtful=False, http_status=200)
        self.doubt(ids)
        if self.fate == "lost_after":
            self.portal.delete(ids)
        elif self.fate == "late":
            self.portal.late.append(ids)
        return failure(Remedy.RETRY, may_have_deleted=True, reason="timeout")

    async def look_up(self, ids: list[int], *, may_send: MaySend) -> LookedUp | Failure:
        assert await may_send()
        if self.fate == "stop":
            return failure(Remedy.STOP, may_have_deleted=False, reason="portal_forbidden")
        if self.fate in {"lost_before", "throttled"}:
            return failure(Remedy.RETRY, may_have_deleted=False)
        asked = ids[: self.look_up_size]
        return LookedUp(self.portal.visible(asked), asked, 200)


class Patient:
    """Never asks for a rest, which a test would have to sit out."""

    def after(self, _failure: Failure, _started_s: float) -> Relief:
        return Relief()

    def calm(self) -> None:
        pass


@dataclass(frozen=True)
class Process:
    """What the lanes of one worker process share."""

    segments: Segments
    forecasts: Forecasts
    kept: KeptRecords

    @classmethod
    def start(cls, redis: ArqRedis) -> "Process":
        return cls(Segments(redis), Forecasts(redis), KeptRecords(redis))

    async def work(
        self,
        ledger: LaneLedger,
        batch: Batch,
        *,
        client: ModelClient,
        planner: Any = None,
        decider: Decider,
        terms: Terms,
    ) -> Settlement:
        """Do what a lane of this process does with a batch, without recording it."""
        dispatcher = Dispatcher(
            ledger=ledger,
            portal=decider.portal,
            conditions=terms.conditions,
            client=cast("PortalClient", client),
            segments=self.segments,
            protected=BitMap(),
            forecasts=self.forecasts,
            kept=self.kept,
            planner=cast("Planner", planner),
            decider=decider,
            push_back=cast("PushBack", Patient()),
            drain=Drain(),
            log=get_logger(),
        )
        return (await dispatcher.work(batch)).settlement
