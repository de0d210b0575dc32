"""The state of a portal in Redis: how hard it is driven, what holds it, and who works on it.

The only reader of a portal's hash. The scripts in jobs/store/lua write it; includes/pace.lua explains its fields. What
is kept there on the steady clock is told on the wall clock, as people read it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from jobs.store import keys
from jobs.store.clock import Clocks
from jobs.store.faults import Fault, fault_that_holds
from jobs.store.kept import EVERYONE
from jobs.store.times import still_ahead
from jobs.words.reasons import StateReason

#: The fields of a portal's hash that its state is made of.
FIELDS = (
    "tat_us",
    "push_back_until_ms",
    "push_back_reason",
    "asked_until_ms",
    "rate",
    "rate_best",
    "configured_rate",
    "set_rate",
    "set_concurrency",
    "batch_size",
    "open_until_ms",
    "day",
    "day_sent",
    "hold",
)


@dataclass(frozen=True, slots=True)
class Rest:
    """A time during which no worker calls the portal.

    Attributes:
        until_ms: when it ends, on the Redis server's clock.
        reason: why: rate_limit, push_back, login_guard or portal_unreachable.
        asked_until_ms: when the rest that the portal asked for would end; None where that is not later.
    """

    until_ms: int
    reason: str = "push_back"
    asked_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A gate that holds all PUTs of a portal.

    Attributes:
        reason: which one: stopped, outside_window or daily_cap.
        until_ms: when it opens on its own, on the Redis server's clock; None if that is not known.
    """

    reason: str
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalState:
    """The state of one portal at one moment.

    Attributes:
        now_ms: the moment, on the Redis server's clock.
        lanes: lanes that drive it.
        active_jobs: jobs that want their turn now.
        rest: the rest in force; None if the portal takes calls.
        fault: what holds all its jobs until a person fixes it.
        next_turn_ms: when its next free turn is.
        rate: calls per second in force at the last turn; None before the first call.
        has_learned: whether it has pushed back and not yet recovered, so that `rate` was learned.
        configured_rate: ceiling in the configuration of the worker that took the last turn; None before the first.
        set_rate: ceiling that was set in place of the configured one.
        set_concurrency: calls in flight that were set in place of the configured ones.
        learned_batch_size: contact IDs per PUT that it handles well; None while that is not known.
        stop: who stopped its PUTs and when, as kept; None if nobody has.
        stop_of_all: the same for the PUTs of all portals.
        hold: the gate that holds its PUTs; None if they may leave.
        open_until_ms: until when PUTs may leave although its windows are closed; None if nobody opened it.
        day: the last day on which PUTs were counted; empty if none was.
        day_sent: contact IDs in the PUTs of that day.
        actions: who changed its limits or ended its rest, as kept; None if there was none, or it was not asked for.
    """

    now_ms: int
    lanes: int = 0
    active_jobs: int = 0
    rest: Rest | None = None
    fault: Fault | None = None
    next_turn_ms: int = 0
    rate: float | None = None
    has_learned: bool = False
    configured_rate: float | None = None
    set_rate: float | None = None
    set_concurrency: int | None = None
    learned_batch_size: int | None = None
    stop: bytes | None = None
    stop_of_all: bytes | None = None
    hold: Hold | None = None
    open_until_ms: int | None = None
    day: str = ""
    day_sent: int = 0
    actions: bytes | None = None

    @staticmethod
    def ask(pipe: Pipeline, portal: str, *, with_actions: bool = False) -> None:
        """Queue the commands that read one portal's state.

        A caller can ask for any number of portals in one round trip, together with whatever else it needs.

        Args:
            pipe: the round trip.
            portal: the portal's name.
            with_actions: whether to read its actions as well, which are much longer than everything else.
        """
        fields = (*FIELDS, "actions") if with_actions else FIELDS
        pipe.execute_command("HMGET", keys.portal(portal), *fields)
        pipe.zrange(keys.leases(portal), 0, -1, withscores=True)
        pipe.zcard(keys.active(portal))
        pipe.execute_command("HGETALL", keys.faults(portal))
        pipe.zrange(keys.configurations(portal), 0, -1, withscores=True)
        pipe.execute_command("HMGET", keys.STOPPED, portal, EVERYONE)

    @classmethod
    def take(cls, replies: Iterator[Any], clocks: Clocks) -> Self:
        """Take the replies to `ask` from those of a round trip.

        Args:
            replies: the replies that have not been taken yet; the caller takes those to its own commands.
            clocks: the clocks, read in the same round trip.
        """
        now_ms = clocks.wall_ms
        values, leases, active, faults, configurations, stops = (next(replies) for _ in range(6))
        facts: dict[str, bytes] = {
            name: value
            for name, value in zip((*FIELDS, "actions"), values, strict=False)
            if value is not None  # a field that is not there, or not asked for, is missing here
        }
        return cls(
            now_ms=now_ms,
            lanes=len(still_ahead(leases, clocks.presence_ms)),
            active_jobs=active,
            rest=_rest(facts, clocks),
            fault=fault_that_holds(faults, configurations, clocks),
            next_turn_ms=clocks.to_wall(float(facts["tat_us"]) / 1000) if "tat_us" in facts else 0,
            rate=_number(facts.get("rate")),
            has_learned="rate_best" in facts,
            configured_rate=_number(facts.get("configured_rate")),
            set_rate=_number(facts.get("set_rate")),
            set_concurrency=int(facts["set_concurrency"]) if "set_concurrency" in facts else None,
            learned_batch_size=int(facts["batch_size"]) if "batch_size" in facts else None,
            stop=stops[0],
            stop_of_all=stops[1],
            hold=Hold(StateReason.STOPPED) if any(stops) else _hold(facts, now_ms),
            open_until_ms=_ahead(facts.get("open_until_ms"), now_ms),
            day=facts.get("day", b"").decode(),
            day_sent=int(facts.get("day_sent", 0)),
            actions=facts.get("actions"),
        )

    @property
    def pace(self) -> float | None:
        """Calls per second that the portal is driven with now, for readers without its configuration.

        None before the first call.
        """
        if self.rate is None:
            return None
        return self.learned_rate(self.rate if self.configured_rate is None else self.configured_rate)

    def ceiling(self, configured: float) -> float:
        """Return the ceiling of all calls per second: the configured one, unless another was set."""
        return configured if self.set_rate is None else self.set_rate

    def concurrency(self, configured: int) -> int:
        """Return how many calls can be in flight: as configured, unless another number was set."""
        return configured if self.set_concurrency is None else self.set_concurrency

    def learned_rate(self, configured: float) -> float:
        """Return the calls per second that the portal is driven with now: its ceiling, or less after it pushed back.

        Args:
            configured: the ceiling in its configuration.
        """
        ceiling = self.ceiling(configured)
        if not self.has_learned or self.rate is None or self.rate >= ceiling:
            return ceiling  # not rounded, so that it is not taken for less than the ceiling
        return min(ceiling, round(self.rate, 3))

    def batch_size(self, start: int, most: int) -> int:
        """Return the contact IDs of the next PUT at most.

        Args:
            start: the configured size to begin with.
            most: the configured upper bound.
        """
        return min(self.learned_batch_size or start, most)


async def read_states(redis: Redis, portals: Sequence[str]) -> dict[str, PortalState]:
    """Read the states of portals, by name; takes a round trip if there are any."""
    if not portals:
        return {}
    pipe = redis.pipeline(transaction=False)
    Clocks.ask(pipe)
    for portal in portals:
        PortalState.ask(pipe, portal)
    replies = iter(await pipe.execute())
    clocks = Clocks.take(replies)
    return {portal: PortalState.take(replies, clocks) for portal in portals}


def _rest(facts: dict[str, bytes], clocks: Clocks) -> Rest | None:
    until_ms = int(float(facts.get("push_back_until_ms", 0)))
    if until_ms <= clocks.steady_ms:
        return None
    asked_ms = int(float(facts.get("asked_until_ms", 0)))
    reason = facts.get("push_back_reason", b"push_back").decode()
    return Rest(clocks.to_wall(until_ms), reason, clocks.to_wall(asked_ms) if asked_ms > until_ms else None)


def _hold(facts: dict[str, bytes], now_ms: int) -> Hold | None:
    reason, _, until = facts.get("hold", b"").decode().partition(" ")
    if reason in {"", StateReason.STOPPED}:
        return None  # of a stop that has been lifted
    if int(until):
        return Hold(reason, int(until)) if int(until) > now_ms else None
    return Hold(reason)


def _ahead(time_ms: bytes | None, now_ms: int) -> int | None:
    return int(time_ms) if time_ms and int(time_ms) > now_ms else None


def _number(value: bytes | None) -> float | None:
    return None if value is None else float(value)
