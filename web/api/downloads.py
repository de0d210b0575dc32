"""Sending text of any size about a job as a file, in the same memory: its ledger, or its plan."""

import asyncio
import re
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeAlias

from aiohttp import web
from redis.exceptions import RedisError

from config.logging import get_logger
from jobs.ledger.export import Format
from jobs.words.errors import UnknownJob
from web.http.context import LIMITS
from web.http.encoding import wants_gzip
from web.http.places import Places
from web.http.sending import ReaderStalled, cut, send

_MEDIA_TYPES = {Format.NDJSON: "application/x-ndjson", Format.CSV: "text/csv; charset=utf-8"}

Texts: TypeAlias = AsyncGenerator[tuple[str, int], None]

_log = get_logger()


class Downloads:
    """Bounds what all downloads of this process take together.

    Args:
        at_once: ledgers that may be sent at the same time, each of which holds a few megabytes.
        makers: how many of them may make text at the same time; more would keep other requests waiting.
    """

    def __init__(self, at_once: int, makers: int = 2) -> None:
        self.places = Places(at_once, "Too many ledgers are being sent; try again later.")
        self.turn = asyncio.Semaphore(makers)


DOWNLOADS = web.AppKey("downloads", Downloads)
"""The downloads of this process."""


def install(app: web.Application) -> None:
    """Give an application its bounds of downloads."""
    app[DOWNLOADS] = Downloads(app[LIMITS].downloads)


async def stream_text(
    request: web.Request, job_id: str, form: Format, part: str | None, texts: Texts
) -> web.StreamResponse:
    """Send text about a job.

    A text that cannot be sent to its end, because the job was forgotten meanwhile or Redis went away, breaks off with a
    reset of the connection: no client can take it for a complete one.

    Args:
        request: GET; a HEAD gets the headers.
        job_id: the job's ID.
        form: how lines are written.
        part: what the file is about, for its name; None for the whole ledger.
        texts: the text, piece by piece, and how many lines each piece has.

    Raises:
        UnknownJob: there is no such job.
        Refusal: there are too many downloads already.
        redis.exceptions.RedisError: Redis is away.
    """
    packed = wants_gzip(request.headers.getall("Accept-Encoding", ()))
    response = web.StreamResponse(headers=_headers(job_id, form, part, packed=packed))
    if request.method == "HEAD":
        await texts.aclose()
        await response.prepare(request)
        return response
    silence_s = request.app[LIMITS].reader_silence_s
    with request.app[DOWNLOADS].places.place():
        async with aclosing(_pieces(request, texts, packed=packed)) as pieces:
            # Before the answer begins, whatever is wrong can still be told. An empty text may have no piece at all.
            first = await anext(pieces, b"")
            await response.prepare(request)
            try:
                await send(request, response, first, silence_s)
                async for piece in pieces:
                    await send(request, response, piece, silence_s)
            except (ReaderStalled, UnknownJob, RedisError, ConnectionError) as error:
                _break_off(request, job_id, error)
            except BaseException:
                cut(request)
                raise
    return response


async def _pieces(request: web.Request, texts: Texts, *, packed: bool) -> AsyncGenerator[bytes, None]:
    turn = request.app[DOWNLOADS].turn
    gzip = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16) if packed else None
    async with aclosing(texts):
        while True:
            async with turn:
                part = await anext(texts, None)
                if part is None:
                    break
                text, _ = part
                data = text.encode() if gzip is None else await asyncio.to_thread(_pack, gzip, text)
            yield data
    if gzip is not None:
        yield gzip.flush()


def _pack(gzip: "zlib._Compress", text: str) -> bytes:
    return gzip.compress(text.encode())


def _headers(job_id: str, form: Format, part: str | None, *, packed: bool) -> dict[str, str]:
    # An ID that came through a queue may hold anything; a file name may not.
    name = "-".join(["crm-sweep", re.sub(r"[^A-Za-z0-9._-]", "_", job_id)[:64], *([part] if part else [])])
    headers = {
        "Content-Type": _MEDIA_TYPES[form],
        "Content-Disposition": f'attachment; filename="{name}.{form}"',
        "Vary": "Accept-Encoding",
    }
    return headers | {"Content-Encoding": "gzip"} if packed else headers


def _break_off(request: web.Request, job_id: str, error: Exception) -> None:
    cut(request)
    why = {ReaderStalled: "reader_stalled", UnknownJob: "job_forgotten"}.get(type(error))
    if why is None:
        why = "redis_away" if isinstance(error, RedisError) else "reader_gone"
    _log.info("results_broken_off", job_id=job_id, why=why)
