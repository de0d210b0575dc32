"""Sending an answer over the connection: whole, cut off, or not at all."""

import asyncio
import enum
import socket
import struct

from aiohttp import web

from simulator.replies import Answer

#: How often a silent call checks whether its caller has gone.
_SILENCE_S = 0.02


class ConnectionEnd(enum.Enum):
    """How much of an answer is sent."""

    WHOLE = enum.auto()
    #: Half of the body, with the Content-Length of all of it; then the connection closes.
    CUT = enum.auto()


async def send(request: web.Request, answer: Answer, end: ConnectionEnd) -> tuple[web.StreamResponse, bool]:
    """Send an answer; also return whether all of it was handed to an open connection.

    Raises:
        ConnectionError: the caller went away while it was being sent.
    """
    if end is ConnectionEnd.CUT:
        return await _send_half(request, answer), False
    response = web.Response(status=answer.status, body=answer.body or None, headers=_headers(answer))
    if _gone(request):
        return response, False
    await response.prepare(request)
    await response.write_eof()
    return response, not _gone(request)


async def _send_half(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_headers(answer))
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def tear(request: web.Request) -> web.StreamResponse:
    """Reset the connection: the caller gets a TCP reset, not an orderly end."""
    if request.transport is not None:
        connection: socket.socket = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


async def stay_silent(request: web.Request) -> web.StreamResponse:
    """Never answer; return when the caller has given up."""
    while not _gone(request):  # noqa: ASYNC110 - a handler cannot wait for the end of the connection
        await asyncio.sleep(_SILENCE_S)
    return web.Response()


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _headers(answer: Answer) -> dict[str, str]:
    headers = {"Cache-Control": "private, max-age=0", "Server": "nginx"}
    if answer.content_type is not None:
        headers["Content-Type"] = answer.content_type
    headers.update(answer.headers)
    return headers
