"""Sends answers of unknown length: a reader that stalls is cut off, and what breaks off never looks complete."""

import asyncio
import contextlib
import socket
import struct

from aiohttp import web

#: Bytes handed over at a time. In 30 s each, they ask for 2 KB/s of the slowest reader.
PIECE = 65_536

#: A connection that has nothing else to send takes so many bytes at once: far fewer than its buffer has room for. So
#: there is nothing to wait for, and an event saves the cost of a time limit.
_LITTLE = PIECE // 4

#: Do not linger: what is still unsent is dropped, and the peer learns it by a reset.
_NO_LINGER = struct.pack("ii", 1, 0)


class ReaderStalled(Exception):
    """The reader took next to nothing for too long."""


async def send(request: web.Request, response: web.StreamResponse, data: bytes, silence_s: float) -> None:
    """Send some bytes, as fast as they are taken.

    Args:
        request: what is answered.
        response: prepared before.
        data: what to send.
        silence_s: longest time that a reader may take for `PIECE` bytes.

    Raises:
        ReaderStalled: the reader took nothing for too long; the connection should be cut.
        ConnectionError: the reader has gone.
    """
    if len(data) <= _LITTLE and not _waits(request):
        await response.write(data)
        return
    whole = memoryview(data)
    for start in range(0, len(whole), PIECE):
        try:
            async with asyncio.timeout(silence_s):
                await response.write(whole[start : start + PIECE])
        except TimeoutError:
            raise ReaderStalled from None


def _waits(request: web.Request) -> bool:
    """Check whether the reader has not taken all that it was sent before."""
    transport = request.transport
    return transport is None or transport.get_write_buffer_size() > 0


def cut(request: web.Request) -> None:
    """Break the connection in the middle of an answer.

    By a reset, not by an orderly end: an HTTP/1.0 client, or one that does not look at chunks, takes that for the end
    of the answer.
    """
    transport = request.transport
    if transport is None:
        return
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):  # a Unix socket, or one that is closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
