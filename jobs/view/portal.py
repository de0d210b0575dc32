"""A portal as everybody sees it: its limits, what it is driven with now, and what it answered last."""

from collections.abc import Iterable

import msgspec
from redis.asyncio import Redis

from config.settings import Portal
from jobs.lanes.call_report import LastAnswer, read_answer
from jobs.lanes.faults import fault_that_holds
from jobs.store import keys
from jobs.store.times import iso, server_ms
from jobs.view.actions import Action, read_actions
from jobs.words.reasons import StateReason


class PortalView(msgspec.Struct, frozen=True, kw_only=True):
    """A portal; written as JSON it is the public form. It never holds an address or a credential."""

    name: str
    requests_per_second: float
    """Ceiling of all calls, as it holds now."""
    configured_requests_per_second: float
    """The same as the configuration has it."""
    learned_requests_per_second: float
    """What the portal is driven with now: the ceiling, or less after it pushed back."""
    max_concurrency: int
    """Calls in flight at most, as it holds now."""
    configured_max_concurrency: int
    """The same as the configuration has it."""
    batch_size: int
    """Contact IDs of the next PUT at most."""
    push_back_until: str | None
    """Nobody calls the portal before, because it asked for a rest; None if it takes calls."""
    rest_asked_until: str | None
    """Until when the portal had asked to be left alone, where that is longer than the rest that it gets."""
    push_back_reason: str | None
    """Why: rate_limit, push_back, login_guard or portal_unreachable."""
    fault: str | None
    """The word for what keeps every job of the portal waiting until somebody puts it right; None as long as a worker
    that is alive has a configuration that did not meet it."""
    in_flight: int
    """Calls that wait for an answer now."""
    lanes: int
    """Lanes that drive it now, each with one call in flight at most."""
    active_jobs: int
    """Jobs that have work for it, now or a little later."""
    last_answers: tuple[LastAnswer, ...]
    """The newest first, 20 at most."""
    actions: tuple[Action, ...]
    """Who changed its limits or ended its rest, the newest 20, oldest first."""


async def read_portals(redis: Redis, portals: Iterable[Portal]) -> list[PortalView]:
    """Read portals, in one round trip.

    Args:
        redis: the connection.
        portals: their settings.
    """
    portals = list(portals)
    pipe = redis.pipeline(transaction=False)
    pipe.time()
    for portal in portals:
        pipe.execute_command("HGETALL", keys.portal(portal.name))
        pipe.zrange(keys.leases(portal.name), 0, -1, withscores=True)
        pipe.execute_command("HKEYS", keys.claims(portal.name))
        pipe.zcard(f"{keys.portal(portal.name)}:active")
        pipe.zcard(f"{keys.portal(portal.name)}:waiting")
        pipe.execute_command("LRANGE", keys.answers(portal.name), 0, -1)
        pipe.execute_command("HGETALL", keys.faults(portal.name))
        pipe.zrange(keys.configurations(portal.name), 0, -1, withscores=True)
    time, *replies = await pipe.execute()
    now_ms = server_ms(time)
    views = []
    for at, portal in enumerate(portals):
        facts, leases, claims, active, waiting, answers, faults, configurations = replies[8 * at : 8 * at + 8]
        fault = fault_that_holds(faults, configurations, now_ms)
        pacing = {name.decode(): value.decode() for name, value in facts.items()}
        ceiling = float(pacing.get("set_rate", portal.requests_per_second))
        push_back_ms = int(float(pacing.get("push_back_until_ms", 0)))
        pushed_back = push_back_ms > now_ms
        asked_ms = int(float(pacing.get("asked_until_ms", 0)))
        views.append(
            PortalView(
                name=portal.name,
                requests_per_second=ceiling,
                configured_requests_per_second=portal.requests_per_second,
                learned_requests_per_second=round(learned_rate(pacing, ceiling), 3),
                max_concurrency=int(pacing.get("set_concurrency", portal.max_concurrency)),
                configured_max_concurrency=portal.max_concurrency,
                batch_size=min(int(pacing.get("batch_size", portal.batch_size_start)), portal.batch_size_max),
                push_back_until=iso(push_back_ms) if pushed_back else None,
                rest_asked_until=iso(asked_ms) if pushed_back and asked_ms > push_back_ms else None,
                push_back_reason=pacing.get("push_back_reason", StateReason.PUSH_BACK) if pushed_back else None,
                fault=fault.reason if fault else None,
                # A lane holds two claims for a moment, but never has more than one call in flight.
                in_flight=len({claim.rpartition(b"/")[0] for claim in claims}),
                lanes=sum(until_ms > now_ms for _, until_ms in leases),
                active_jobs=active + waiting,
                last_answers=tuple(map(read_answer, answers)),
                actions=read_actions(pacing.get("actions")),
            )
        )
    return views


async def read_portal(redis: Redis, portal: Portal) -> PortalView:
    """Do as `read_portals` for one."""
    [view] = await read_portals(redis, [portal])
    return view


def learned_rate(pacing: dict[str, str], ceiling: float) -> float:
    """Give the calls per second that a portal is driven with now.

    Args:
        pacing: the fields of the portal's hash.
        ceiling: its ceiling, as it holds now.
    """
    return min(ceiling, float(pacing["rate"])) if "rate_best" in pacing and "rate" in pacing else ceiling
