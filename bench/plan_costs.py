"""What a plan costs: calls, time, the worker's memory and bytes in Redis."""

import asyncio
import contextlib
import dataclasses
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import psutil
from arq.connections import ArqRedis
from pyroaring import BitMap

from bench.contact_lists import contact_list
from bench.load import Load
from bench.measure import peak_rss_bytes
from bench.ours import PORTAL, environment_for, settings_for
from bench.planned import EVERYTHING, approve, planned, start_plan
from bench.process import Child, embedded_redis, module
from bench.redis_memory import footprint
from bench.rounds import MODELS, stub_portal
from bench.simulated import simulated_portal
from bench.storage import ended
from jobs.plan.summary import Planning
from jobs.plan.verdicts import pack
from jobs.store.connection import connect
from jobs.view.job import Job
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.outcomes import Outcome
from jobs.words.verdicts import VerdictCode

_IDLE_S = 2.0
_LANES = 8
_RUN_TIMEOUT_S = 3600.0
_USUAL_CHARS = 8000
#: Request lines so short that look-ups cost more calls than the listing.
_FEW_CHARS = 400


@dataclass(frozen=True)
class Plan:
    """What one plan took, and its run if it was carried out."""

    contacts: int
    portal_contacts: int
    way: str  #: by which the contacts were read
    calls: dict[str, int]  #: by kind, as the portal counted them
    plan_s: float  #: from the submission until the plan stood
    counts: dict[str, int]  #: contacts by verdict
    redis_bytes: dict[str, int]  #: by kind of key, when the plan stood
    worker_idle_rss_bytes: int
    worker_peak_rss_bytes: int  #: until the plan stood
    run_s: float | None = None  #: from the approval until the job was completed
    run_peak_rss_bytes: int | None = None  #: until then

    @property
    def worker_growth_bytes(self) -> int:
        """How far the worker's peak is above its memory when idle, the run included."""
        return (self.run_peak_rss_bytes or self.worker_peak_rss_bytes) - self.worker_idle_rss_bytes

    def bytes_per_contact(self, kind: str) -> float:
        """Return the bytes of one kind of keys per contact of the job."""
        return self.redis_bytes.get(kind, 0) / self.contacts

    def as_json(self) -> dict[str, Any]:
        """Return every measurement."""
        return {**dataclasses.asdict(self), "worker_growth_bytes": self.worker_growth_bytes}


async def of_lists(contacts: int, portal_contacts: int, *, seed: int) -> list[Plan]:
    """Plan a list of a portal's contacts: the way that the program chooses, and the other one.

    Raises:
        RuntimeError: a plan was not made.
    """
    ids = contact_list(contacts, portal_contacts, seed=seed)
    few = max(1, portal_contacts // 100)
    plans = []
    async with simulated_portal() as portal:
        for most_chars in (_USUAL_CHARS, _FEW_CHARS):
            await portal.reset(contacts=portal_contacts, read_only=few, invoiced=few, missing=few, seed=seed)
            async with embedded_redis() as redis_url:
                load = Load(portal.url, redis_url, contacts, 1000, _LANES)
                limit = {f"CRM_SWEEP_PORTALS__{PORTAL.upper()}__LOOKUP_URL_MAX_CHARS": str(most_chars)}
                started = module("cli", "worker", environment=environment_for(load) | limit, ready="worker_started")
                async with _connected(load) as redis, started as worker:
                    plan, _ = await _plan(redis, load, worker, ids=ids)
            calls = (await portal.summary())["calls_by_kind"]
            plans.append(dataclasses.replace(plan, portal_contacts=portal_contacts, calls=calls))
    return plans


async def of_everything(contacts: int) -> Plan:
    """Plan and delete every contact of a portal that answers immediately.

    Raises:
        RuntimeError: a contact was not planned, or not deleted.
    """
    async with (
        embedded_redis() as redis_url,
        stub_portal(MODELS["zero"], element_bytes=610, listing=contacts) as portal_url,
    ):
        load = Load(portal_url, redis_url, contacts, 1000, _LANES)
        async with _connected(load) as redis, module("bench.ours", load.as_argument()) as worker:
            plan, job = await _plan(redis, load, worker)
            started_s = time.monotonic()
            await approve(redis, job, load)
            job = await ended(redis, job.id, timeout_s=_RUN_TIMEOUT_S)
            run_s = time.monotonic() - started_s
            peak_bytes = peak_rss_bytes(psutil.Process(worker.pid))
    if job.counts[Outcome.DELETED] != contacts:
        raise RuntimeError(f"{contacts} contacts: {job.counts}")
    return dataclasses.replace(plan, run_s=run_s, run_peak_rss_bytes=peak_bytes)


async def _plan(redis: ArqRedis, load: Load, worker: Child, *, ids: BitMap | None = None) -> tuple[Plan, Job]:
    """Plan a list, or everything that the portal has."""
    await asyncio.sleep(_IDLE_S)  # an idle worker has polled for a while
    idle_bytes, started_s = psutil.Process(worker.pid).memory_info().rss, time.monotonic()
    job_id = await start_plan(redis, load, ids=ids, selection=None if ids else EVERYTHING)
    seen: list[Planning] = []
    job = await planned(redis, job_id, seen=seen)
    plan_s = time.monotonic() - started_s
    peak_bytes = peak_rss_bytes(psutil.Process(worker.pid))
    assert job.plan
    plan = Plan(
        contacts=job.total,
        portal_contacts=job.plan.portal_total,
        way=next((one.way for one in reversed(seen) if one.way), "unknown"),
        calls={"survey": seen[-1].calls} if seen else {},
        plan_s=plan_s,
        counts={verdict.value: count for verdict, count in job.plan.counts.items()},
        redis_bytes=(await footprint(redis, job_id)).by_kind,
        worker_idle_rss_bytes=idle_bytes,
        worker_peak_rss_bytes=peak_bytes,
    )
    return plan, job


@contextlib.asynccontextmanager
async def _connected(load: Load) -> AsyncIterator[ArqRedis]:
    redis = connect(settings_for(load).redis.url)
    try:
        yield redis
    finally:
        await redis.aclose(close_connection_pool=True)


async def worst_case(contacts: int, *, seed: int) -> float:
    """Return the bytes per contact in Redis of verdicts of all kinds, mixed at random."""
    codes, rng = [code for code in VerdictCode if code], random.Random(seed)
    async with embedded_redis() as redis_url:
        load = Load("http://127.0.0.1", redis_url, contacts, 1, 1)
        async with _connected(load) as redis:
            for number, start in enumerate(range(0, contacts, SEGMENT_SIZE)):
                some = bytes(rng.choices(codes, k=min(SEGMENT_SIZE, contacts - start)))
                await redis.execute_command("HSET", "verdicts", str(number), pack(some))
            size: int = await redis.memory_usage("verdicts", samples=0)
    return size / contacts
