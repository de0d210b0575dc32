"""The lanes' side of the ledger: leases, batches, and recording what became of them.

At most one call to the portal is in flight per lease. A lane may hold two batches for a moment: the one whose answer is
being recorded, and the next one, which is already in flight. Every method is one round trip and one atomic change; the
rules and the races are in the scripts in jobs/store/lua.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from jobs.lanes.grants import Batch, Grant, Idle, Later, Lost, Outdated, Surplus, Terms, Turn
from jobs.lanes.settlement import Settlement
from jobs.ledger.items import Call, Item
from jobs.store import keys
from jobs.store.clock import LONGEST_TICK_S
from jobs.store.scripts import Script, ScriptCall, run_and_wait, run_together
from jobs.store.times import since_boot_s
from jobs.store.trouble import Reason, trouble_of
from jobs.words.states import State

ACQUIRE = Script("acquire")
RENEW = Script("renew")
SETTLE = Script("settle")
NEXT_BATCH = Script("next_batch", after=[SETTLE])  # a batch can pause its job, or have all lanes leave the portal alone
MAY_SEND = Script("may_send")
RESCUE = Script("rescue")
PACE = Script("pace")
BOUND_REST = Script("bound_rest")
LAPSES = Script("lapses")

#: A lane waits at least this long, in seconds, for a server that accepts no writes because replicas are away
#: (min-replicas-to-write). The steady clock stands still meanwhile, so no lease lapses.
_REPLICAS_PATIENCE_S = 150.0
#: Pause before it asks again.
_REPLICAS_PAUSE_S = 0.5

_Replies = TypeVar("_Replies")


@dataclass(frozen=True, slots=True)
class Rescued:
    """A batch that was taken back from a dead lane."""

    job_id: str
    seq: int
    call: Call
    size: int


@dataclass(frozen=True, slots=True)
class Lapses:
    """What has become of the leases of some portals.

    Attributes:
        portals: those at which a lane has fallen silent, and whether a place became free there just now. The other
            places become free when what their lanes held is rescued.
        soonest_s: seconds until the next lease lapses unless it is renewed; None if no lease is held.
        is_turn: whether the caller has to run the lifeline.
    """

    portals: dict[str, bool]
    soonest_s: float | None
    is_turn: bool = False


class LaneLedger:
    """One lane's view of the ledger of one portal.

    Args:
        redis: the connection, shared by all lanes of the process.
        portal: the portal's name.
        token: this lane's name, never used again.
        lease_ttl_s: how long a silent lane keeps its lease. The lane itself relies on it for `LONGEST_TICK_S` less: a
            jump of the server's clock can shorten it by that.
        configuration: fingerprint of the configuration with which the lane reaches the portal: only faults of this
            configuration hold the lane.
    """

    def __init__(self, redis: Redis, portal: str, token: str, lease_ttl_s: float, configuration: str = "") -> None:
        self._redis = redis
        self._keys = [keys.portal(portal)]
        self._token = token
        self._configuration = configuration
        self._leases = keys.leases(portal)
        self._ttl_s = lease_ttl_s
        self._sure_s = lease_ttl_s - LONGEST_TICK_S
        self._ttl_ms = round(lease_ttl_s * 1000)
        self._held_until_s = 0.0
        self._turn = 0, 0
        self._free_place = 0
        self._request = 0
        self._handed_out_s = 0.0
        self._terms: Terms  # of the last `next_batch`

    @property
    def holds_lease(self) -> bool:
        """Whether the lease is certainly still held, by this process's clock, counted from before it was renewed."""
        return since_boot_s() < self._held_until_s

    @property
    def ttl_s(self) -> float:
        """How long a silent lane keeps its lease."""
        return self._ttl_s

    def since_renewal_s(self) -> float:
        """Return the seconds since the lease was last taken or renewed."""
        return since_boot_s() - (self._held_until_s - self._sure_s)

    async def acquire(self, max_concurrency: int) -> bool:
        """Take a lease; return False if `max_concurrency` lanes already hold one."""
        return await self._leased(ACQUIRE, [self._token, self._ttl_ms, max_concurrency])

    async def acquire_and_next(self, max_concurrency: int, terms: Terms) -> Grant | None:
        """Take a lease and ask for a batch, in one round trip; return None if all leases are taken."""
        asked_s = since_boot_s()
        acquire: ScriptCall = ACQUIRE, self._keys, [self._token, self._ttl_ms, max_concurrency]
        calls = [acquire, self._next_call(terms, has_turn=False)]
        [_, reply], is_replicated = await _patiently(lambda: run_and_wait(self._redis, calls))
        # Not the first reply: if both calls had to be sent again, the lane's own lease was among those taken.
        grant = self._grant(reply, asked_s, is_replicated=is_replicated)
        return None if isinstance(grant, Lost) else grant

    async def renew(self) -> bool:
        """Renew the lease; return False if it has lapsed."""
        return await self._leased(RENEW, [self._token, self._ttl_ms])

    async def release(self) -> None:
        """Give the lease back. A batch that is still held will be rescued."""
        self._held_until_s = 0.0
        await self._redis.zrem(self._leases, self._token)

    async def next_batch(self, terms: Terms, *, has_turn: bool = False) -> Grant:
        """Ask for a batch, or for the turn to send one. The batch before the last one must be settled.

        Args:
            terms: the portal's limits.
            has_turn: whether the lane has waited for the turn that it was given. If it is much too late, it gets
                another one.
        """
        asked_s = since_boot_s()
        calls = [self._next_call(terms, has_turn=has_turn)]
        [reply], is_replicated = await _patiently(lambda: run_and_wait(self._redis, calls))
        return self._grant(reply, asked_s, is_replicated=is_replicated)

    def since_handed_out_s(self) -> float:
        """Return for how many seconds the last batch has been the lane's, counted from before it was asked for."""
        return since_boot_s() - self._handed_out_s

    async def may_send(self, batch: Batch) -> bool:
        """Check whether a PUT that has waited since it was handed out may still leave."""
        _, told = self._terms.gates.arguments(self._terms.conditions)
        return bool(
            await MAY_SEND(self._redis, self._keys, [self._claim_key(batch), batch.seq, self._configuration, told])
        )

    async def settle(self, batch: Batch, settlement: Settlement) -> bool:
        """Record what became of a batch, under the terms of the last `next_batch`.

        Returns:
            False if the batch no longer belongs to the lane; then nothing was recorded.
        """
        calls = [self._settle_call(batch, settlement)]
        [reply] = await _patiently(lambda: run_together(self._redis, calls))
        return bool(reply[0] == b"ok")

    async def settle_and_next(self, batch: Batch, settlement: Settlement, terms: Terms) -> tuple[bool, Grant]:
        """Record a batch and ask for the next one, in one round trip."""
        asked_s = since_boot_s()
        calls = [self._settle_call(batch, settlement), self._next_call(terms, has_turn=False)]
        [settled, reply], is_replicated = await _patiently(lambda: run_and_wait(self._redis, calls))
        return settled[0] == b"ok", self._grant(reply, asked_s, is_replicated=is_replicated)

    async def _leased(self, script: Script, arguments: Sequence[str | int]) -> bool:
        asked_s = since_boot_s()
        [held], is_replicated = await run_and_wait(self._redis, [(script, self._keys, arguments)])
        self._note_lease(asked_s, held=bool(held), is_replicated=is_replicated)
        return bool(held)

    def _note_lease(self, asked_s: float, *, held: bool, is_replicated: bool) -> None:
        """Note until when the lease is held. A renewal that a fail-over could undo does not count."""
        if not held:
            self._held_until_s = 0.0
        elif is_replicated:
            self._held_until_s = asked_s + self._sure_s

    def _settle_call(self, batch: Batch, settlement: Settlement) -> ScriptCall:
        return (
            SETTLE,
            self._keys,
            [self._claim_key(batch), batch.seq, self._configuration, *settlement.arguments(self._terms)],
        )

    def _claim_key(self, batch: Batch) -> str:
        return f"{self._token}/{batch.place}"

    def _next_call(self, terms: Terms, *, has_turn: bool) -> ScriptCall:
        self._terms = terms
        self._request += 1
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
            *terms.gates.arguments(terms.conditions),
            self._request,
        ]
        return NEXT_BATCH, self._keys, arguments

    def _grant(self, reply: list[Any], asked_s: float, *, is_replicated: bool) -> Grant:
        kind = reply[0]
        held = kind in {b"batch", b"turn", b"outdated"}
        self._note_lease(asked_s, held=held, is_replicated=is_replicated)
        if kind == b"batch":
            place, self._free_place = self._free_place, 1 - self._free_place
            self._handed_out_s = asked_s
            return Batch(
                seq=reply[1],
                place=place,
                job_id=reply[2].decode(),
                state=State(reply[3].decode()),
                now_ms=reply[4],
                call=Call(ord(reply[5])),
                batch_size=reply[6],
                items=tuple(Item.decode(item) for item in reply[14:]),
                received_s=time.monotonic(),
                digest=reply[7],
                most=None if reply[8] < 0 else reply[8],
                plan=reply[9].decode(),
                rechecks=int(reply[10]),
                in_canary=reply[11] in {b"running", b"cancelled"},
                bundle=reply[12].decode(),
                bundle_late=reply[13] == b"1",
                is_replicated=is_replicated,
            )
        if kind == b"turn":
            # One that a fail-over could undo may be given to another lane as well.
            self._turn = (reply[2], reply[3]) if is_replicated else (0, 0)
            return Turn(reply[1] / 1_000_000)
        if kind == b"outdated":
            # The next request is the same one: the first reply to this one, with a batch, may have been lost.
            self._request -= 1
            return Outdated(reply[1])
        if kind == b"later":
            return Later(reply[1] / 1_000_000)
        if kind == b"idle":
            return Idle(None if reply[1] < 0 else reply[1] / 1000)
        return Surplus() if kind == b"surplus" else Lost()


async def look_for_lapses(redis: Redis, portals: Sequence[str], *, group: str = "", lifeline_s: float = 0.0) -> Lapses:
    """Look at the leases of some portals, in one round trip. Leases that have lapsed are forgotten.

    Args:
        redis: the connection.
        portals: their names.
        group: of the workers that run a lifeline together.
        lifeline_s: how often one of them runs it, seconds; 0 if the caller does not.
    """
    found = await LAPSES(redis, [keys.portal(portal) for portal in portals], [group, round(lifeline_s * 1000)])
    soonest_ms, is_turn, *lapsed = found
    return Lapses(
        portals={portals[index - 1]: bool(free) for index, free in lapsed},
        soonest_s=None if soonest_ms < 0 else (soonest_ms + 1) / 1000,  # a lease lapses at the end of its millisecond
        is_turn=bool(is_turn),
    )


async def rescue(redis: Redis, portal: str, settle_s: float) -> list[Rescued]:
    """Take back the batches of dead lanes; what was sent waits `settle_s` seconds and is then looked up."""
    replies = await RESCUE(redis, [keys.portal(portal)], [round(settle_s * 1000)])
    return [Rescued(job_id.decode(), seq, Call(ord(call)), size) for job_id, seq, call, size in replies]


async def take_over(redis: Redis, portal: str, settle_s: float) -> list[Rescued]:
    """Rescue without waiting for leases to lapse; call it only if no lane of the portal can be alive.

    Without this, the places of lanes that died with their Redis stay taken until their leases have lapsed.
    """
    await redis.unlink(keys.leases(portal))
    return await rescue(redis, portal, settle_s)


async def bound_rests(redis: Redis, longest_rests_s: Mapping[str, float]) -> None:
    """Shorten rests that were recorded under longer limits, or none, in one round trip.

    Args:
        redis: the connection.
        longest_rests_s: how long each portal may rest from now on, in seconds.
    """
    calls: list[ScriptCall] = [
        (BOUND_REST, [keys.portal(portal)], [round(longest_s * 1000)]) for portal, longest_s in longest_rests_s.items()
    ]
    if calls:
        await run_together(redis, calls)


async def reserve_turn(redis: Redis, portal: str, terms: Terms) -> Turn | Later:
    """Reserve a turn for a call that belongs to no batch, such as a log-in; wait for it before calling."""
    limits = [terms.requests_per_second, terms.burst, round(terms.max_wait_s * 1_000_000)]
    reserved, wait_us, *interval_us = await PACE(redis, [keys.portal(portal)], limits)
    return Turn(wait_us / 1_000_000) if reserved else Later(wait_us / 1_000_000, interval_us[0] / 1_000_000)


async def _patiently(ask: Callable[[], Awaitable[_Replies]]) -> _Replies:
    """Ask again while the server refuses writes because replicas are away: a batch is not doubtful for that."""
    until_s = time.monotonic() + _REPLICAS_PATIENCE_S
    while True:
        try:
            return await ask()
        except ResponseError as error:
            if trouble_of(error).reason is not Reason.NO_REPLICAS or time.monotonic() > until_s:
                raise
        await asyncio.sleep(_REPLICAS_PAUSE_S)
