"""`GET /v1/jobs/{job_id}/results`: the ledger of a job as a file, of any size in the same memory."""

import asyncio
import re
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from aiohttp import web
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from config.logging import get_logger
from jobs.ledger.export import Format, read_text
from jobs.ledger.rows import has_ledger
from jobs.view.job import Job, read_job
from jobs.words.errors import UnknownJob
from jobs.words.outcomes import Outcome
from jobs.words.states import State
from web.api.jobs import job_id_of
from web.api.reading import query_of
from web.http.callers import check_visible
from web.http.context import LIMITS, REDIS
from web.http.encoding import wants_gzip
from web.http.places import Places
from web.http.problems import illegal
from web.http.sending import ReaderStalled, cut, send

_MEDIA_TYPES = {Format.NDJSON: "application/x-ndjson", Format.CSV: "text/csv; charset=utf-8"}

_log = get_logger()


class ResultsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines of a ledger to send, and how to write them."""

    outcome: Outcome | None = None
    """Only the lines with this outcome."""
    format: Format = Format.NDJSON
    """How lines are written."""


class LedgerLine(msgspec.Struct, frozen=True):
    """What became of one contact ID: one line of the ledger."""

    contact_id: int
    outcome: Outcome
    reason: str | None
    http_status: int | None
    """Of the last PUT that held it."""
    attempts: int
    """PUTs that held it, not counting those that were turned away."""
    at: str | None
    """When the outcome was recorded; null while it is pending."""


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


async def job_results(request: web.Request) -> web.StreamResponse:
    """Send the ledger of a job; `outcome` and `format` in the query say which lines, and how.

    Raises:
        UnknownJob: there is no such job.
        Refusal: a parameter is wrong, there is no ledger yet, or there are too many downloads already.
    """
    query = query_of(request, ResultsQuery)
    return await stream_results(request, job_id_of(request), query.format, query.outcome)


async def stream_results(
    request: web.Request, job_id: str, form: Format, outcome: Outcome | None = None
) -> web.StreamResponse:
    """Send the ledger of a job that the caller may see, as a file. It can be requested at any time.

    A ledger that cannot be sent to its end, because the job was forgotten meanwhile or Redis went away, breaks off
    with a reset of the connection: no client can take it for a complete one.

    Args:
        request: GET; a HEAD gets the headers.
        job_id: the job's ID.
        form: how lines are written.
        outcome: only the lines with this outcome; None for all.

    Raises:
        UnknownJob: there is no such job.
        Refusal: there is no ledger yet, or there are too many downloads already.
        redis.exceptions.RedisError: Redis is away.
    """
    redis = request.app[REDIS]
    await check_ledger(redis, check_visible(request, await read_job(redis, job_id)))
    packed = wants_gzip(request.headers.getall("Accept-Encoding", ()))
    response = web.StreamResponse(headers=_headers(job_id, form, outcome, packed=packed))
    if request.method == "HEAD":
        await response.prepare(request)
        return response
    silence_s = request.app[LIMITS].reader_silence_s
    with request.app[DOWNLOADS].places.place():
        async with aclosing(_pieces(request, job_id, form, outcome, packed=packed)) as pieces:
            # Before the answer begins, whatever is wrong can still be told. An empty ledger may have no piece at all.
            first = await anext(pieces, b"")
            await response.prepare(request)
            try:
                await send(response, first, silence_s)
                async for piece in pieces:
                    await send(response, piece, silence_s)
            except (ReaderStalled, UnknownJob, RedisError, ConnectionError) as error:
                _break_off(request, job_id, error)
            except BaseException:
                cut(request)
                raise
    return response


async def check_ledger(redis: ArqRedis, job: Job) -> None:
    """Make sure that a job has a ledger: one that was submitted with plain arq gets it from the worker that takes it.

    Raises:
        Refusal: it has none yet.
    """
    if job.state is State.QUEUED and not await has_ledger(redis, job.id):
        raise illegal(f"job {job.id} has no ledger yet: no worker has taken it", job.state)


async def _pieces(
    request: web.Request, job_id: str, form: Format, outcome: Outcome | None, *, packed: bool
) -> AsyncGenerator[bytes, None]:
    turn = request.app[DOWNLOADS].turn
    gzip = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16) if packed else None
    async with aclosing(read_text(request.app[REDIS], job_id, form, outcome)) as texts:
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


def _headers(job_id: str, form: Format, outcome: Outcome | None, *, packed: bool) -> dict[str, str]:
    # An ID that came through a queue may hold anything; a file name may not.
    name = "-".join(["crm-sweep", re.sub(r"[^A-Za-z0-9._-]", "_", job_id)[:64], *([outcome] if outcome else [])])
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
