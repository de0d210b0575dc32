"""Every fail-over of a run: who was promoted in whose place, when, and from when on claims could be made again."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from chaos.hosts.cluster import NAME, UNREACHABLE, Cluster, Member
from chaos.hosts.network import Network
from worker.drain import cancel

_LOOK_EVERY_S = 0.05
_AGAIN_AFTER_S = 0.2


@dataclass(kw_only=True)
class Promotion:
    """One fail-over. Times are Unix times in seconds.

    Attributes:
        epoch: Sentinel's number of it.
        old, new: hosts of the servers.
        promoted_s: when a Sentinel first said that the new one is the primary.
        during: the misfortune in which it happened.
        able_s: when the new primary had as many replicas as a claim needs; None if it never had.
    """

    epoch: int
    old: str
    new: str
    promoted_s: float
    during: str
    able_s: float | None = None


@dataclass
class Promotions:
    """Listens to the Sentinels.

    Args:
        cluster: the servers and Sentinels.
        network: has their hosts.
        min_replicas: how many replicas a claim needs.
    """

    cluster: Cluster
    network: Network
    min_replicas: int
    during: str = "the start"
    """The misfortune that is going on."""
    by_epoch: dict[int, Promotion] = field(default_factory=dict)
    _epoch: int = -1
    _primary: str = ""
    _promoted_s: float | None = None
    _watching: dict[int, "asyncio.Task[None]"] = field(default_factory=dict)

    @property
    def all(self) -> list[Promotion]:
        """Every fail-over, in order."""
        return [self.by_epoch[epoch] for epoch in sorted(self.by_epoch)]

    async def run(self) -> None:
        """Listen until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for sentinel in self.cluster.sentinels.values():
                    group.create_task(self._listen(sentinel))
        finally:
            for task in self._watching.values():
                await cancel(task)

    async def _listen(self, sentinel: Member) -> None:
        while True:
            with contextlib.suppress(*UNREACHABLE):
                await self._hear(sentinel)
            await asyncio.sleep(_AGAIN_AFTER_S)

    async def _hear(self, sentinel: Member) -> None:
        async with (
            sentinel.client() as client,
            sentinel.client(timeout_s=None) as listener,
            listener.pubsub() as events,
        ):
            await events.subscribe("+promoted-slave", "+switch-master")
            while True:
                # The first two messages are the subscriptions: what happened before them is looked up.
                event = await events.get_message(timeout=None)
                heard_s = time.time()
                if event and event["type"] == "message" and event["channel"] == "+promoted-slave":
                    self._promoted_s = heard_s
                else:
                    self._look(heard_s, await client.sentinel_master(NAME))

    def _look(self, heard_s: float, master: dict[str, Any]) -> None:
        """Note a fail-over, unless another Sentinel was first."""
        epoch, new = master["config-epoch"], self.network.host_at(master["ip"])
        if epoch <= self._epoch:
            return
        old, self._epoch, self._primary = self._primary, epoch, new
        promoted_s, self._promoted_s = self._promoted_s, None
        if epoch == 0:  # that is how it began
            return
        self.by_epoch[epoch] = promotion = Promotion(
            epoch=epoch, old=old, new=new, promoted_s=min(promoted_s or heard_s, heard_s), during=self.during
        )
        self._watching[epoch] = asyncio.create_task(self._watch(promotion))

    async def _watch(self, promotion: Promotion) -> None:
        while promotion.able_s is None and promotion is self.all[-1]:
            if await self.cluster.connected_replicas(promotion.new) >= self.min_replicas:
                promotion.able_s = max(time.time(), promotion.promoted_s)
            else:
                await asyncio.sleep(_LOOK_EVERY_S)
