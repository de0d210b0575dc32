"""The lanes' side of the ledger: leases, batches, and recording what became of them.

At most one call of the portal is in flight per lease. A lane may hold two batches for a moment: the one whose answer is
being recorded, and the next one, which is in flight already. Every method is one round trip and one atomic change; the
scripts in jobs/lua hold the rules and the races.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from redis.asyncio import Redis

from jobs import keys
from jobs.answers import Answer
from jobs.items import Call, Item
from jobs.outcomes import Outcome
from jobs.records import Record
from jobs.scripts import Call as ScriptCall
from jobs.scripts import Script, run_together
from jobs.states import State

ACQUIRE = Script("acquire")
RENEW = Script("renew")
NEXT_BATCH = Script("next_batch")
SETTLE = Script("settle")
RESCUE = Script("rescue")
PACE = Script("pace")
BOUND_REST = Script("bound_rest")


@dataclass(frozen=True, slots=True)
class Batch:
    """What a lane holds: contact IDs to be sent in one call, marked as sent in Redis.

    Attributes:
        seq: number of the claim, unique per portal.
        place: which of the lane's two places holds the claim.
        job_id: the job that it belongs to.
        state: the job's state when it was taken; `cancelling` allows look-ups only.
        now_ms: the Redis server's clock at that moment.
        call: PUT or look-up.
        batch_size: contact IDs of a full PUT at that moment.
        items: what is to be sent; several for a look-up, one for a PUT.
        received_s: this process's monotonic clock when the batch arrived.
        digest: fingerprint of the job's portal and list, which tells it from a former job with the same ID.
    """

    seq: int
    place: int
    job_id: str
    state: State
    now_ms: int
    call: Call
    batch_size: int
    items: tuple[Item, ...]
    received_s: float
    digest: bytes = b""

    @property
    def size(self) -> int:
        """How many contact IDs it holds."""
        return sum(len(item.positions) for item in self.items)

    def server_ms(self) -> int:
        """The Redis server's clock now, carried on by this process's monotonic clock."""
        return self.now_ms + round((time.monotonic() - self.received_s) * 1000)


@dataclass(frozen=True, slots=True)
class Turn:
    """The lane's turn comes in `wait_s` seconds and is reserved: wait, then ask again with it."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Later:
    """The portal takes no call for `wait_s` seconds, too long to hold a lane; the lease is given back.

    Calls that belong to no batch also learn the shortest time between two calls, `interval_s`.
    """

    wait_s: float
    interval_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Idle:
    """No work now; the next is due in `wait_s` seconds, None if that is not known. The lease is given back."""

    wait_s: float | None


@dataclass(frozen=True, slots=True)
class Lost:
    """The lease has lapsed: another lane may hold the work, so this one stops."""


@dataclass(frozen=True, slots=True)
class Surplus:
    """More lanes drive the portal than may: this one has given its lease back."""


Grant: TypeAlias = Batch | Turn | Later | Idle | Surplus | Lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a lane tells the ledger about its portal whenever it asks for a batch.

    Attributes:
        requests_per_second: ceiling of all calls to the portal.
        burst: calls that may go at once after a quiet time.
        batch_size: contact IDs of a PUT as long as none has been learned.
        batch_size_max: contact IDs of a PUT at most.
        look_up_size: contact IDs of a look-up at most.
        linger_s: how long a look-up of few contact IDs may wait to be joined by others while PUTs go on.
        max_wait_s: longest wait for a turn while holding a lease.
        retry_share: largest part of the calls that retries may take, 0 to 1.
        max_concurrency: calls in flight at most.
        longest_rest_s: longest push-back that is kept to.

    The rate and the concurrency hold where nobody has set others (jobs/portals.py).
    """

    requests_per_second: float
    burst: int
    batch_size: int
    batch_size_max: int
    look_up_size: int
    linger_s: float = 3.0
    max_wait_s: float = 20.0
    retry_share: float = 1.0
    max_concurrency: int = 1000
    longest_rest_s: float = 86_400.0

    def arguments(self, turn_us: int) -> list[int | float]:
        """The script's arguments, in its units; `turn_us` is the turn that was waited for, or 0."""
        return [
            self.batch_size,
            self.look_up_size,
            round(self.linger_s * 1000),
            self.requests_per_second,
            self.burst,
            round(self.max_wait_s * 1_000_000),
            turn_us,
            self.batch_size_max,
            1_000_000 / (self.requests_per_second * self.retry_share),
        ]


@dataclass(slots=True, kw_only=True)
class Settlement:
    """What became of a batch: every contact ID of it is either in a record or in an item.

    Attributes:
        records: decided contact IDs, with their segments.
        items: contact IDs that need another call, and how many seconds from now.
        sent, retried, throttled: calls to add to the job's counters.
        last_error: what went wrong, for a person; None keeps the former one.
        stop: the state_reason with which the job must pause; None if it may go on. A fault of the portal (`portal_…`)
            holds everybody with this configuration, and pauses the job unless a worker with another one can go on.
        everyone: that fault holds everybody, whatever the configuration.
        push_back_s: nobody calls the portal for this long; None for no push-back.
        push_back_reason: `rate_limit`, `push_back`, `login_guard` or `portal_unreachable`.
        asked_s: the rest that the portal asked for; None if it said nothing. It may be longer than the one it gets.
        calm: the portal answered well.
        slow_down: the portal pushed back: cut the learned rate, from `ceiling` calls per second at most.
        ceiling: the configured calls per second.
        batch_size: contact IDs of the next PUTs; None leaves it.
        threshold: failed share of the decided contact IDs, 0 to 1, above which the job pauses.
        threshold_from: decided contact IDs before that share is judged.
        answer: what came of the call, to be counted and shown; None if there was no call.
    """

    records: list[tuple[int, Record]] = field(default_factory=list)
    items: list[tuple[Item, float]] = field(default_factory=list)
    sent: int = 0
    retried: int = 0
    throttled: int = 0
    last_error: str | None = None
    stop: str | None = None
    everyone: bool = False
    push_back_s: float | None = None
    push_back_reason: str | None = None
    asked_s: float | None = None
    calm: bool = False
    slow_down: bool = False
    ceiling: float = 0.0
    batch_size: int | None = None
    threshold: float = 0.5
    threshold_from: int = 1000
    answer: Answer | None = None

    def counts(self) -> dict[Outcome, int]:
        """How many contact IDs got which outcome."""
        counts: dict[Outcome, int] = {}
        for _, record in self.records:
            for outcome, count in record.counts().items():
                counts[outcome] = counts.get(outcome, 0) + count
        return counts

    def arguments(self) -> list[bytes]:
        """The settlement as jobs/lua/settle.lua reads it: a map of the facts, then records and items in order.

        Binary strings travel beside the map because Lua's msgpack does not know them.
        """
        message: dict[str, Any] = {
            "records": [segment for segment, _ in self.records],
            "counts": self.counts(),
            "items": [(chr(item.call), round(delay_s * 1000), len(item.positions)) for item, delay_s in self.items],
            "sent": self.sent,
            "retried": self.retried,
            "throttled": self.throttled,
            "threshold": self.threshold,
            "threshold_from": self.threshold_from,
        }
        optional = {
            "last_error": self.last_error,
            "stop": self.stop,
            "everyone": self.everyone or None,
            "push_back_ms": None if self.push_back_s is None else round(self.push_back_s * 1000),
            "push_back_reason": self.push_back_reason,
            "asked_ms": None if self.asked_s is None else round(self.asked_s * 1000),
            "calm": self.calm or None,
            "slow_down": self.ceiling if self.slow_down else None,
            "batch_size": self.batch_size,
            "answer": self.answer and self.answer.counted(),
        }
        message.update((name, value) for name, value in optional.items() if value is not None)
        return [
            _encode(message),
            *(record.encode() for _, record in self.records),
            *(item.encode() for item, _ in self.items),
        ]


_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Rescued:
    """A batch that was taken back from a dead lane."""

    job_id: str
    seq: int
    call: Call
    size: int


class LaneLedger:
    """One lane's view of the ledger of one portal.

    Args:
        redis: the connection, shared by all lanes of the process.
        portal: the portal's name.
        token: names this lane, unique for ever.
        lease_ttl_s: how long a silent lane keeps its lease.
        configuration: fingerprint of what the lane reaches the portal with: it is held by the faults of this one only.
    """

    def __init__(self, redis: Redis, portal: str, token: str, lease_ttl_s: float, configuration: str = "") -> None:
        self._redis = redis
        self._keys = [keys.portal(portal)]
        self._token = token
        self._configuration = configuration
        self._leases = keys.leases(portal)
        self._ttl_s = lease_ttl_s
        self._ttl_ms = round(lease_ttl_s * 1000)
        self._held_until_s = 0.0
        self._turn = 0, 0
        self._free_place = 0

    @property
    def holds_lease(self) -> bool:
        """Whether the lease is certainly still held: by this process's clock, counted from before it was renewed."""
        return time.monotonic() < self._held_until_s

    @property
    def ttl_s(self) -> float:
        """How long a silent lane keeps its lease."""
        return self._ttl_s

    def stale_in_s(self) -> float:
        """Seconds until the lease lapses if it is not renewed."""
        return self._held_until_s - time.monotonic()

    async def acquire(self, max_concurrency: int) -> bool:
        """Take a lease; False if as many lanes as `max_concurrency` hold one."""
        return await self._leased(ACQUIRE, [self._token, self._ttl_ms, max_concurrency])

    async def renew(self) -> bool:
        """Keep the lease; False if it has lapsed."""
        return await self._leased(RENEW, [self._token, self._ttl_ms])

    async def release(self) -> None:
        """Give the lease back. A batch that is still held will be rescued."""
        self._held_until_s = 0.0
        await self._redis.zrem(self._leases, self._token)

    async def next_batch(self, terms: Terms, *, has_turn: bool = False) -> Grant:
        """Ask for a batch, or for the turn to send one. The batch before the last one must be settled.

        Args:
            terms: the portal's limits.
            has_turn: the lane has waited for the turn that it was given before. Much too late, it gets another one.
        """
        asked_s = time.monotonic()
        [reply] = await run_together(self._redis, [self._next_call(terms, has_turn=has_turn)])
        return self._grant(reply, asked_s)

    async def settle(self, batch: Batch, settlement: Settlement) -> bool:
        """Record what became of a batch; False if it is not the lane's any more and nothing was recorded."""
        [reply] = await run_together(self._redis, [self._settle_call(batch, settlement)])
        return bool(reply[0] == b"ok")

    async def settle_and_next(self, batch: Batch, settlement: Settlement, terms: Terms) -> tuple[bool, Grant]:
        """Record a batch and ask for the next one, in one round trip."""
        asked_s = time.monotonic()
        settled, reply = await run_together(
            self._redis, [self._settle_call(batch, settlement), self._next_call(terms, has_turn=False)]
        )
        return settled[0] == b"ok", self._grant(reply, asked_s)

    async def _leased(self, script: Script, arguments: Sequence[str | int]) -> bool:
        asked_s = time.monotonic()
        held = bool(await script(self._redis, self._keys, arguments))
        self._held_until_s = asked_s + self._ttl_s if held else 0.0
        return held

    def _settle_call(self, batch: Batch, settlement: Settlement) -> ScriptCall:
        return (
            SETTLE,
            self._keys,
            [f"{self._token}/{batch.place}", batch.seq, self._configuration, *settlement.arguments()],
        )

    def _next_call(self, terms: Terms, *, has_turn: bool) -> ScriptCall:
        turn_us, cuts = self._turn if has_turn else (0, 0)
        arguments = [
            self._token,
            self._ttl_ms,
            *terms.arguments(turn_us),
            self._free_place,
            cuts,
            terms.max_concurrency,
            self._configuration,
            round(terms.longest_rest_s * 1000),
        ]
        return NEXT_BATCH, self._keys, arguments

    def _grant(self, reply: list[Any], asked_s: float) -> Grant:
        kind = reply[0]
        if kind in {b"batch", b"turn"}:
            self._held_until_s = asked_s + self._ttl_s
        else:
            self._held_until_s = 0.0
        if kind == b"batch":
            place, self._free_place = self._free_place, 1 - self._free_place
            return Batch(
                seq=reply[1],
                place=place,
                job_id=reply[2].decode(),
                state=State(reply[3].decode()),
                now_ms=reply[4],
                call=Call(ord(reply[5])),
                batch_size=reply[6],
                items=tuple(Item.decode(item) for item in reply[8:]),
                received_s=time.monotonic(),
                digest=reply[7],
            )
        if kind == b"turn":
            self._turn = reply[2], reply[3]
            return Turn(reply[1] / 1_000_000)
        if kind == b"later":
            return Later(reply[1] / 1_000_000)
        if kind == b"idle":
            return Idle(None if reply[1] < 0 else reply[1] / 1000)
        return Surplus() if kind == b"surplus" else Lost()


async def rescue(redis: Redis, portal: str, settle_s: float) -> list[Rescued]:
    """Take back the batches of dead lanes; what was sent waits `settle_s` seconds and is then looked up."""
    replies = await RESCUE(redis, [keys.portal(portal)], [round(settle_s * 1000)])
    return [Rescued(job_id.decode(), seq, Call(ord(call)), size) for job_id, seq, call, size in replies]


async def take_over(redis: Redis, portal: str, settle_s: float) -> list[Rescued]:
    """Do as `rescue` at once, where it is certain that no lane of the portal is alive any more.

    Without this, the places of lanes that died with their Redis stay taken until their leases have lapsed.
    """
    await redis.unlink(keys.leases(portal))
    return await rescue(redis, portal, settle_s)


async def bound_rest(redis: Redis, portal: str, longest_rest_s: float) -> None:
    """Bound a push-back that was kept with a longer bound, or with none."""
    await BOUND_REST(redis, [keys.portal(portal)], [round(longest_rest_s * 1000)])


async def reserve_turn(redis: Redis, portal: str, terms: Terms) -> Turn | Later:
    """Reserve a turn for a call that belongs to no batch, such as a log-in; wait for it before calling."""
    limits = [terms.requests_per_second, terms.burst, round(terms.max_wait_s * 1_000_000)]
    reserved, wait_us, *interval_us = await PACE(redis, [keys.portal(portal)], limits)
    return Turn(wait_us / 1_000_000) if reserved else Later(wait_us / 1_000_000, interval_us[0] / 1_000_000)
