"""What all lanes of one worker process share: connections, portal clients, the flag that stops them."""

import asyncio
import os
import random
import secrets
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from arq.connections import ArqRedis
from pyroaring import BitMap
from redis.exceptions import RedisError
from structlog.contextvars import bind_contextvars, bound_contextvars, unbind_contextvars

from config.logging import get_logger
from config.settings import Portal, Settings
from jobs.bundles.expiry import destroy_expired
from jobs.bundles.store import BundleStore
from jobs.intake.protected import load_protected
from jobs.lanes import presence
from jobs.lanes.grants import Later, Terms
from jobs.lanes.lease import bound_rests, rescue, reserve_turn
from jobs.lanes.wake import wake_lanes
from jobs.ledger.retention import Forgetter
from jobs.plan.digest import conditions_of
from jobs.schedules.keeper import Keeper
from jobs.store import keys
from jobs.store.clock import Clocks
from jobs.store.connection import AWAY, connect, what_holds
from jobs.store.job_lists import Indexer
from jobs.store.portal_state import PortalState
from jobs.store.trouble import trouble_of, word_for
from jobs.view.ended import note_replicated
from jobs.webhooks.outbox import announce
from jobs.webhooks.wake import wake_couriers
from jobs.words.contact_ids import MAX_CONTACT_ID
from worker.decide import Decider
from worker.dispatch import Dispatcher
from worker.drain import Drain, cancel
from worker.exchange import UNACKNOWLEDGED_S
from worker.fingerprint import fingerprint_of
from worker.forecast import Forecasts
from worker.gatekeeper import Gatekeeper
from worker.kept import KeptRecords
from worker.lane import Ending, Farewell, Lane
from worker.lifeline import Lifeline, group_of
from worker.planner import Planner, planner_for
from worker.portal_client import NoTurn, PortalClient
from worker.push_back import PushBack
from worker.segments import Segments
from worker.token_store import RedisTokenStore
from worker.traced_ledger import abandon, ledger_for
from worker.watch import watch
from worker.webhooks.courier import Courier

#: A worker survives a Redis outage of at least this many seconds.
PATIENCE_S = 150.0
#: After this many seconds a reply is given up: the command is sent again on a new connection.
STALL_S = 10.0

#: How long the call of a worker that died may be on its way, and the portal may then be working on it, before its
#: contact IDs are looked up.
RESCUE_SETTLE_S = UNACKNOWLEDGED_S + 5.0

#: How often a worker that has nothing to forget looks for old jobs and bundles.
FORGET_EVERY_S = 10.0


def connect_patiently(settings: Settings) -> ArqRedis:
    """Return a client that survives an outage or a stalled server."""
    return connect(settings.redis, patience_s=PATIENCE_S, stall_s=STALL_S)


_LONGEST_LOOK_UP = [MAX_CONTACT_ID] * 1000


@dataclass(slots=True)
class _Driven:
    """One portal as this process drives it."""

    portal: Portal
    terms: Terms
    gatekeeper: Gatekeeper
    client: PortalClient
    protected: BitMap
    decider: Decider
    push_back: PushBack
    planner: Planner
    _fingerprint: asyncio.Task[str] | None = None

    async def fingerprint(self) -> str:
        """Return the fingerprint of the settings with which the portal is called."""
        if self._fingerprint is None or (self._fingerprint.done() and self._fingerprint.exception()):
            # Slow on purpose, so the first lanes, which start together, wait for the same one.
            self._fingerprint = asyncio.create_task(asyncio.to_thread(fingerprint_of, self.portal))
        return await asyncio.shield(self._fingerprint)


@dataclass(slots=True)
class Fleet:
    """The lanes of one worker process.

    Args:
        settings: the whole configuration.
        redis: the connection for the ledger; closed with the fleet.
    """

    settings: Settings
    redis: ArqRedis
    drain: Drain = field(default_factory=Drain)
    indexer: Indexer = field(default_factory=Indexer)
    courier: Courier = field(init=False)
    forgetter: Forgetter = field(default_factory=Forgetter)
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}")
    _driven: dict[str, _Driven] = field(default_factory=dict)
    _segments: Segments = field(init=False)
    _forecasts: Forecasts = field(init=False)
    _kept: KeptRecords = field(init=False)
    _running: int = 0
    _forgets_again_s: float = 0.0
    _heart: asyncio.Task[None] | None = None
    _lifeline: Lifeline = field(init=False)
    _clock: asyncio.Task[None] | None = None
    _watch: asyncio.Task[None] | None = None
    _destroying: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._segments = Segments(self.redis)
        self._forecasts = Forecasts(self.redis)
        self.courier = Courier(self.redis, {webhook.name: webhook for webhook in self.settings.webhooks}, self.drain)
        self._kept = KeptRecords(self.redis)
        self._lifeline = Lifeline(
            group_of(self.settings), self.settings.worker.lifeline_s, self._look_after, self.drain
        )

    @classmethod
    def start(cls, settings: Settings) -> "Fleet":
        """Connect, and report this worker as alive until it is closed.

        Raises:
            BadProtectedList: a list of protected contact IDs cannot be read.
        """
        fleet = cls(settings, connect_patiently(settings))
        # Every task of this worker starts after this and inherits it.
        bind_contextvars(worker=fleet.name)
        for portal in settings.portals.values():
            fleet._driven[portal.name] = fleet._prepare(portal)
        fleet._heart = asyncio.create_task(fleet._beat())
        fleet._clock = asyncio.create_task(fleet._keep_schedules())
        portals = tuple(settings.portals)
        fleet._watch = asyncio.create_task(watch(fleet.redis, portals, fleet.rescue, fleet._lifeline))
        return fleet

    async def close(self) -> None:
        """Close all connections; lanes must have ended."""
        for task in filter(None, (self._heart, self._clock, self._watch, self._destroying)):
            await cancel(task)
        await self._lifeline.close()
        for driven in self._driven.values():
            await driven.client.close()
        await self.courier.close()
        try:
            await presence.leave(self.redis, self.name, await self._configurations())
        except (*AWAY, RedisError) as error:
            get_logger().warning("redis_away_at_shutdown", error=word_for(error))
        await self.redis.aclose(close_connection_pool=True)
        unbind_contextvars("worker")

    def free_lanes(self) -> int:
        """Return how many more lanes this process may drive."""
        return self.settings.worker.max_lanes - self._running

    async def drive(self, portal_name: str) -> Farewell:
        """Drive a portal for one slice, then make sure that a lane continues."""
        with bound_contextvars(portal=portal_name):
            return await self._drive(portal_name)

    async def _drive(self, portal_name: str) -> Farewell:
        log = get_logger()
        driven = self._driven.get(portal_name)
        if driven is None:
            log.warning("portal_not_configured")
            return Farewell(Ending.IDLE)
        if self.drain.wanted or not self.free_lanes():
            return Farewell(Ending.BUSY)
        self._running += 1
        try:
            farewell = await self._drive_one_lane(driven)
        finally:
            self._running -= 1
        log.debug("lane_ended", ending=farewell.ending.value, wake_in_s=farewell.wake_in_s)
        if farewell.wake_in_s is not None:
            await wake_lanes(self.redis, portal_name, 1, delay_s=farewell.wake_in_s)
        return farewell

    async def _drive_one_lane(self, driven: _Driven) -> Farewell:
        log = get_logger()
        token = f"{self.name}:{secrets.token_hex(6)}"
        configuration = await driven.fingerprint()
        lease_ttl_s = self.settings.worker.lease_ttl_s
        calls_per_job = self.settings.tracing.calls_per_job
        ledger = ledger_for(
            self.redis, driven.portal.name, token, lease_ttl_s, configuration, calls_per_job=calls_per_job
        )
        dispatcher = Dispatcher(
            ledger=ledger,
            portal=driven.portal,
            conditions=driven.terms.conditions,
            client=driven.client,
            segments=self._segments,
            protected=driven.protected,
            forecasts=self._forecasts,
            kept=self._kept,
            planner=driven.planner,
            decider=driven.decider,
            push_back=driven.push_back,
            drain=self.drain,
            log=log,
        )
        lane = Lane(
            ledger=ledger,
            terms=driven.terms,
            gatekeeper=driven.gatekeeper,
            dispatcher=dispatcher,
            drain=self.drain,
            slice_s=self.settings.worker.slice_s,
            log=log,
        )
        try:
            return await lane.drive()
        finally:
            abandon(ledger)

    async def _look_after(self) -> None:
        """Wake whoever has work, forget old jobs and bundles, keep lists right. A worker that stops leaves that."""
        if self.drain.wanted:
            return
        await self.look_after_portals()
        await wake_couriers(self.redis, [webhook.name for webhook in self.settings.webhooks])
        await self._forget_what_is_old()
        await self.indexer.advance(self.redis)
        await note_replicated(self.redis)

    async def _forget_what_is_old(self) -> None:
        """Forget old jobs and bundles; what has nothing to forget rests for a while."""
        if time.monotonic() < self._forgets_again_s:
            return
        self.look_after_bundles()
        forgotten = await self.forgetter.advance(self.redis, self.settings.retention_days)
        for job_id in forgotten:
            get_logger().info("job_forgotten", job_id=job_id)
        if not forgotten:
            self._forgets_again_s = time.monotonic() + FORGET_EVERY_S

    def look_after_bundles(self) -> None:
        """Have expired bundles destroyed in the background: a store can take its time."""
        if self._destroying is None or self._destroying.done():
            self._destroying = asyncio.create_task(self._destroy_bundles())

    async def _destroy_bundles(self) -> None:
        def store_of(portal_name: str) -> BundleStore | None:
            portal = self.settings.portals.get(portal_name)
            return BundleStore.of(portal) if portal else None

        try:
            for looked in await destroy_expired(self.redis, store_of):
                log = get_logger(portal=looked.portal, job_id=looked.job_id)
                if looked.trouble:
                    log.warning("bundle_not_destroyed", error=looked.trouble)
                else:
                    log.info("bundle_destroyed")
        except (*AWAY, RedisError) as error:
            get_logger().warning("redis_away", error=word_for(error))

    async def rescue(self, lapsed: Mapping[str, bool]) -> None:
        """Rescue the work of dead lanes, and wake lanes in their place.

        Args:
            lapsed: the portals at which lanes have fallen silent, and whether a place became free there.
        """
        free = {portal_name for portal_name, is_free in lapsed.items() if is_free}
        for portal_name in lapsed:
            for batch in await rescue(self.redis, portal_name, RESCUE_SETTLE_S):
                free.add(portal_name)
                get_logger(portal=portal_name).warning(
                    "batch_rescued", job_id=batch.job_id, seq=batch.seq, call=batch.call.name.lower(), size=batch.size
                )
        if free:
            await self._wake_idle(free)

    async def look_after_portals(self) -> None:
        """Wake lanes where there is work and room for them."""
        await self._wake_idle(self.settings.portals)

    async def _wake_idle(self, portal_names: Iterable[str]) -> None:
        for portal_name, idle_lanes in (await self._idle_lanes(portal_names)).items():
            await wake_lanes(self.redis, portal_name, idle_lanes)

    async def _idle_lanes(self, portal_names: Iterable[str]) -> dict[str, int]:
        """Return how many more lanes could work on each of these portals now. Rests that are too long are shortened."""
        portals = {name: self.settings.portals[name] for name in portal_names}
        pipe = self.redis.pipeline(transaction=False)
        Clocks.ask(pipe)
        for portal_name in portals:
            PortalState.ask(pipe, portal_name)
            pipe.zrange(keys.waiting(portal_name), 0, 0, withscores=True)
        replies = iter(await pipe.execute())
        clocks = Clocks.take(replies)
        idle, resting = {}, {}
        for portal_name, portal in portals.items():
            state, soonest = PortalState.take(replies, clocks), next(replies)
            if state.rest:
                resting[portal_name] = self._driven[portal_name].terms.longest_rest_s
            is_due = state.active_jobs or any(due_ms <= clocks.steady_ms for _, due_ms in soonest)
            if is_due and not state.rest and not state.fault:
                idle[portal_name] = state.concurrency(portal.max_concurrency) - state.lanes
        await bound_rests(self.redis, resting)
        return idle

    async def _configurations(self) -> dict[str, str]:
        """Return the fingerprints of the settings with which the portals are called, by portal."""
        driven = self._driven.values()
        fingerprints = await asyncio.gather(*(one.fingerprint() for one in driven))
        return dict(zip((one.portal.name for one in driven), fingerprints, strict=True))

    async def _beat(self) -> None:
        configurations: dict[str, str] = {}
        while True:
            try:
                # The connection is patient for minutes; a reader of the log should not have to be.
                async with asyncio.timeout(presence.BEAT_S):
                    # Before the worker is seen, as nothing may happen that its webhooks are not told of.
                    await self._announce_webhooks()
                    await presence.beat(self.redis, self.name, self.settings.portals, configurations)
            except (*AWAY, RedisError, TimeoutError) as error:
                trouble = trouble_of(what_holds(self.redis, error))
                get_logger().warning("redis_away", error=trouble.reason.word, detail=trouble.what)
            if self._driven and not configurations:
                # Slow on purpose, so it is computed only after this worker has been reported as alive.
                configurations = await self._configurations()
                continue
            await asyncio.sleep(presence.BEAT_S)

    async def _keep_schedules(self) -> None:
        """Look after the schedules until this worker has to stop.

        Every worker does so itself, and none on the turn of the lifeline: schedules are no part of its group's name,
        and the one whose turn it is could always be one that has other schedules, or none.
        """
        keeper = Keeper(self.redis, self.settings)
        ends = not self.settings.schedules
        while not ends:
            try:
                await keeper.look()
            except (*AWAY, RedisError) as error:
                get_logger().warning("redis_away", error=word_for(error))
            except Exception:  # noqa: BLE001 - a bug must not keep the next look from happening
                get_logger().exception("schedules_failed")
            ends = await self.drain.within(self.settings.worker.lifeline_s)

    async def _announce_webhooks(self) -> None:
        for name in await announce(self.redis, self.settings.webhooks):
            get_logger().info("webhook_forgotten", webhook=name)

    def _prepare(self, portal: Portal) -> _Driven:
        protected = load_protected(portal)
        client = PortalClient(portal, RedisTokenStore(self.redis, portal.name), lambda: self._pace(portal.name))
        decider = Decider(portal, random.uniform, protected)
        terms = terms_of(portal, client.look_up_capacity(_LONGEST_LOOK_UP), conditions_of(portal, protected))
        return _Driven(
            portal=portal,
            terms=terms,
            gatekeeper=Gatekeeper(portal),
            client=client,
            protected=protected,
            decider=decider,
            planner=planner_for(self.redis, client, self._segments, decider, terms),
            push_back=PushBack(portal.backoff_base_s, portal.backoff_max_s, portal.retry_after_max_s),
        )

    async def _pace(self, portal_name: str) -> None:
        """Wait for the turn of a call that belongs to no batch.

        Raises:
            NoTurn: the portal asks for a long rest, during which no batch must be held.
        """
        terms = self._driven[portal_name].terms
        while True:
            turn = await reserve_turn(self.redis, portal_name, terms)
            # The rate alone never asks for more than `max_wait_s` of reserved turns and the one after them.
            if isinstance(turn, Later) and turn.wait_s > terms.max_wait_s + max(10.0, turn.interval_s):
                raise NoTurn
            await asyncio.sleep(turn.wait_s)
            if not isinstance(turn, Later):
                return


def terms_of(portal: Portal, look_up_size: int, conditions: str = "") -> Terms:
    """Return a portal's limits in the form that the ledger needs.

    Args:
        portal: the portal's settings.
        look_up_size: how many contact IDs of any length fit into one look-up.
        conditions: under which plans are carried out (jobs/plan/digest.py).
    """
    return Terms(
        requests_per_second=portal.requests_per_second,
        burst=portal.burst,
        batch_size=portal.batch_size_start,
        batch_size_max=portal.batch_size_max,
        look_up_size=look_up_size,
        retry_share=portal.retry_share,
        max_concurrency=portal.max_concurrency,
        longest_rest_s=max(portal.retry_after_max_s, portal.backoff_max_s),
        failure_threshold=portal.failure_threshold,
        failure_threshold_from=portal.failure_threshold_from,
        conditions=conditions,
    )
