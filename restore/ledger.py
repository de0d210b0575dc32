"""The ledger of a restore in Redis: what became of each contact, written before and after the call that creates it.

Only the process that holds the lease writes it, and every write checks that: a second person who restores contacts of
the same portal is told who is at it, and a process that was frozen for longer than its lease changes nothing when it
wakes up. It holds numbers alone, lives as long as the job, and a restore that was killed carries on from it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.store import keys
from jobs.store.clock import LONGEST_TICK_S, ticking
from jobs.store.connection import AWAY
from jobs.store.scripts import Argument, Script
from jobs.store.times import clock, iso, since_boot_s
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.errors import UnknownJob
from restore.entry import ENTRY_SIZE, Entry
from restore.errors import AlreadyRestoring, LeaseLost

HOLD = Script("restore_hold", replicated=True)
WRITE = Script("restore_write", replicated=True)
LEAVE = Script("restore_leave")

#: How often a process that waits for a lease looks at it, per TTL; one that is alive renews it four times.
_LOOKS_PER_TTL = 40


async def count_restored(redis: Redis, job_id: str) -> int:
    """Return how many contacts of a job have been restored: created again, and not known to have vanished."""
    return int(await redis.execute_command("HGET", keys.restoring(job_id), "created") or 0)


@dataclass(frozen=True, slots=True)
class _Holder:
    """The other process that holds the lease."""

    job_id: str
    by: str
    since_ms: int
    until_ms: int


class RestoreLedger:
    """The ledger of one job's restore, while this process holds its lease.

    Args:
        redis: the connection.
        job_id: the job whose contacts are restored.
        portal: its portal. There is one lease for all restores of a portal: two of them could each take a contact that
            the other one has just created for their own.
        token: this process's name, never used again.
        by: who restores, for others who try as well.
        ttl_s: how long the lease of a silent process lasts. The process itself relies on it for `LONGEST_TICK_S` less.
    """

    def __init__(self, redis: Redis, job_id: str, portal: str, token: str, by: str, *, ttl_s: float) -> None:
        self._redis = redis
        self._job_id = job_id
        self._keys = [keys.restorer(portal), keys.known_key(job_id)]
        self._restoring = keys.restoring(job_id)
        self._token, self._by = token, by
        self.ttl_s = ttl_s
        self._held_until_s = 0.0
        self._segments: dict[int, bytearray] = {}
        self.watermark: int | None = None
        """The highest contact ID on the portal before anything was restored; None before that is known."""
        self.sent_ms: int = 0
        """When a creating call was last about to be sent, on the steady clock; 0 for never."""
        self.before_ms: int = 0
        """When a process before this one last renewed its lease, on the steady clock; 0 for never."""
        self.finished = False
        """Whether a restore went through to its last check, and nothing was created since."""
        self.created = 0
        """Contacts that have been created and have not vanished."""
        self.twins: dict[int, int] = {}
        """The other contact of those that may exist twice, by old ID."""
        self.now_ms: int = 0
        """The steady clock when the ledger was opened."""

    async def may_send(self) -> bool:
        """Return `holds_lease`, for a client that asks before each request."""
        return self.holds_lease

    @property
    def holds_lease(self) -> bool:
        """Whether the lease is certainly still held, by this process's clock, counted from before it was renewed."""
        return since_boot_s() < self._held_until_s

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Take the lease, read the ledger, keep the lease for the duration of the block, and give it back.

        If another process holds it, this one waits until the lease is renewed or lapses: the other process may have
        been killed.

        Raises:
            AlreadyRestoring: another process is at work.
            UnknownJob: no such job.
        """
        async with ticking(self._redis), self._held():
            yield

    @contextlib.asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        await self._take()
        heart = asyncio.create_task(self._beat())
        try:
            await self._read()
            yield
        finally:
            heart.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heart
            self._held_until_s = 0.0
            with contextlib.suppress(*AWAY, RedisError):
                await LEAVE(self._redis, self._keys[:1], [self._token])

    @contextlib.asynccontextmanager
    async def read_only(self) -> AsyncIterator[None]:
        """Read the ledger without taking the lease: nothing can be written."""
        await self._read()
        yield

    def entry(self, segment: int, offset: int) -> Entry:
        """Return what is known of the contact at a position of the job's list."""
        data = self._segments.get(segment, b"")
        return Entry.decode(bytes(data[offset * ENTRY_SIZE : (offset + 1) * ENTRY_SIZE]))

    def entries(self) -> Iterator[tuple[int, int, Entry]]:
        """Return every entry that was written, with segment and offset, ascending."""
        for segment, data in sorted(self._segments.items()):
            for offset in range(-(-len(data) // ENTRY_SIZE)):
                entry = self.entry(segment, offset)
                if entry != Entry():
                    yield segment, offset, entry

    async def write(self, segment: int, offset: int, entry: Entry, *, sending: bool = False) -> None:
        """Write what is known of a contact.

        Args:
            segment: segment of the job's list.
            offset: place of the contact in the segment.
            entry: what to write.
            sending: whether the call that creates it is about to be sent.

        Raises:
            LeaseLost: another process may be at work; nothing was written.
        """
        fields = {"finished": "", "sent_ms": "now"} if sending else {}
        created = self.created + entry.exists - self.entry(segment, offset).exists
        if created != self.created:
            fields["created"] = str(created)
        await self._write(fields, segment, offset, entry.encode())
        self.created = created
        data = self._segments.setdefault(segment, bytearray())
        if len(data) < (offset + 1) * ENTRY_SIZE:
            data.extend(bytes((offset + 1) * ENTRY_SIZE - len(data)))
        data[offset * ENTRY_SIZE : (offset + 1) * ENTRY_SIZE] = entry.encode()

    async def note_watermark(self, watermark: int) -> None:
        """Record the highest contact ID before anything was restored; the first one stands."""
        if self.watermark is None:
            await self._write({"watermark": str(watermark)})
            self.watermark = watermark

    async def note_twin(self, old_id: int, twin: int) -> None:
        """Record a second contact that may be the same as a restored one."""
        await self._write({f"twin:{old_id}": str(twin)})
        self.twins[old_id] = twin

    async def note_finished(self) -> None:
        """Record that everything was done and checked."""
        await self._write({"finished": "now"})
        self.finished = True

    async def _write(self, fields: dict[str, str], segment: int = -1, offset: int = 0, data: bytes = b"") -> None:
        arguments: list[Argument] = [self._token, segment, offset * ENTRY_SIZE, data]
        for pair in fields.items():
            arguments += pair
        written = await WRITE(self._redis, self._keys, arguments)
        if not written:
            self._held_until_s = 0.0
            raise LeaseLost

    async def _take(self) -> None:
        first: int | None = None
        while (holder := await self._hold()) is not None:
            if first is not None and holder.until_ms != first:
                since = clock(iso(holder.since_ms))
                raise AlreadyRestoring(f"job {holder.job_id} is being restored by {holder.by} since {since}")
            first = holder.until_ms
            await asyncio.sleep(self.ttl_s / _LOOKS_PER_TTL)

    async def _hold(self) -> _Holder | None:
        """Take or renew the lease; return who holds it if that is another process."""
        asked_s = since_boot_s()
        arguments: list[Argument] = [self._token, round(self.ttl_s * 1000), self._by]
        held, *holder = await HOLD(self._redis, self._keys, arguments)
        if held < 0:
            raise UnknownJob(self._job_id)
        if not held:
            job_id, by, since_ms, until_ms = holder
            return _Holder(job_id.decode(), by.decode(), int(since_ms), int(until_ms))
        self._held_until_s = asked_s + self.ttl_s - LONGEST_TICK_S
        return None

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.ttl_s / 4)
            with contextlib.suppress(*AWAY, RedisError, UnknownJob):
                await self._hold()

    async def _read(self) -> None:
        facts = await self._redis.execute_command("HGETALL", self._restoring)
        said = {name.decode(): value.decode() for name, value in facts.items()}
        self.watermark = int(said["watermark"]) if "watermark" in said else None
        self.sent_ms = int(said.get("sent_ms", 0))
        self.before_ms = int(said.get("before_ms", 0))
        self.now_ms = int(said.get("renewed_ms", 0))
        self.finished = bool(said.get("finished"))
        self.twins = {int(name[5:]): int(twin) for name, twin in said.items() if name.startswith("twin:")}
        total = int(await self._redis.execute_command("HGET", self._keys[1], "total") or 0)
        for segment in range(-(-total // SEGMENT_SIZE)):
            if data := await self._redis.execute_command("GET", keys.restored(self._job_id, segment)):
                self._segments[segment] = bytearray(data)
        self.created = sum(entry.exists for _, _, entry in self.entries())
