"""Handlers of the stop switch: it holds back the deletions of one portal, or of all."""

from aiohttp import web

from jobs.steering.switch import Switch, seen_by, switch
from web.api.models import Stops, SwitchRequest
from web.api.operation import Handler
from web.api.reading import json_of
from web.http.as_json import as_json
from web.http.callers import caller, visible_portal, visible_portals
from web.http.context import REDIS
from web.http.problems import Kind, Refusal


def turn(to: Switch) -> Handler:
    """Return the handler that stops or starts deletions."""

    async def handler(request: web.Request) -> web.Response:
        known, wanted = caller(request), json_of(request, SwitchRequest)
        if wanted.portal:
            portals = [visible_portal(request, wanted.portal)]
        elif known.portals is None:
            portals = visible_portals(request)
        else:
            raise Refusal(
                Kind.MISSING_SCOPE,
                f"The key {known.name!r} is restricted to some portals: name one of them in `portal`.",
            )
        stops = await switch(request.app[REDIS], to, portals, of_all=not wanted.portal, by=known.name)
        return as_json(Stops(seen_by(stops, known.portals)))

    return handler
