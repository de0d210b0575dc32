"""The misfortunes of servers and Sentinels, one at a time: the next begins when all is well again."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

from chaos.hosts.clock import library
from chaos.hosts.cluster import Cluster
from chaos.hosts.network import Network, Pair, pairs
from chaos.hosts.plan import API_HOST
from chaos.hosts.promotions import Promotions
from chaos.hosts.troubles import Trouble, Troubles

#: A replica is promoted within this time of the primary's end, or something is wrong with the Sentinels.
_PROMOTED_WITHIN_S = 40.0
_LOOK_EVERY_S = 0.05
#: As often as by default.
_SENTINEL_LOOKS_EVERY_MS = 10_000

#: A name that the judge looks for.
CUT_OFF_WITH_PRIMARY = "cut off the primary with a worker"


@dataclass(kw_only=True)
class Failovers:
    """Disturbs servers and Sentinels.

    Attributes:
        chance: decides what and when.
        network: has the hosts.
        cluster: the servers and Sentinels.
        workers: hosts of the workers.
        promotions: counts the fail-overs.
        troubles: gets every misfortune.
        problems: what must never have happened.
        recovered_s: how long it took each time until all was well again, after the misfortune itself was over.
    """

    chance: random.Random
    network: Network
    cluster: Cluster
    workers: Collection[str]
    promotions: Promotions
    troubles: Troubles
    problems: list[str] = field(default_factory=list)
    recovered_s: list[float] = field(default_factory=list)

    async def inject(self, names: Collection[str], until: Callable[[], bool]) -> None:
        """Stage these misfortunes, each once in a round, until told to end."""
        while True:
            round_of = list(names)
            self.chance.shuffle(round_of)
            for name in round_of:
                await asyncio.sleep(self.chance.uniform(0.5, 3.0))
                if until():
                    return
                self.promotions.during = name
                await ACTS[name](self)
                try:
                    self.recovered_s.append(await self.cluster.whole())
                except TimeoutError:
                    self.problems.append(f"the servers did not find together again after: {name}")
                    return

    # --- the primary -----------------------------------------------------------------------------------------------

    async def kill_primary(self) -> None:
        """Kill the primary, and start it some time after another one was promoted: as the primary that it was."""
        primary = await self.cluster.primary()
        with self._trouble("kill the primary", primary):
            seen = self._seen()
            await self.cluster.servers[primary].kill()
            await self._promoted(seen)
            await asyncio.sleep(self.chance.uniform(0.0, 4.0))
            await self.cluster.servers[primary].start()

    async def restart_primary(self) -> None:
        """Kill the primary and start it at once: perhaps before anybody has noticed."""
        primary = await self.cluster.primary()
        with self._trouble("restart the primary", primary):
            await self.cluster.servers[primary].kill()
            await asyncio.sleep(self.chance.uniform(0.0, 2.0))
            await self.cluster.servers[primary].start()

    async def freeze_primary(self) -> None:
        """Freeze the primary until another one was promoted, so that it comes back believing that it is the primary."""
        primary = await self.cluster.primary()
        with self._trouble("freeze the primary", primary):
            seen = self._seen()
            self.cluster.servers[primary].freeze()
            await self._promoted(seen)
            await asyncio.sleep(self.chance.uniform(0.0, 5.0))
            self.cluster.servers[primary].resume()

    async def kill_primary_whose_replicas_lag(self) -> None:
        """Let the replicas lag behind and kill the primary a moment later: they lack what it has answered."""
        primary, replicas = await self.cluster.primary(), await self.cluster.replicas()
        with self._trouble("kill a primary whose replicas lag", primary):
            seen = self._seen()
            async with self._lagging(primary, replicas):
                await asyncio.sleep(self.chance.uniform(0.7, 1.3))  # less than a server may be silent
                await self.cluster.servers[primary].kill()
            await self._promoted(seen)
            await self.cluster.servers[primary].start()

    async def cut_off_primary(self) -> None:
        """Cut the primary off from everybody until another one was promoted."""
        primary = await self.cluster.primary()
        with self._trouble("cut off the primary", primary) as trouble:
            await self._part_until_promoted(trouble, pairs([primary], self.network.hosts))

    async def cut_off_primary_with_a_worker(self) -> None:
        """Cut the primary and one worker off from all servers, Sentinels and workers: both think that all is well."""
        primary, worker = await self.cluster.primary(), self.chance.choice(list(self.workers))
        await self._divide(CUT_OFF_WITH_PRIMARY, [primary, worker])

    async def cut_off_primary_with_a_replica(self) -> None:
        """Cut the primary, one worker and one replica off from all others: that one has all claims, and is no use."""
        primary, worker = await self.cluster.primary(), self.chance.choice(list(self.workers))
        replica = self.chance.choice(await self.cluster.replicas())
        await self._divide("cut off the primary with a replica", [primary, worker, replica])

    async def promote_by_hand(self) -> None:
        """Promote a replica while all is well (SENTINEL FAILOVER)."""
        with self._trouble("promote by hand"):
            seen = self._seen()
            await self.cluster.promote()
            await self._promoted(seen)

    async def promote_coordinated(self) -> None:
        """Promote a replica that has everything (SENTINEL FAILOVER … COORDINATED)."""
        with self._trouble("promote by hand, coordinated"):
            seen = self._seen()
            await self.cluster.promote(coordinated=True)
            await self._promoted(seen)

    async def promote_while_a_replica_lags(self) -> None:
        """Promote a replica while the one that Sentinel prefers gets nothing from the primary.

        Sentinel promotes the replica that had most when it last looked. It looks every 10 s by default.
        """
        primary = await self.cluster.primary()
        with self._trouble("promote while a replica lags") as trouble:
            seen = self._seen()
            await self.cluster.set_periods(info_period=_SENTINEL_LOOKS_EVERY_MS)
            await asyncio.sleep(self.chance.uniform(2.0, 5.0))
            replica = await self.cluster.favourite()
            trouble.hosts = frozenset({replica})
            async with self.network.cut(pairs([primary], [replica])):
                await asyncio.sleep(self.chance.uniform(1.0, 2.0))
                await self.cluster.promote()
                await self._promoted(seen)
            await self.cluster.set_periods()

    # --- replicas and Sentinels ------------------------------------------------------------------------------------

    async def kill_replica(self) -> None:
        """Kill a replica and start it again."""
        replica = self.chance.choice(await self.cluster.replicas())
        with self._trouble("kill a replica", replica):
            await self.cluster.servers[replica].kill()
            await asyncio.sleep(self.chance.uniform(0.5, 4.0))
            await self.cluster.servers[replica].start()

    async def cut_off_replica(self) -> None:
        """Cut a replica off from the primary alone."""
        primary, replica = await self.cluster.primary(), self.chance.choice(await self.cluster.replicas())
        with self._trouble("cut off a replica", replica):
            async with self.network.cut(pairs([primary], [replica])):
                await asyncio.sleep(self.chance.uniform(2.0, 8.0))

    async def kill_sentinel(self) -> None:
        """Kill a Sentinel and start it again."""
        sentinel = self.chance.choice(list(self.cluster.sentinels))
        with self._trouble("kill a Sentinel", sentinel):
            await self.cluster.sentinels[sentinel].kill()
            await asyncio.sleep(self.chance.uniform(0.5, 4.0))
            await self.cluster.sentinels[sentinel].start()
            await self.cluster.set_periods()  # it has forgotten them

    async def part_sentinels(self) -> None:
        """Cut a Sentinel off from the others."""
        sentinel = self.chance.choice(list(self.cluster.sentinels))
        with self._trouble("part the Sentinels", sentinel):
            async with self.network.cut(pairs([sentinel], self.cluster.sentinels)):
                await asyncio.sleep(self.chance.uniform(2.0, 6.0))

    async def set_a_clock(self) -> None:
        """Set the clock of a server some minutes ahead or back; it stays so."""
        server = self.chance.choice(list(self.cluster.servers))
        minutes = self.chance.choice([-1, 1]) * self.chance.uniform(1.0, 10.0)
        with self._trouble("set a server's clock", server):
            self.cluster.servers[server].clock.set(round(minutes * 60, 3))
            await asyncio.sleep(2.0)

    # --- what they have in common ----------------------------------------------------------------------------------

    def _trouble(self, name: str, *hosts: str) -> contextlib.AbstractContextManager[Trouble]:
        return self.troubles.of(name, hosts)

    async def _divide(self, name: str, here: Sequence[str]) -> None:
        """Let these hosts reach each other and the portal alone, until another primary was promoted elsewhere."""
        there = [*self.cluster.servers, *self.cluster.sentinels, *self.workers, API_HOST]
        with self._trouble(name, *here) as trouble:
            await self._part_until_promoted(trouble, pairs(here, there) - pairs(here, here))

    async def _part_until_promoted(self, trouble: Trouble, parted: set[Pair]) -> None:
        seen = self._seen()
        async with self.network.cut(parted):
            with trouble.in_force():
                await self._promoted(seen)
                await asyncio.sleep(self.chance.uniform(1.0, 8.0))

    @contextlib.asynccontextmanager
    async def _lagging(self, primary: str, replicas: Collection[str]) -> AsyncIterator[None]:
        """Let replicas get nothing from the primary, until the context is left."""
        if self.network.can_part:
            async with self.network.cut(pairs([primary], replicas)):
                yield
        else:
            await self.cluster.refuse_replicas(primary)
            yield

    def _seen(self) -> int:
        """Return how many fail-overs there were so far."""
        return len(self.promotions.by_epoch)

    async def _promoted(self, seen: int) -> None:
        """Wait until there were more fail-overs than `seen`."""
        try:
            async with asyncio.timeout(_PROMOTED_WITHIN_S):
                while self._seen() <= seen:  # noqa: ASYNC110  # the Sentinels say so
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            self.problems.append(f"no replica was promoted within {_PROMOTED_WITHIN_S:.0f} s")


def _named(*acts: Callable[[Failovers], Awaitable[None]]) -> dict[str, Callable[[Failovers], Awaitable[None]]]:
    return {act.__name__.replace("_", "-"): act for act in acts}


_PARTING = _named(
    Failovers.cut_off_primary,
    Failovers.cut_off_primary_with_a_worker,
    Failovers.cut_off_primary_with_a_replica,
    Failovers.promote_while_a_replica_lags,
    Failovers.cut_off_replica,
    Failovers.part_sentinels,
)
_CLOCK = _named(Failovers.set_a_clock)

#: Every misfortune by its name on the command line.
ACTS = (
    _PARTING
    | _CLOCK
    | _named(
        Failovers.kill_primary,
        Failovers.kill_primary_whose_replicas_lag,
        Failovers.restart_primary,
        Failovers.freeze_primary,
        Failovers.promote_by_hand,
        Failovers.promote_coordinated,
        Failovers.kill_replica,
        Failovers.kill_sentinel,
    )
)


def acts_possible_on(network: Network) -> tuple[str, ...]:
    """Return the names of the misfortunes that can be staged here."""
    impossible = (set() if network.can_part else set(_PARTING)) | (set() if library() else set(_CLOCK))
    return tuple(name for name in ACTS if name not in impossible)
