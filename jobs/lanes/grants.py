"""What a lane is given when it asks for a batch."""

import time
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from jobs.lanes.gates import NO_GATES, Gates
from jobs.ledger.items import Call, Item
from jobs.words.states import State


class Batch(msgspec.Struct, frozen=True):
    """What a lane holds: contact IDs to be sent in one call, marked as sent in Redis.

    Attributes:
        seq: number of the claim, unique per portal.
        place: which of the lane's two places holds the claim.
        job_id: the job that it belongs to.
        state: the job's state when the batch was taken; `cancelling` allows look-ups only.
        now_ms: the Redis server's clock at that moment.
        call: PUT or look-up.
        batch_size: contact IDs of a full PUT at that moment.
        items: what is to be sent: several items for a look-up, one for a PUT.
        received_s: this process's monotonic clock when the batch arrived.
        digest: fingerprint of the job's portal and list, which distinguishes it from an earlier job with the same ID.
        plan: digest of the plan that was approved; empty for a job without a plan.
        rechecks: how often it was looked at again since then.
        in_canary: whether it belongs to the job's canary.
        bundle: ID of the job's bundle; empty for a job that keeps none.
        bundle_late: whether something of the job had been sent before its bundle was begun.
        most: contact IDs of a PUT that may be sent, because of the portal's gates; the others are given back. None for
            all.
        is_replicated: whether enough replicas have the claim. If not, a fail-over could undo it, so nothing of it may
            be sent.
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
    plan: str = ""
    rechecks: int = 0
    in_canary: bool = False
    bundle: str = ""
    bundle_late: bool = False
    most: int | None = None
    is_replicated: bool = True

    @property
    def size(self) -> int:
        """How many contact IDs it holds."""
        return sum(len(item.positions) for item in self.items)

    def server_ms(self) -> int:
        """Return the Redis server's time now, extrapolated with this process's monotonic clock."""
        return self.now_ms + round((time.monotonic() - self.received_s) * 1000)


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn in `wait_s` seconds is reserved for the lane: it waits, then asks again with the turn."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Later:
    """The portal takes no call for `wait_s` seconds, too long to hold a lane; the lease is given back.

    Calls that belong to no batch are also told the shortest time between two calls, `interval_s`.
    """

    wait_s: float
    interval_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Idle:
    """No work now; the next work is due in `wait_s` seconds, None if that is not known. The lease is given back."""

    wait_s: float | None


@dataclass(frozen=True, slots=True)
class Outdated:
    """The gates of the terms are not about this moment, `now_ms` on the Redis server's clock; the lease is kept."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The lease has lapsed: another lane may hold the work, so this one stops."""


@dataclass(frozen=True, slots=True)
class Surplus:
    """More lanes drive the portal than are allowed: this one has given its lease back."""


Grant: TypeAlias = Batch | Turn | Outdated | Later | Idle | Surplus | Lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a lane tells the ledger about its portal whenever it asks for a batch.

    Attributes:
        requests_per_second: ceiling of all calls to the portal.
        burst: calls that may go together after a quiet time.
        batch_size: contact IDs of a PUT until a size has been learned.
        batch_size_max: contact IDs of a PUT at most.
        look_up_size: contact IDs of a look-up at most.
        linger_s: how long a look-up of few contact IDs may wait to be joined by others while PUTs go on.
        max_wait_s: longest wait for a turn while holding a lease.
        retry_share: largest share of the calls that retries may take, 0 to 1.
        max_concurrency: calls in flight at most.
        longest_rest_s: longest rest that the portal gets.
        failure_threshold: failed share of the decided contact IDs, 0 to 1, above which a job pauses.
        failure_threshold_from: decided contact IDs before that share is judged.
        conditions: under which conditions the lane would send what a plan says (jobs/plan/digest.py).
        gates: what the portal's guards say now.

    The rate and the concurrency apply unless others were set (jobs/steering/limits.py).
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
    failure_threshold: float = 0.5
    failure_threshold_from: int = 1000
    conditions: str = ""
    gates: Gates = NO_GATES

    def arguments(self, turn_us: int) -> list[int | float]:
        """Return the script's arguments, in its units; `turn_us` is the turn that was waited for, or 0."""
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
