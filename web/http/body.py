"""Bodies of requests as they arrive: piece by piece, unpacked, with bounds on size and on silence."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from aiohttp import ClientError, web

from jobs.intake.unpacking import PackingError, PlainText, TooMuchText
from web.http.context import LIMITS
from web.http.limits import Limits
from web.http.problems import Kind, Refusal

T = TypeVar("T")

#: Passed on at a time: small enough to stay in memory, large enough to be worth a thread.
_BLOCK_BYTES = 512 << 10

_GZIP_MAGIC = b"\x1f\x8b"
_ENCODINGS = {"": False, "identity": False, "gzip": True, "x-gzip": True}


class TooSlow(Exception):
    """The body does not arrive, or not fast enough; the message says which."""


class Patience:
    """Bounds the wait for a body, from now on: it can neither go silent nor trickle in and hold its place for hours.

    Args:
        limits: of the server.
    """

    def __init__(self, limits: Limits) -> None:
        self._silence_s = limits.body_silence_s
        self._bytes_per_s = limits.body_bytes_per_s
        self._began_s = asyncio.get_running_loop().time()

    async def wait_for(self, more: Awaitable[T], received: int) -> T:
        """Wait for more of the body.

        Args:
            more: gives it.
            received: bytes that have come so far. Each of them buys the rest some time.

        Raises:
            TooSlow: it did not come.
        """
        silent_s = asyncio.get_running_loop().time() + self._silence_s
        trickles_s = self._began_s + self._silence_s + received / self._bytes_per_s
        try:
            async with asyncio.timeout_at(min(silent_s, trickles_s)):
                return await more
        except TimeoutError:
            if silent_s <= trickles_s:
                raise TooSlow(f"No part of the body has arrived for {self._silence_s:g} s.") from None
            raise TooSlow(f"The body arrives more slowly than {self._bytes_per_s:,} bytes a second.") from None


async def read_body(request: web.Request, limit: int, take: Callable[[bytes], object]) -> None:
    """Read a body to its end, as it is sent.

    Args:
        request: the request.
        limit: most bytes.
        take: called with the body in blocks, packed if it is, in a thread, so that other requests go on.

    Raises:
        Refusal: it is too large, too slow, incomplete, or packed in a way that is not known.
    """
    begins_with = _GZIP_MAGIC if _is_packed(request) else b""
    start = b""
    async for block in _blocks(request, limit):
        if len(start) < len(begins_with):
            start += block[: len(begins_with)]
            if not begins_with.startswith(start[: len(begins_with)]):
                raise Refusal(Kind.BAD_BODY, "Content-Encoding says gzip, but the body is something else.")
        await asyncio.to_thread(take, block)


async def read_plain(request: web.Request, limit: int, take: Callable[[bytes], object]) -> None:
    """Read a body to its end as plain text. Gzip is recognised by its header field or by its first bytes.

    Args:
        request: the request.
        limit: most bytes, of the text as well as of what is sent.
        take: called with the text in pieces of at most a megabyte, in a thread, so that other requests go on.

    Raises:
        Refusal: it is too large, too slow, incomplete, or packed in a way that is not known.
    """
    plain = PlainText(limit)

    def unpack(block: bytes) -> None:
        for piece in plain.feed(block):
            take(piece)

    def finish() -> None:
        for piece in plain.close():
            take(piece)

    try:
        await read_body(request, limit, unpack)
        await asyncio.to_thread(finish)
    except TooMuchText:
        raise _too_large(limit, "unpacked ") from None
    except PackingError as error:
        raise Refusal(Kind.BAD_BODY, f"{error}.") from None


async def _blocks(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    if request.headers.get("Expect"):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # this was no answer yet
    patience = Patience(request.app[LIMITS])
    block = bytearray()
    length = 0
    while True:
        try:
            chunk = await patience.wait_for(request.content.readany(), length)
        except TooSlow as error:
            raise Refusal(Kind.SLOW_BODY, f"{error}") from None
        except (web.RequestPayloadError, ClientError, OSError):
            raise Refusal(Kind.BAD_BODY, "The body ended early; nothing was accepted.") from None
        if not chunk:
            break
        length += len(chunk)
        if length > limit:
            raise _too_large(limit)
        block += chunk
        if len(block) >= _BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _is_packed(request: web.Request) -> bool:
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    try:
        return _ENCODINGS[encoding]
    except KeyError:
        raise Refusal(
            Kind.WRONG_MEDIA_TYPE, "The only supported Content-Encoding is gzip.", headers={"Accept-Encoding": "gzip"}
        ) from None


def _too_large(limit: int, what: str = "") -> Refusal:
    return Refusal(Kind.TOO_LARGE, f"The {what}body may have at most {limit:,} bytes.")
