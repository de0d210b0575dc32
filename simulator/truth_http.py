"""What the handlers under ``/truth/`` share: the portal they are about, and the forms of their answers."""

from collections.abc import AsyncIterator, Iterable

import msgspec
from aiohttp import web
from pyroaring import BitMap

from simulator.front import PORTAL
from simulator.portal import Portal

#: How many IDs one piece of a text download holds.
_PIECE = 65536


def portal_of(request: web.Request) -> Portal:
    """Return the portal that the call is about."""
    return request.app[PORTAL]


def json_answer(value: object, status: int = 200) -> web.Response:
    """Return an answer with JSON."""
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


async def download(request: web.Request, contact_ids: BitMap) -> web.StreamResponse:
    """Send an ID set in the form that the call asks for."""
    form = request.query.get("format", "json")
    if form == "roaring":
        return web.Response(body=contact_ids.serialize(), content_type="application/octet-stream")
    if form == "text":
        contact_ids = contact_ids.copy()  # deletions go on while it is being sent

        async def lines() -> AsyncIterator[str]:
            for start in range(0, len(contact_ids), _PIECE):
                yield _lines(contact_ids[start : start + _PIECE])

        return await stream(request, lines())
    return json_answer(list(contact_ids))


def _lines(contact_ids: Iterable[int]) -> str:
    return "".join(f"{contact_id}\n" for contact_id in contact_ids)


async def stream(request: web.Request, pieces: AsyncIterator[str]) -> web.StreamResponse:
    """Send a text piece by piece."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    async for piece in pieces:
        await response.write(piece.encode())
    await response.write_eof()
    return response
