"""Jobs that keep bundles, on a simulated portal, and the comparison of bundles with what was there."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from config.settings import Settings
from jobs.bundles.manifest import Manifest
from jobs.bundles.record import Record
from jobs.bundles.store import BundleStore
from jobs.lanes.gates import Gates
from jobs.lanes.grants import Batch, Turn
from jobs.lanes.lease import LaneLedger, rescue
from jobs.lanes.settlement import Settlement
from jobs.ledger.items import Call
from jobs.store import keys
from simulator.participation import Case, Opportunity
from tests.support.bundles import PUBLIC_KEY, records_in
from tests.support.lanes import terms
from tests.support.sweeping import PORTAL, portal_settings, settings_of
from worker.decide import Decider
from worker.exchange import always
from worker.planner import planner_for
from worker.portal_client import PortalClient
from worker.segments import Segments
from worker.survey_job import Stepped
from worker.token_store import RedisTokenStore


def keeping_settings(server: EmbeddedServer, portal: simulator.Portal, store: Path, **limits: Any) -> Settings:
    """Return settings for a simulated portal that keeps the records of every job's contacts."""
    usual = {"undo": "required", "undo_store": str(store), "undo_recipients": (PUBLIC_KEY,)}
    return settings_of(server, portal, **(usual | limits))


async def kept_of(place: Path, job_id: str) -> tuple[Manifest, dict[int, Record]]:
    """Return the manifest of a job's bundle, and its records by contact ID."""
    manifest, records = await records_in(BundleStore.at(str(place)), job_id)
    by_id = {record.contact["id"]: record for record in records}
    assert len(by_id) == len(records) == manifest.contacts, "a contact has more than one record"
    assert [*by_id] == sorted(by_id), "records are in ascending order"
    return manifest, by_id


def links_of(world: simulator.World, contact_id: int) -> tuple[list[tuple[int, str, bool]], list[tuple[int, str]]]:
    """Return what a contact takes part in, as a record must tell it: opportunities, and cases."""
    taking_part = world.participation
    deals: Iterable[Opportunity] = taking_part.opportunities.values()
    cases: Iterable[Case] = taking_part.cases.values()
    return (
        sorted(
            (deal.id, deal.title, deal.contact_id == contact_id)
            for deal in deals
            if contact_id in deal.members or deal.contact_id == contact_id
        ),
        sorted((case.id, case.title) for case in cases if contact_id in case.members),
    )


def links_in(record: Record) -> tuple[list[tuple[int, str, bool]], list[tuple[int, str]]]:
    """Return what a record tells of that."""
    return (
        [(deal.id, deal.title, deal.is_main) for deal in record.opportunities],
        [(case.id, case.title) for case in record.cases],
    )


def calls_before_the_first_put(portal: simulator.Portal) -> Sequence[str]:
    """Return the kinds of the calls that a portal got before the first PUT."""
    kinds = [call.kind for call in portal.truth.calls]
    return kinds[: kinds.index("delete")] if "delete" in kinds else kinds


class Process:
    """A worker process that takes the steps of bundles one by one, and can die between any two of its deeds."""

    def __init__(self, redis: ArqRedis, portal: simulator.Portal, store: BundleStore, name: str, **limits: Any) -> None:
        usual: dict[str, Any] = {"undo": "required", "undo_store": "memory", "undo_recipients": (PUBLIC_KEY,)}
        self.settings = portal_settings(portal, **(usual | limits))
        self.redis, self.name = redis, name
        self.client = PortalClient(self.settings, RedisTokenStore(redis, PORTAL), _no_pace)
        self.terms = terms(gates=Gates(undo_required=True))
        decider = Decider(self.settings, uniform=lambda _low, _high: 0.0)
        self.planner = planner_for(
            redis, self.client, Segments(redis), decider, self.terms, open_store=lambda _portal: store
        )
        self.lane: LaneLedger | None = None
        self._lanes = 0

    async def take(self, call: Call = Call.SURVEY) -> Batch | None:
        """Take the next batch, with a lane of its own; None if there is none for this process now."""
        if self.lane is None:
            self._lanes += 1
            self.lane = LaneLedger(self.redis, PORTAL, f"{self.name}:{self._lanes}", 600.0)
            assert await self.lane.acquire(10)
        while True:
            grant = await self.lane.next_batch(self.terms)
            if isinstance(grant, Batch):
                assert grant.call is call, grant
                return grant
            if not isinstance(grant, Turn):
                self.lane = None
                return None

    async def step(self, batch: Batch, *, is_last: bool = False) -> Stepped:
        """Take the step, without recording it."""
        return await self.planner.step(batch, always, lambda: is_last)

    async def record(self, batch: Batch, stepped: Stepped) -> bool:
        """Record a step; return whether it still was this lane's to record."""
        assert self.lane is not None
        settlement = Settlement(survey=stepped.step, last_error=stepped.error, stop=stepped.stop)
        return await self.lane.settle(batch, settlement)

    async def die(self) -> None:
        """Fall silent with whatever is held; another worker's lifeline rescues it."""
        if self.lane is not None:
            await self.redis.zrem(keys.leases(PORTAL), f"{self.name}:{self._lanes}")
            self.lane = None
        await rescue(self.redis, PORTAL, 0.0)
        await self.client.close()


async def _no_pace() -> None:
    pass
