"""One run with hosts, from the first host to the verdict."""

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from redis.asyncio import Redis

from chaos import verdict as verdicts
from chaos.evidence import Evidence
from chaos.hosts import ledgers
from chaos.hosts.asides import Asides
from chaos.hosts.calls import Arrival, Calls, judge_resumption, judge_silence
from chaos.hosts.clients import Clients, calling
from chaos.hosts.cluster import PORT, Cluster
from chaos.hosts.failovers import Failovers, acts_possible_on
from chaos.hosts.network import Network
from chaos.hosts.plan import API_HOST, API_PORT, PORTAL_HOST, PORTAL_PORT, SENTINELS, SERVERS, HostsPlan
from chaos.hosts.promotions import Promotion, Promotions
from chaos.hosts.troubles import Troubles
from chaos.stage import Process
from chaos.story import leftovers, unless_failed
from chaos.verdict import Ledger, judge
from simulator.chance import seeded
from simulator.client import SimulatorClient
from simulator.client import connect as connect_to_simulator
from worker.drain import cancel

#: How long the jobs may take to end once nothing disturbs them, and how long nothing may change meanwhile.
_END_WITHIN_S, _STUCK_AFTER_S = 600.0, 90.0
_STARTS_WITHIN_S = 60.0
_TELL_EVERY_S = 15.0
#: Ledgers that the command line reads as well; each takes a process.
_READ_TWICE = 3


@dataclass(kw_only=True)
class HostsOutcome:
    """The result of a run with hosts.

    Attributes:
        agreed: whether everything was as it should be.
        problems: what was not, besides the verdict's disagreements.
        verdict: ledgers against the portal's record, contact by contact.
        promotions: every fail-over.
        calls: who called when, after fail-overs and while cut off.
        misfortunes: how often each happened.
        recovered_s: how long it took each time until the servers had found together again.
        rules: the portal's own faults.
        facts: numbers for the report.
    """

    problems: list[str]
    verdict: verdicts.Verdict
    promotions: list[Promotion]
    calls: Calls
    misfortunes: dict[str, int]
    recovered_s: list[float]
    rules: list[dict[str, Any]]
    started_s: float
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def agreed(self) -> bool:
        """Whether everything was as it should be."""
        return not self.problems and not self.verdict.disagreements


@dataclass(kw_only=True)
class _Cast:
    """Everything that takes part."""

    cluster: Cluster
    portal: SimulatorClient
    session: aiohttp.ClientSession
    clients: Clients
    promotions: Promotions
    troubles: Troubles
    failovers: Failovers
    asides: Asides


@dataclass
class HostsStory:
    """One run.

    Args:
        plan: what happens.
        network: has its hosts.
        directory: keeps data, the configuration and the logs.
    """

    plan: HostsPlan
    network: Network
    directory: Path
    _started_s: float = field(default_factory=time.monotonic)

    async def play(self) -> HostsOutcome:
        """Start everything, let hosts fail and part, let the jobs end, compare."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.network.made())
            cast = await self._cast(stack)
            self._note("everything runs")
            return await self._play(cast)

    # --- setting the stage -----------------------------------------------------------------------------------------

    async def _cast(self, stack: contextlib.AsyncExitStack) -> _Cast:
        cluster = Cluster(self.network, self.directory, SERVERS, SENTINELS)
        await stack.enter_async_context(cluster.running())
        portal_url = f"http://{self.network.address(PORTAL_HOST)}:{PORTAL_PORT}"
        portal_address = ["--host", self.network.address(PORTAL_HOST), "--port", str(PORTAL_PORT)]
        world = [str(part) for option in self.plan.world().items() for part in option]
        simulator = self._process(PORTAL_HOST, "simulator", *portal_address, *world, ready="^listening on ")
        await _start(stack, simulator)
        portal = await stack.enter_async_context(connect_to_simulator(portal_url, timeout_s=120))
        await portal.misbehave(*self.plan.faults())

        text = self.plan.configuration(cluster.url, portal_url, self.network.address(API_HOST))
        self._configuration.write_text(text)
        cli = ("cli", "--config", str(self._configuration))
        api = self._process(API_HOST, *cli, "api")
        workers = {host: self._process(host, *cli, "worker") for host in self.plan.worker_hosts}
        for process in (api, *workers.values()):
            await _start(stack, process)
        api_url = f"http://{self.network.address(API_HOST)}:{API_PORT}"
        session = await stack.enter_async_context(calling(api_url))
        await _ready(session)

        troubles = Troubles()
        promotions = Promotions(cluster, self.network, self.plan.min_replicas)
        failovers = Failovers(
            chance=seeded("failovers", self.plan.seed),
            network=self.network,
            cluster=cluster,
            workers=self.plan.worker_hosts,
            promotions=promotions,
            troubles=troubles,
        )
        asides = Asides(
            chance=seeded("asides", self.plan.seed),
            network=self.network,
            cluster=cluster,
            workers=workers,
            api=api,
            troubles=troubles,
        )
        return _Cast(
            cluster=cluster,
            portal=portal,
            session=session,
            clients=Clients(session, self.plan.submissions(), seeded("clients", self.plan.seed)),
            promotions=promotions,
            troubles=troubles,
            failovers=failovers,
            asides=asides,
        )

    @property
    def _configuration(self) -> Path:
        return self.directory / "crm-sweep.toml"

    def _process(self, host: str, *module: str, ready: str | None = None) -> Process:
        command = self.network.on(host, [sys.executable, "-m", *module])
        return Process(host, command, self.directory / f"{host}.log", ready)

    # --- the run ---------------------------------------------------------------------------------------------------

    async def _play(self, cast: _Cast) -> HostsOutcome:
        clients, failovers = cast.clients, cast.failovers
        helpers = [asyncio.create_task(work) for work in (clients.run(), cast.promotions.run(), self._tell(cast))]
        started_s = time.time()
        try:
            await unless_failed(self._disturb(cast), helpers)
            rules = await cast.portal.clear_faults()
            calm_s = time.time()
            self._note("nothing goes wrong any more")
            clients.is_closing = True
            problems = await unless_failed(self._let_end(cast), helpers)
        finally:
            for helper in helpers:
                await cancel(helper)
        ended_s = time.time()
        await asyncio.sleep(self.plan.latest_commit_s)
        for promise in clients.promises.values():
            await clients.look(promise)
        found, of_ledgers = await self._ledgers(cast)
        problems += clients.problems + failovers.problems + of_ledgers
        problems += await self._left_behind(cast)

        evidence = await Evidence.gather(cast.portal, cast.troubles.disturbances())
        promises = clients.promises.values()
        lists = {promise.job_id: promise.submission.ids for promise in promises if promise.job_id in found}
        cancelled = {promise.job_id for promise in promises if promise.asked_to_cancel}
        verdict = judge(lists, found, evidence, cancelled)
        calls = await self._judge_calls(cast)
        return HostsOutcome(
            problems=problems + calls.problems,
            verdict=verdict,
            promotions=cast.promotions.all,
            calls=calls,
            misfortunes=dict(cast.troubles.counts),
            recovered_s=failovers.recovered_s,
            rules=rules,
            started_s=started_s,
            facts={
                "seconds with misfortunes": calm_s - started_s,
                "seconds from then until all jobs had ended": ended_s - calm_s,
                "calls": evidence.summary["calls"],
                "jobs accepted": sum(promise.accepted_s is not None for promise in promises),
                "plans approved": sum(promise.approved_s is not None for promise in promises),
                "jobs cancelled": sum(promise.cancelled_s is not None for promise in promises),
                "approvals with a wrong digest, refused": clients.refused_approvals,
                "claims that too few replicas had in time, so that nothing was sent": self._unreplicated_claims(),
                "answers of the API": clients.answers,
                "calls of the API without an answer, or with 503": clients.unanswered,
            },
        )

    async def _disturb(self, cast: _Cast) -> None:
        end_s = time.monotonic() + self.plan.minutes * 60
        names = self.plan.acts or acts_possible_on(self.network)
        asides = asyncio.create_task(cast.asides.inject()) if self.plan.asides else None

        def enough() -> bool:
            seen = len(cast.promotions.by_epoch)
            return time.monotonic() > end_s or 0 < self.plan.failovers <= seen

        try:
            await unless_failed(cast.failovers.inject(names, enough), [asides] if asides else [])
        finally:
            if asides:
                await cancel(asides)

    async def _let_end(self, cast: _Cast) -> list[str]:
        """Wait until every job has ended; return what is wrong if they do not."""
        clients = cast.clients
        clients.moved_s = time.monotonic()
        end_s = clients.moved_s + _END_WITHIN_S
        while not clients.all_ended:
            await asyncio.sleep(0.2)
            now_s = time.monotonic()
            if now_s - clients.moved_s > _STUCK_AFTER_S or now_s > end_s:
                return [f"stuck: {_where(clients)}"]
        return []

    # --- the verdict -----------------------------------------------------------------------------------------------

    async def _ledgers(self, cast: _Cast) -> tuple[dict[str, Ledger], list[str]]:
        """Read every ledger over the API, and some from the command line as well."""
        found, problems = {}, []
        for number, promise in enumerate(cast.clients.promises.values()):
            if promise.is_lost:  # a problem of its own
                continue
            if promise.accepted_s is None or promise.job is None:
                problems.append(f"job {promise.job_id} was never accepted, or never seen")
                continue
            text = await ledgers.from_api(cast.session, promise.job_id)
            found[promise.job_id] = ledgers.read(text)
            if number < _READ_TWICE and await ledgers.from_command_line(self._configuration, promise.job_id) != text:
                problems.append(f"job {promise.job_id}: the command line shows another ledger than the API")
        return found, problems

    async def _left_behind(self, cast: _Cast) -> list[str]:
        primary = await cast.cluster.primary()
        async with Redis(host=self.network.address(primary), port=PORT) as redis:
            return await leftovers(redis, [promise.job_id for promise in cast.clients.promises.values()])

    async def _judge_calls(self, cast: _Cast) -> Calls:
        arrivals = [
            Arrival(call["kind"], self.network.host_at(call["address"]), call["at"])
            for call in await cast.portal.calls()
        ]
        found = Calls()
        judge_silence(found, arrivals, cast.troubles)
        if self.network.can_part:  # on loopback all callers have the same address
            judge_resumption(found, arrivals, cast.promotions.all, cast.troubles, self.plan.worker_hosts)
        return found

    def _unreplicated_claims(self) -> int:
        """Return how many claims did not count, as the workers' logs say."""
        logs = (self.directory / f"{host}.log" for host in self.plan.worker_hosts)
        return sum(log.read_text().count("claim_not_replicated") for log in logs)

    def _note(self, what: str) -> None:
        sys.stderr.write(f"{time.monotonic() - self._started_s:7.1f} s  {what}\n")
        sys.stderr.flush()

    async def _tell(self, cast: _Cast) -> None:
        told = told_promotions = 0
        told_s = time.monotonic()
        while True:
            await asyncio.sleep(0.2)
            for trouble in cast.troubles.all[told:]:
                self._note(f"{trouble.name} ({', '.join(sorted(trouble.hosts))})" if trouble.hosts else trouble.name)
                told += 1
            for promotion in cast.promotions.all[told_promotions:]:
                self._note(f"    fail-over {promotion.epoch}: {promotion.old} to {promotion.new}")
                told_promotions += 1
            if time.monotonic() - told_s > _TELL_EVERY_S:
                told_s = time.monotonic()
                self._note(f"    {_where(cast.clients)}")


def _where(clients: Clients) -> str:
    """Return how far the jobs have come, in one line."""
    ended = len(clients.promises) - len(clients.open)
    parts = [
        f"{promise.job_id} {promise.job['state']} ({promise.job['state_reason']}) {promise.job['progress']:.0%}"
        for promise in clients.open
        if promise.job
    ]
    return "; ".join([f"{ended} jobs ended", *parts])


async def _start(stack: contextlib.AsyncExitStack, process: Process) -> None:
    stack.push_async_callback(process.stop)
    await process.start()


async def _ready(session: aiohttp.ClientSession) -> None:
    """Wait until the API answers and reaches Redis."""
    async with asyncio.timeout(_STARTS_WITHIN_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get("/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.2)
