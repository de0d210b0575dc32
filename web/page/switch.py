"""The stop switch on the page: a screen that asks first, and then stops deletions or lets them go on."""

from collections.abc import Sequence

from aiohttp import web

from jobs.steering.switch import Switch, switch
from web.http.callers import caller, visible_portal, visible_portals
from web.http.context import REDIS
from web.http.problems import Kind, Refusal
from web.page.admission import form_value
from web.page.render import page, see_other
from web.page.stops import stops_of

_ALL = ""
"""What stands for all portals in the form and in addresses."""


async def ask_to_switch(request: web.Request) -> web.Response:
    """Ask before deletions are stopped, or go on."""
    to, chosen = _wanted(request), request.query.get("portal", _ALL)
    choices = _choices(request, to)
    return page(request, "switch.html", to=to, choices=choices, chosen=chosen if chosen in choices else None)


async def turn_switch(request: web.Request) -> web.Response:
    """Stop deletions, or let them go on, and show the portals."""
    to, name, known = _wanted(request), form_value(request, "portal"), caller(request)
    if name == _ALL and known.portals is not None:
        raise Refusal(Kind.MISSING_SCOPE, f"The key {known.name!r} is restricted to some portals: choose one of them.")
    portals = visible_portals(request) if name == _ALL else [visible_portal(request, name)]
    await switch(request.app[REDIS], to, portals, of_all=name == _ALL, by=known.name)
    return see_other(f"/portals?did={to}")


def _wanted(request: web.Request) -> Switch:
    return Switch(request.match_info["to"])


def _choices(request: web.Request, to: Switch) -> Sequence[str]:
    """Return what the visitor may stop; or of what is stopped, what they may let go on."""
    mine = [portal.name for portal in visible_portals(request)]
    if caller(request).portals is None:
        mine.insert(0, _ALL)
    if to is Switch.STOP:
        return mine
    stopped = {stop.portal or _ALL for stop in stops_of(request)}
    return [name for name in mine if name in stopped]
