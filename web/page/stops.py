"""What every screen says of the stop switch: which deletions are stopped, by whom and since when."""

from collections.abc import Sequence

from aiohttp import web

from jobs.steering.switch import seen_by
from jobs.view.stops import Stop, read_stops
from web.http.callers import caller
from web.http.context import REDIS

_STOPS = web.RequestKey("stops", list[Stop])


async def note_stops(request: web.Request) -> None:
    """Read the stops that concern whoever asks, and remember them with the request.

    Raises:
        redis.exceptions.RedisError: Redis is away.
    """
    request[_STOPS] = seen_by(await read_stops(request.app[REDIS]), caller(request).portals)


def stops_of(request: web.Request) -> Sequence[Stop]:
    """Return the stops that `note_stops` has remembered; none before the log-in."""
    stops: Sequence[Stop] = request.get(_STOPS, ())
    return stops
