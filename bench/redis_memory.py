"""What a job costs in Redis, measured in two ways: the server's total, and the sum over the job's keys."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from redis.asyncio import Redis

from jobs.store import keys

SAMPLE_S = 0.05


@dataclass(frozen=True)
class Footprint:
    """Memory at one moment, in bytes."""

    used: int = 0  #: `used_memory` of the whole server
    clients: int = 0  #: of which the buffers of connections, which come and go with the traffic
    by_kind: dict[str, int] = field(default_factory=dict)  #: exact `MEMORY USAGE` of the job's keys, summed by kind

    @property
    def keys(self) -> int:
        """The sum over all keys of the job."""
        return sum(self.by_kind.values())

    def above(self, before: "Footprint") -> "Footprint":
        """Return what has been added since `before`."""
        return Footprint(self.used - before.used, self.clients - before.clients, self.by_kind)


async def footprint(redis: Redis, job_id: str | None = None) -> Footprint:
    """Measure the server and, if one is named, a job."""
    facts = await redis.info("memory")
    by_kind: Counter[str] = Counter()
    if job_id:
        prefix = keys.job(job_id)
        names = [name.decode() async for name in redis.scan_iter(match=f"{prefix}*", count=1000)]
        pipe = redis.pipeline(transaction=False)
        for name in names:
            pipe.memory_usage(name, samples=0)  # 0 measures every element instead of extrapolating from five
        for name, size in zip(names, await pipe.execute(), strict=True):
            by_kind[_kind(name.removeprefix(prefix))] += size or 0  # None: deleted in between
    return Footprint(facts["used_memory"], facts["mem_clients_normal"], dict(by_kind))


def _kind(rest: str) -> str:
    """Return the kind of a key: `:ledger:7` is a ledger, `:due:put` due work, nothing the hash of the job's facts."""
    return rest.split(":")[1] if rest else "facts"


@dataclass
class Peaks:
    """The largest footprints seen while a job ran: by the server's total, and by the job's keys."""

    used: Footprint = field(default_factory=Footprint)
    keys: Footprint = field(default_factory=Footprint)
    samples: int = 0

    def note(self, seen: Footprint) -> None:
        """Take a sample into account."""
        self.samples += 1
        if seen.used - seen.clients > self.used.used - self.used.clients:
            self.used = seen
        if seen.keys > self.keys.keys:
            self.keys = seen


@contextlib.asynccontextmanager
async def watching(redis: Redis, job_id: str, *, every_s: float = SAMPLE_S) -> AsyncIterator[Peaks]:
    """Sample a job's footprint until the context is left."""
    peaks, over = Peaks(), asyncio.Event()

    async def watch() -> None:
        while not over.is_set():
            peaks.note(await footprint(redis, job_id))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), every_s)

    watcher = asyncio.create_task(watch())
    try:
        yield peaks
    finally:
        over.set()  # not cancelled: a cancelled command would leave its connection half read
        await watcher
