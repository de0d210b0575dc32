"""One run from its first process to its verdict."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arq.connections import ArqRedis
from pyroaring import BitMap
from redis.asyncio import Redis

from chaos import verdict as verdicts
from chaos.campaigns import CAPPED, CAPPED_PORTAL, PROTECTED_TAG, TAG, WINDOWED, WINDOWED_PORTAL
from chaos.evidence import Evidence
from chaos.guarded import Guarded, judge_guards
from chaos.kept import Keys, judge_records, records_in
from chaos.mischief import Mischief
from chaos.people import People
from chaos.plan import KEEPING, LATEST_COMMIT_S, PORTAL, Plan
from chaos.stage import Process, portal_process, redis_process, worker_process
from chaos.verdict import Ledger, judge
from chaos.watch import Watch
from config.redis_url import RedisUrl
from config.settings import Settings, load_settings
from jobs.accept.submission import submission_for
from jobs.accept.submit import submit
from jobs.ledger.export import Format
from jobs.plan.export import read_plan_text
from jobs.store import keys
from jobs.store.connection import connect
from jobs.view.job import Job
from jobs.words.verdicts import Verdict
from simulator.chance import seeded
from simulator.client import connect as connect_to_simulator
from worker.drain import cancel

#: A job in which nothing changes for this long, while nothing disturbs it, is stuck.
_STUCK_AFTER_S = 120.0

#: How long the jobs may take to end once nothing disturbs them.
_END_WITHIN_S = 1200.0

_TELL_EVERY_S = 15.0

#: The names of the portals, all of which lead to the one simulated portal.
PORTALS = (PORTAL, WINDOWED_PORTAL, CAPPED_PORTAL)

#: Disturbances that can make a call leave, or arrive, late.
_DELAYS = {"freeze worker", "freeze redis", "freeze portal", "kill redis", "log out everywhere", "turn everybody away"}


@dataclass(kw_only=True)
class Outcome:
    """The result of a run."""

    verdict: verdicts.Verdict
    problems: list[str]
    rules: list[dict[str, Any]]
    misfortunes: dict[str, int]
    summary: dict[str, Any]
    polls: int
    snapshots: int
    busiest_second: tuple[int, float]
    peak_in_flight: int
    seconds: dict[str, float]

    @property
    def agreed(self) -> bool:
        """Whether everything was as it should be."""
        return not self.problems and not self.verdict.disagreements


@dataclass
class Story:
    """One run.

    Args:
        plan: what happens.
        directory: keeps Redis' data, the configuration, the bundles and the logs.
        keys: bundles are encrypted to these.
    """

    plan: Plan
    directory: Path
    keys: Keys = field(default_factory=Keys)
    _started_s: float = field(default_factory=time.monotonic)

    async def play(self) -> Outcome:
        """Start everything, let things go wrong, let the jobs end, compare."""
        async with contextlib.AsyncExitStack() as stack:
            redis_server, redis_url = redis_process(self.directory)
            await _start(stack, redis_server)
            simulator = portal_process(self.directory, self.plan.world())
            await _start(stack, simulator)
            portal_url = simulator.said.removeprefix("listening on ").strip()
            configuration = self.directory / "crm-sweep.toml"
            store = self.directory / "undo"
            store.mkdir(mode=0o700)
            configuration.write_text(self.plan.configuration(redis_url, portal_url, str(store), self.keys.public))
            workers = [worker_process(self.directory, configuration, number) for number in range(self.plan.workers)]
            for worker in workers:
                await _start(stack, worker)
            portal = await stack.enter_async_context(connect_to_simulator(portal_url, timeout_s=120))
            redis = await stack.enter_async_context(_connected(redis_url))
            settings = load_settings(configuration, {})
            people = People(chance=seeded("people", self.plan.seed), redis=redis, settings=settings)
            mischief = Mischief(
                chance=seeded("mischief", self.plan.seed),
                redis=redis,
                portal=portal,
                portal_settings=settings.portal(PORTAL),
                redis_process=redis_server,
                portal_process=simulator,
                workers=workers,
                jobs=[*self.plan.lists(), CAPPED, *self.plan.campaigns.planned, *self.plan.campaigns.selections],
                people=people,
                note=self._note,
            )
            return await self._play(redis, mischief)

    async def _play(self, redis: ArqRedis, mischief: Mischief) -> Outcome:
        portal, people, campaigns = mischief.portal, mischief.people, self.plan.campaigns
        await portal.change_world(tag={TAG: list(campaigns.tagged)})
        await portal.behave(edits_per_s=2.0, edit_ids=campaigns.edited(), edit_tags=[TAG, PROTECTED_TAG])
        await portal.misbehave(*self.plan.faults())
        await self._submit(redis, people.settings)
        watch = Watch(redis, mischief.jobs)
        helpers = [asyncio.create_task(work) for work in (watch.run(), mischief.heal(), self._tell(watch))]
        started_s = time.monotonic()
        try:
            await unless_failed(mischief.inject(self.plan.minutes * 60, lambda: watch.all_ended), helpers)
            rules = await portal.clear_faults()
            people.is_calm = True
            await portal.behave(edits_per_s=0.0)
            calm_s = time.monotonic()
            self._note("nothing goes wrong any more")
            problems = await unless_failed(self._let_end(watch, redis), helpers)
        finally:
            for helper in helpers:
                await cancel(helper)
        ended_s = time.monotonic()
        await asyncio.sleep(LATEST_COMMIT_S + 1)
        ledgers = {job_id: Ledger.read(await watch.compare(job_id)) for job_id in mischief.jobs}
        problems += watch.problems + mischief.problems + people.problems + await leftovers(redis, mischief.jobs)
        evidence = await Evidence.gather(portal, mischief.disturbances)
        plain = self.plan.lists() | {CAPPED: campaigns.capped}
        selected = {job_id: BitMap(ledgers[job_id].at_ms) for job_id in campaigns.selections}
        verdict = judge(plain | campaigns.planned | selected, ledgers, evidence)
        verdict.counts["approvals with a wrong digest, refused"] = people.refused
        guarded = Guarded(
            lists=plain,
            deletable=await plans_of(redis, watch.latest.values()),
            approved_s=people.approved_s,
            portals={WINDOWED_PORTAL: campaigns.planned[WINDOWED], CAPPED_PORTAL: campaigns.capped},
            ordinary=PORTAL,
            stops=people.stops,
            windowed=WINDOWED_PORTAL,
            open_times=[*campaigns.schedule.open_times(), *people.openings],
            capped=CAPPED_PORTAL,
            cap=campaigns.cap,
            delays=[(one.start_s, one.end_s + 1) for one in mischief.disturbances if one.name in _DELAYS],
        )
        judge_guards(verdict, evidence.puts(), guarded)
        records, of_bundles = await records_in(self.directory / "undo", self.keys)
        problems += of_bundles
        judge_records(verdict, evidence.puts(), guarded, BitMap.union(BitMap(), *records.values()), KEEPING)
        return Outcome(
            verdict=verdict,
            problems=problems,
            rules=rules,
            misfortunes=dict(mischief.counts),
            summary=evidence.summary,
            polls=watch.polls,
            snapshots=watch.snapshots,
            busiest_second=evidence.busiest_second(),
            peak_in_flight=evidence.peak_in_flight(mischief.disturbances),
            seconds={"disturbed": calm_s - started_s, "to the end after that": ended_s - calm_s},
        )

    async def _submit(self, redis: ArqRedis, settings: Settings) -> None:
        """Submit every job."""
        campaigns = self.plan.campaigns
        portals = {WINDOWED: WINDOWED_PORTAL, CAPPED: CAPPED_PORTAL}

        async def take(job_id: str, ids: BitMap, **facts: Any) -> None:
            portal = settings.portal(portals.get(job_id, PORTAL))
            await submit(redis, submission_for(portal, ids, by="chaos", job_id=job_id, **facts))

        for job_id, ids in (self.plan.lists() | {CAPPED: campaigns.capped}).items():
            await take(job_id, ids)
        for job_id, ids in campaigns.planned.items():
            await take(job_id, ids, plan=True)
        for job_id, selection in campaigns.selections.items():
            await take(job_id, BitMap(), selection=selection)

    async def _let_end(self, watch: Watch, redis: Redis) -> list[str]:
        """Wait until every job has ended; return what is wrong if they do not."""
        watch.moved_s = time.monotonic()
        end_s = watch.moved_s + _END_WITHIN_S
        while not watch.all_ended:
            await asyncio.sleep(0.5)
            now_s = time.monotonic()
            if now_s - watch.moved_s > _STUCK_AFTER_S or now_s > end_s:
                facts = await state_of(redis, watch.jobs)
                (self.directory / "stuck.json").write_text(json.dumps(facts, indent=2))
                return [f"stuck: {watch.where()}; what Redis holds about them is in stuck.json"]
        return []

    def _note(self, what: str) -> None:
        sys.stderr.write(f"{time.monotonic() - self._started_s:7.1f} s  {what}\n")
        sys.stderr.flush()

    async def _tell(self, watch: Watch) -> None:
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            self._note(f"    {watch.where()}")


async def plans_of(redis: ArqRedis, jobs: Collection[Job]) -> dict[str, BitMap]:
    """Return which contacts the plans call deletable, by job; of jobs without a plan nothing."""
    deletable = {}
    for job in jobs:
        if job.plan:
            found = deletable[job.id] = BitMap()
            async for text, _ in read_plan_text(redis, job.id, Format.NDJSON, Verdict.DELETABLE):
                found |= BitMap(json.loads(line)["contact_id"] for line in text.splitlines())
    return deletable


async def _start(stack: contextlib.AsyncExitStack, process: Process) -> None:
    stack.push_async_callback(process.stop)
    await process.start()


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[ArqRedis]:
    redis = connect(RedisUrl(url), patience_s=60.0)
    try:
        yield redis
    finally:
        await redis.aclose(close_connection_pool=True)


async def unless_failed(work: Any, helpers: Collection["asyncio.Task[None]"]) -> Any:
    """Do the work, unless a helper fails, which must not go unnoticed."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task, *helpers], return_when=asyncio.FIRST_COMPLETED)
        for helper in helpers:
            if helper.done():
                helper.result()
        return await task
    finally:
        await cancel(task)  # while the run is being ended, nothing may restart its processes


async def leftovers(redis: Redis, job_ids: list[str]) -> list[str]:
    """Return what Redis should no longer hold of jobs that have ended."""
    found, suspects = [], [key(name) for name in PORTALS for key in (keys.claims, keys.active, keys.waiting)]
    for job_id in job_ids:
        suspects += [keys.items(job_id), keys.due_put(job_id), keys.due_look_up(job_id), keys.sample(job_id)]
        inflight = await redis.execute_command("HGET", keys.job(job_id), "inflight")
        if int(inflight or 0):
            found.append(f"job {job_id} has ended with {int(inflight)} batches in flight")
    return found + [f"left behind: {key}" for key in suspects if await redis.exists(key)]


async def state_of(redis: Redis, job_ids: list[str]) -> dict[str, str]:
    """Return everything that Redis holds about the jobs and their portal except contact IDs, for a post-mortem."""
    hashes = [keys.STOPPED, *(key(name) for name in PORTALS for key in (keys.portal, keys.claims))]
    hashes += [key(job_id) for job_id in job_ids for key in (keys.job, keys.items)]
    zsets = [key(name) for name in PORTALS for key in (keys.active, keys.waiting, keys.leases)]
    zsets += [keys.QUEUE, keys.WORKERS]
    zsets += [key(job_id) for job_id in job_ids for key in (keys.due_put, keys.due_look_up)]
    facts = {key: repr(await redis.execute_command("HGETALL", key)) for key in hashes}
    facts.update({key: repr(await redis.zrange(key, 0, -1, withscores=True)) for key in zsets})
    facts["time"] = repr(await redis.time())
    return facts
