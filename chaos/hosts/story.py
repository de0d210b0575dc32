"""One run with hosts, from the first host to the verdict."""

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from chaos.hosts.cast import Cast, start
from chaos.hosts.clients import Clients
from chaos.hosts.failovers import acts_possible_on
from chaos.hosts.network import Network
from chaos.hosts.outcome import Course, HostsOutcome, judged
from chaos.hosts.plan import HostsPlan
from chaos.story import unless_failed
from worker.drain import cancel

#: How long the jobs may take to end once nothing disturbs them, and how long nothing may change meanwhile.
_END_WITHIN_S, _STUCK_AFTER_S = 600.0, 90.0
_TELL_EVERY_S = 15.0


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
            cast = await start(stack, self.plan, self.network, self.directory)
            self._note("everything runs")
            course = await self._play(cast)
            await asyncio.sleep(self.plan.latest_commit_s)
            return await judged(cast, self.plan, self.network, course)

    async def _play(self, cast: Cast) -> Course:
        """Let things go wrong, then let all jobs end."""
        works = (cast.clients.run(), cast.promotions.run(), cast.watch(), self._tell(cast))
        helpers = [asyncio.create_task(work) for work in works]
        started_s = time.time()
        try:
            await unless_failed(self._disturb(cast), helpers)
            rules = await cast.portal.clear_faults()
            calm_s = time.time()
            self._note("nothing goes wrong any more")
            cast.clients.is_closing = True
            stuck = await unless_failed(_let_end(cast.clients), helpers)
        finally:
            for helper in helpers:
                await cancel(helper)
        return Course(started_s=started_s, calm_s=calm_s, ended_s=time.time(), rules=rules, stuck=stuck)

    async def _disturb(self, cast: Cast) -> None:
        end_s = time.monotonic() + self.plan.minutes * 60
        names = self.plan.acts or acts_possible_on(self.network)
        is_over = asyncio.Event()
        asides = asyncio.create_task(cast.asides.inject(is_over)) if self.plan.asides else None

        def enough() -> bool:
            return time.monotonic() > end_s or 0 < self.plan.failovers <= len(cast.promotions.by_epoch)

        try:
            await unless_failed(cast.failovers.inject(names, enough), [asides] if asides else [])
            is_over.set()
            if asides:
                await asides
        finally:
            if asides:
                await cancel(asides)

    def _note(self, what: str) -> None:
        sys.stderr.write(f"{time.monotonic() - self._started_s:7.1f} s  {what}\n")
        sys.stderr.flush()

    async def _tell(self, cast: Cast) -> None:
        """Report every misfortune and every fail-over, and now and then how far the jobs have come."""
        misfortunes = failovers = 0
        told_s = time.monotonic()
        while True:
            await asyncio.sleep(0.2)
            for trouble in cast.troubles.all[misfortunes:]:
                self._note(f"{trouble.name} ({', '.join(sorted(trouble.hosts))})" if trouble.hosts else trouble.name)
                misfortunes += 1
            for promotion in cast.promotions.all[failovers:]:
                self._note(f"    fail-over {promotion.epoch}: {promotion.old} to {promotion.new}")
                failovers += 1
            if time.monotonic() - told_s > _TELL_EVERY_S:
                told_s = time.monotonic()
                self._note(f"    {_where(cast.clients)}")


async def _let_end(clients: Clients) -> list[str]:
    """Wait until every job has ended; return what is wrong if they do not."""
    clients.moved_s = time.monotonic()
    end_s = clients.moved_s + _END_WITHIN_S
    while not clients.all_ended:
        await asyncio.sleep(0.2)
        now_s = time.monotonic()
        if now_s - clients.moved_s > _STUCK_AFTER_S or now_s > end_s:
            return [f"stuck: {_where(clients)}"]
    return []


def _where(clients: Clients) -> str:
    """Return how far the jobs have come, in one line."""
    parts = [
        f"{promise.job_id} {promise.job['state']} ({promise.job['state_reason']}) {promise.job['progress']:.0%}"
        for promise in clients.open
        if promise.job
    ]
    return "; ".join([f"{len(clients.promises) - len(clients.open)} jobs ended", *parts])
