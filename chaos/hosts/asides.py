"""The misfortunes of workers, the API and the network, at any moment, also while servers fail over."""

import asyncio
import contextlib
import random
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from chaos.hosts.cluster import Cluster
from chaos.hosts.network import Network, Pair, pairs
from chaos.hosts.plan import API_HOST, LEASE_S, PORTAL_HOST
from chaos.hosts.troubles import Troubles
from chaos.stage import Process

#: Names that the judge looks for.
CUT_OFF_FROM_REDIS = "cut a worker off from Redis"

#: A worker that was started again needs this long until it works.
_STARTS_WITHIN_S = 10.0
_DELAYS_MS = (20, 150)

#: What can happen, and how often compared with the rest.
Acts = dict[Callable[[], Coroutine[Any, Any, None]], int]


@dataclass(kw_only=True)
class Asides:
    """Disturbs whatever is not a server.

    Attributes:
        chance: decides what and when.
        network: has the hosts.
        cluster: the servers and Sentinels.
        workers: the workers' processes by host.
        api: the API's process.
        troubles: gets every misfortune.
    """

    chance: random.Random
    network: Network
    cluster: Cluster
    workers: Mapping[str, Process]
    api: Process
    troubles: Troubles

    async def inject(self, is_over: asyncio.Event) -> None:
        """Make things go wrong at random moments, until told that it is over; then mend what is still broken."""
        anywhere: Acts = {self.kill_worker: 3, self.freeze_worker: 2, self.restart_api: 1}
        parting: Acts = {
            self.cut_worker_off_from_redis: 4,
            self.cut_worker_off_from_portal: 2,
            self.cut_api_off_from_redis: 2,
            self.slow_down: 4,
        }
        acts = anywhere | (parting if self.network.can_part else {})
        async with asyncio.TaskGroup() as group:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.chance.uniform(2.0, 7.0)):
                        await is_over.wait()
                    break
                [act] = self.chance.choices(list(acts), list(acts.values()))
                group.create_task(act())

    async def kill_worker(self) -> None:
        """Kill a worker (SIGKILL), and start another one in its place."""
        host, worker = self._worker()
        async with worker.lock:
            with self.troubles.of("kill a worker", [host]):
                await worker.kill()
                await asyncio.sleep(self.chance.uniform(0.0, 3.0))
                await worker.start()
                # A worker that finds no Redis ends at once; whatever supervises it starts it again, as here.
                while await worker.ended(_STARTS_WITHIN_S):
                    await worker.stop()
                    await worker.start()

    async def freeze_worker(self) -> None:
        """Freeze a worker for longer than a lease, so that it comes back as a zombie."""
        host, worker = self._worker()
        async with worker.lock:
            with self.troubles.of("freeze a worker", [host]):
                worker.signal(signal.SIGSTOP)
                await asyncio.sleep(LEASE_S + self.chance.uniform(1.0, 6.0))
                worker.signal(signal.SIGCONT)

    async def restart_api(self) -> None:
        """Kill the API and start it again."""
        async with self.api.lock:
            with self.troubles.of("kill the API", [API_HOST]):
                await self.api.kill()
                await asyncio.sleep(self.chance.uniform(0.0, 2.0))
                await self.api.start()

    async def cut_worker_off_from_redis(self) -> None:
        """Cut a worker off from servers and Sentinels for longer than a lease; it still reaches the portal."""
        host, worker = self._worker()
        async with worker.lock:
            cut_s = LEASE_S + self.chance.uniform(3.0, 8.0)
            await self._cut(CUT_OFF_FROM_REDIS, host, pairs([host], self._redis()), cut_s)

    async def cut_worker_off_from_portal(self) -> None:
        """Cut a worker off from the portal; it still reaches Redis."""
        host, worker = self._worker()
        async with worker.lock:
            parted = pairs([host], [PORTAL_HOST])
            await self._cut("cut a worker off from the portal", host, parted, self.chance.uniform(2.0, 8.0))

    async def cut_api_off_from_redis(self) -> None:
        """Cut the API off from servers and Sentinels."""
        async with self.api.lock:
            parted = pairs([API_HOST], self._redis())
            await self._cut("cut the API off from Redis", API_HOST, parted, self.chance.uniform(2.0, 8.0))

    async def slow_down(self) -> None:
        """Let packets between some hosts take longer: of a worker, the API, or the servers among themselves."""
        worker = self.chance.choice(list(self.workers))
        slow = self.chance.choice(
            [
                pairs([worker], self.cluster.servers),
                pairs([worker], [PORTAL_HOST]),
                pairs([API_HOST], self.cluster.servers),
                pairs(self.cluster.servers, self.cluster.servers),
            ]
        )
        with self.troubles.of("slow the network down", frozenset().union(*slow)):
            async with self.network.slowed(slow, self.chance.randint(*_DELAYS_MS)):
                await asyncio.sleep(self.chance.uniform(3.0, 9.0))

    async def _cut(self, name: str, host: str, parted: set[Pair], cut_s: float) -> None:
        with self.troubles.of(name, [host]) as trouble:
            async with self.network.cut(parted):
                with trouble.in_force():
                    await asyncio.sleep(cut_s)

    def _worker(self) -> tuple[str, Process]:
        host = self.chance.choice(list(self.workers))
        return host, self.workers[host]

    def _redis(self) -> list[str]:
        return [*self.cluster.servers, *self.cluster.sentinels]
