"""Handlers that show portals, change their limits and open their windows once."""

from datetime import datetime
from typing import TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from jobs.steering.limits import CONFIGURED, set_limits
from jobs.view.portal import PortalView, read_portal, read_portals
from web.api.models import PortalChange
from web.api.reading import json_of
from web.http.as_json import as_json
from web.http.callers import caller, visible_portal, visible_portals
from web.http.context import REDIS
from web.http.problems import Kind, Refusal

T = TypeVar("T", int, float)


class PortalList(msgspec.Struct, frozen=True):
    """The portals that the caller may see, by name."""

    portals: list[PortalView]


async def get_portals(request: web.Request) -> web.Response:
    """Answer with all portals."""
    portals = sorted(visible_portals(request), key=lambda portal: portal.name)
    return as_json(PortalList(await read_portals(request.app[REDIS], portals)))


async def get_portal(request: web.Request) -> web.Response:
    """Answer with one portal."""
    portal = visible_portal(request, request.match_info["name"])
    return as_json(await read_portal(request.app[REDIS], portal))


async def change_portal(request: web.Request) -> web.Response:
    """Change the limits of a portal for every worker, while they run."""
    redis = request.app[REDIS]
    portal = visible_portal(request, request.match_info["name"])
    change = json_of(request, PortalChange)
    if change == PortalChange():
        raise Refusal(Kind.INVALID, "Give requests_per_second, max_concurrency, open_until, or several of them.")
    try:
        await set_limits(
            redis,
            portal,
            by=caller(request).name,
            requests_per_second=_limit(change.requests_per_second, float),
            max_concurrency=_limit(change.max_concurrency, int),
            open_until_ms=_moment_ms(change.open_until),
        )
    except ValueError as error:
        raise Refusal(Kind.INVALID, f"{error}.") from None
    return as_json(await read_portal(redis, portal))


def _moment_ms(value: datetime | UnsetType | None) -> int | str | None:
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    return None if value is UNSET else CONFIGURED


def _limit(value: float | UnsetType | None, kind: type[T]) -> T | str | None:
    """Translate null and a missing member for `set_limits`."""
    if isinstance(value, UnsetType):
        return None
    return CONFIGURED if value is None else kind(value)
