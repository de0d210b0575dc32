"""Planning workers that are killed: what that costs in calls and time, and whether the plan is still the truth."""

import asyncio
import contextlib
import os
import random
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
from arq.connections import ArqRedis
from pyroaring import BitMap

from bench.load import Load
from bench.ours import environment_for, settings_for
from bench.planned import planned, start_plan
from bench.process import Child, module, redis_server
from bench.simulated import simulated_portal
from jobs.ledger.export import Format
from jobs.plan.export import read_plan_text
from jobs.store.connection import connect
from jobs.words.verdicts import Verdict
from simulator.client import SimulatorClient

_LANES = 4
_BASE_MS = 100.0
_PAGE = 250


@dataclass(frozen=True)
class Killed:
    """One plan whose workers were killed."""

    contacts: int
    kills: int
    redis_kills: int
    calls_undisturbed: int
    calls: int
    plan_s: float  #: the kills included
    untrue: int  #: contacts whose verdict is not the truth, or that have none

    @property
    def ratio(self) -> float:
        """Calls, divided by those of a plan without any kill."""
        return self.calls / self.calls_undisturbed


@dataclass(frozen=True)
class _Scene:
    """A portal, and what happens while a worker plans a list of its contacts."""

    portal: SimulatorClient
    contacts: int
    faults: list[str]
    calls: int  #: expected of the whole plan
    random: random.Random


async def killed(contacts: int, kills: int, redis_kills: int, *, seed: int) -> Killed:
    """Plan a list once undisturbed, and once with workers, and Redis, killed (SIGKILL) evenly along the way."""
    rng, few = random.Random(seed), max(1, contacts // 50)
    faults = rng.sample(["worker"] * kills + ["redis"] * redis_kills, kills + redis_kills)
    world = {"contacts": contacts, "read_only": few, "invoiced": few, "missing": few, "invisible": few, "seed": seed}
    async with simulated_portal() as portal:
        await portal.behave(page_limit=_PAGE)
        await portal.reset(**world)
        await _one_plan(_Scene(portal, contacts, [], 0, rng))
        undisturbed = (await portal.summary())["calls"]
        await portal.reset(**world)
        await portal.behave(base_ms=_BASE_MS)
        started_s = time.monotonic()
        untrue = await _one_plan(_Scene(portal, contacts, faults, undisturbed, rng))
        plan_s = time.monotonic() - started_s
        calls = (await portal.summary())["calls"]
    return Killed(contacts, kills, redis_kills, undisturbed, calls, plan_s=plan_s, untrue=untrue)


async def _one_plan(scene: _Scene) -> int:
    """Plan with the scene's faults; return how many contacts got a verdict that is not the truth."""
    ids = BitMap(range(1, scene.contacts + scene.contacts // 100))
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-plan-")))
        server, redis_url = await stack.enter_async_context(redis_server(directory, durable=True))
        load = Load(scene.portal.url, redis_url, scene.contacts, 1000, _LANES)
        redis = connect(settings_for(load).redis.url, patience_s=60)
        stack.push_async_callback(redis.aclose, close_connection_pool=True)
        job_id = await start_plan(redis, load, ids=ids)
        worker = await stack.enter_async_context(_worker(load))
        for number, fault in enumerate(scene.faults, 1):
            await _arrived(scene.portal, scene.calls * number // (len(scene.faults) + 1))
            await asyncio.sleep(scene.random.uniform(0, _BASE_MS / 1000))
            fell = worker if fault == "worker" else server
            os.kill(fell.pid, signal.SIGKILL)
            await fell.gone(10)
            if fault == "worker":
                worker = await stack.enter_async_context(_worker(load))
            else:
                server, _ = await stack.enter_async_context(redis_server(directory, durable=True))
        await planned(redis, job_id)
        return await _untrue(redis, job_id, ids, scene.portal)


def _worker(load: Load) -> contextlib.AbstractAsyncContextManager[Child]:
    return module("cli", "worker", environment=environment_for(load), ready="worker_started")


async def _arrived(portal: SimulatorClient, calls: int) -> None:
    async with asyncio.timeout(120):
        while (await portal.summary())["calls"] < calls:  # noqa: ASYNC110  # only the portal knows
            await asyncio.sleep(0.02)


async def _untrue(redis: ArqRedis, job_id: str, ids: BitMap, portal: SimulatorClient) -> int:
    found = {verdict: BitMap() for verdict in Verdict}
    async for text, _ in read_plan_text(redis, job_id, Format.NDJSON):
        for line in text.splitlines():
            entry = msgspec.json.decode(line)
            found[Verdict(entry["verdict"])].add(entry["contact_id"])
    visible = (await portal.contacts("alive") - await portal.contacts("invisible")) & ids
    read_only = await portal.contacts("read_only") & visible
    invoiced = await portal.contacts("invoiced") & visible - read_only
    truth = {
        Verdict.DELETABLE: visible - read_only - invoiced,
        Verdict.READ_ONLY: read_only,
        Verdict.HAS_INVOICE: invoiced,
        Verdict.ABSENT: ids - visible,
        Verdict.PROTECTED: BitMap(),
    }
    return len(BitMap.union(BitMap(), *(found[verdict] ^ truth[verdict] for verdict in Verdict)))
