"""Screens that stay current: the parts of a screen that have changed, sent as events."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import msgspec
from aiohttp import web
from redis.exceptions import RedisError

from jobs.words.errors import UnknownJob
from web.http.context import ENDING
from web.http.sse import comment, event, stream
from web.live.topic import Change, Changes, T
from web.live.watcher import WATCHER
from web.page.render import fragment
from web.page.session import is_open
from web.page.stops import note_stops

#: Between two changes shown: as often as a user can follow.
_EVERY_S = 1.0
#: Between two checks of a job that has ended; a user may retry its failed contacts.
_RARELY_S = 5.0

#: HTML of parts of a screen, by the id of the element that shows it; `title` is the title of the window.
Parts = dict[str, str]


async def live(
    request: web.Request, follow: Callable[[str | None], Changes[T]], render: Callable[[T], Awaitable[Parts]]
) -> web.StreamResponse:
    """Send the parts of a screen whenever they have changed, until the reader goes away or logs out.

    Args:
        request: what it answers.
        follow: gives the changes of what is shown, from after a version.
        render: makes the parts that may have changed; those that are as it made them last are not sent again.
    """
    return await stream(request, _events(request, follow, render), request.app[WATCHER].places)


async def _events(
    request: web.Request, follow: Callable[[str | None], Changes[T]], render: Callable[[T], Awaitable[Parts]]
) -> AsyncGenerator[bytes, None]:
    ending = request.app[ENDING]
    sent: Parts = {}
    version: str | None = None
    while not ending.is_set():
        async with aclosing(follow(version)) as changes:
            try:
                async for change in changes:
                    if not await is_open(request):
                        yield event("ended", b"")
                        return
                    if isinstance(change, Change):
                        parts = await render(change.value) | await _stops(request)
                        version = change.version
                        news = {name: html for name, html in parts.items() if sent.get(name) != html}
                        sent = parts
                        yield event("parts", msgspec.json.encode(news))
                        await _wait(ending, _EVERY_S)
                    elif change.away:
                        yield event("away", b"")
                    elif (stops := await _stops(request)).items() <= sent.items():
                        yield comment("nothing new")
                    else:
                        sent |= stops
                        yield event("parts", msgspec.json.encode(stops))
            except UnknownJob:
                yield event("ended", b"")
                return
            except (RedisError, TimeoutError):
                yield event("away", b"")
        # A job that has ended is silent: only a write tells that the reader has gone.
        yield comment("nothing new")
        await _wait(ending, _RARELY_S)


async def _stops(request: web.Request) -> Parts:
    """Render what every screen says of the stop switch."""
    await note_stops(request)
    return {"stops": fragment(request, "_stops.html")}


async def _wait(ending: asyncio.Event, seconds: float) -> None:
    """Sleep, but not beyond the end of the server."""
    try:
        async with asyncio.timeout(seconds):
            await ending.wait()
    except TimeoutError:
        pass
