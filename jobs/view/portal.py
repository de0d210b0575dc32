"""A portal as users see it: its limits, how hard it is driven now, and what it answered last."""

from collections.abc import Iterable

import msgspec
from redis.asyncio import Redis

from config.days import day_at
from config.settings import Portal
from jobs.lanes.call_report import LastAnswer, read_answer
from jobs.store import keys
from jobs.store.clock import Clocks
from jobs.store.portal_state import PortalState
from jobs.store.times import iso, iso_or_none
from jobs.view.actions import Action, read_actions
from jobs.view.stops import Stop, stop_of


class PortalView(msgspec.Struct, frozen=True, kw_only=True):
    """A portal; written as JSON it is the public form. It never holds an address or a credential."""

    name: str
    requests_per_second: float
    """Ceiling of all calls that is in force now."""
    configured_requests_per_second: float
    """The same, as configured."""
    learned_requests_per_second: float
    """What the portal is driven with now: the ceiling, or less after it pushed back."""
    max_concurrency: int
    """Calls in flight at most, the limit in force now."""
    configured_max_concurrency: int
    """The same, as configured."""
    batch_size: int
    """Contact IDs of the next PUT at most."""
    push_back_until: str | None
    """No worker calls the portal before then, because it asked for a rest; None if it takes calls."""
    rest_asked_until: str | None
    """When the rest that the portal asked for would end, where that is longer than the rest it gets."""
    push_back_reason: str | None
    """Why: rate_limit, push_back, login_guard or portal_unreachable."""
    fault: str | None
    """The word for what keeps every job of the portal waiting until a person fixes it; None while any living worker has
    a configuration that did not meet it."""
    stopped: Stop | None
    """Who stopped its deletions and when; None if nobody has. `portal` in it is null if all portals are stopped."""
    held_by: str | None
    """What holds back all its deletions: stopped, outside_window or daily_cap; None if they may go on."""
    held_until: str | None
    """When that ends on its own; None where that is not known."""
    open_until: str | None
    """Until when contacts may be deleted although its `windows` are closed; None if nobody opened it."""
    sent_today: int
    """Contacts in the PUTs of this day, in the portal's `timezone`; one that is tried again counts again."""
    max_contacts_per_day: int
    """How many there may be; 0 for any number."""
    in_flight: int
    """Calls that are waiting for an answer now."""
    lanes: int
    """Lanes that drive it now, each with one call in flight at most."""
    active_jobs: int
    """Jobs that have work for it, now or a little later."""
    last_answers: tuple[LastAnswer, ...]
    """The newest first, 20 at most."""
    actions: tuple[Action, ...]
    """Who changed its limits or ended its rest, the newest 20, oldest first."""


async def read_portals(redis: Redis, portals: Iterable[Portal]) -> list[PortalView]:
    """Read portals in one round trip.

    Args:
        redis: the connection.
        portals: their settings.
    """
    portals = list(portals)
    pipe = redis.pipeline(transaction=False)
    Clocks.ask(pipe)
    for portal in portals:
        PortalState.ask(pipe, portal.name, with_actions=True)
        pipe.execute_command("HKEYS", keys.claims(portal.name))
        pipe.zcard(keys.waiting(portal.name))
        pipe.execute_command("LRANGE", keys.answers(portal.name), 0, -1)
    replies = iter(await pipe.execute())
    clocks = Clocks.take(replies)
    return [
        _view(portal, PortalState.take(replies, clocks), next(replies), next(replies), next(replies))
        for portal in portals
    ]


async def read_portal(redis: Redis, portal: Portal) -> PortalView:
    """Read one portal; see `read_portals`."""
    [view] = await read_portals(redis, [portal])
    return view


def _view(portal: Portal, state: PortalState, claims: list[bytes], waiting: int, answers: list[bytes]) -> PortalView:
    rest, hold = state.rest, state.hold
    stop = state.stop_of_all or state.stop
    is_today = state.day == day_at(state.now_ms, portal.timezone).name
    return PortalView(
        name=portal.name,
        requests_per_second=state.ceiling(portal.requests_per_second),
        configured_requests_per_second=portal.requests_per_second,
        learned_requests_per_second=state.learned_rate(portal.requests_per_second),
        max_concurrency=state.concurrency(portal.max_concurrency),
        configured_max_concurrency=portal.max_concurrency,
        batch_size=state.batch_size(portal.batch_size_start, portal.batch_size_max),
        push_back_until=iso(rest.until_ms) if rest else None,
        rest_asked_until=iso_or_none(rest.asked_until_ms) if rest else None,
        push_back_reason=rest.reason if rest else None,
        fault=state.fault.reason if state.fault else None,
        stopped=stop_of(None if state.stop_of_all else portal.name, stop) if stop else None,
        held_by=hold.reason if hold else None,
        held_until=iso_or_none(hold.until_ms) if hold else None,
        open_until=iso_or_none(state.open_until_ms),
        sent_today=state.day_sent if is_today else 0,
        max_contacts_per_day=portal.max_contacts_per_day,
        # A lane holds two claims for a moment, but never has more than one call in flight.
        in_flight=len({claim.rpartition(b"/")[0] for claim in claims}),
        lanes=state.lanes,
        active_jobs=state.active_jobs + waiting,
        last_answers=tuple(map(read_answer, answers)),
        actions=read_actions(state.actions),
    )
