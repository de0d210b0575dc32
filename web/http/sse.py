"""Server-sent events: how they are written, and a stream of them as an answer."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from web.http.context import LIMITS
from web.http.places import Places
from web.http.sending import ReaderStalled, cut, send

#: How long a browser waits before it connects again.
RETRY_MS = 2000

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would collect events before it passes them on
}


def event(name: str, data: bytes, version: str | None = None) -> bytes:
    """Write one event.

    Args:
        name: its kind, which a listener asks for.
        data: UTF-8; may have several lines.
        version: what the client sends back as `Last-Event-ID` when it connects again.
    """
    lines = b"".join(b"data: " + line + b"\n" for line in data.splitlines() or [b""])
    identity = f"id: {version}\n" if version is not None else ""
    return f"event: {name}\n{identity}".encode() + lines + b"\n"


def comment(text: str) -> bytes:
    """Write something that clients skip; it keeps a connection alive."""
    return f": {text}\n\n".encode()


async def stream(request: web.Request, events: AsyncGenerator[bytes, None], places: Places) -> web.StreamResponse:
    """Answer with events until there are no more, or the reader goes away.

    Args:
        request: GET; a HEAD gets the headers.
        events: written events and comments.
        places: how many streams there may be at once.

    Raises:
        Refusal: there are too many streams already.
    """
    response = web.StreamResponse(headers=_HEADERS)
    async with aclosing(events):
        with places.place():
            await response.prepare(request)
            if request.method == "HEAD":
                return response
            silence_s = request.app[LIMITS].reader_silence_s
            try:
                await send(request, response, f"retry: {RETRY_MS}\n\n".encode(), silence_s)
                async for piece in events:
                    await send(request, response, piece, silence_s)
            except ReaderStalled:
                cut(request)
            except ConnectionError:
                pass  # the reader has gone
    return response
