"""`GET /v1/jobs/{job_id}/results`: the ledger of a job as a file, of any size in the same memory."""

import msgspec
from aiohttp import web
from arq.connections import ArqRedis

from jobs.ledger.export import Format, read_text
from jobs.ledger.rows import has_ledger
from jobs.plan.export import read_departures
from jobs.view.job import Job, read_job
from jobs.words.outcomes import Outcome
from jobs.words.states import State
from web.api.downloads import stream_text
from web.api.jobs import job_id_of
from web.api.reading import query_of
from web.http.callers import check_visible
from web.http.context import REDIS
from web.http.problems import Kind, Refusal, Wrong, illegal


class ResultsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines of a ledger to send, and how to write them."""

    outcome: Outcome | None = None
    """Only the lines with this outcome."""
    against_plan: bool = False
    """Only the lines that are not as the job's plan predicted, each with its `verdict`; not together with `outcome`."""
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


async def job_results(request: web.Request) -> web.StreamResponse:
    """Send the ledger of a job, or a part of it; the query says which lines, and how.

    Raises:
        UnknownJob: there is no such job.
        NoPlan: the lines are to be compared with its plan, and it has none.
        Refusal: a parameter is wrong, there is no ledger yet, or there are too many downloads already.
    """
    query, job_id = query_of(request, ResultsQuery), job_id_of(request)
    if not query.against_plan:
        return await stream_results(request, job_id, query.format, query.outcome)
    if query.outcome is not None:
        wrong = Wrong(where="query.outcome", why="cannot be combined with against_plan")
        raise Refusal(Kind.UNKNOWN_PARAMETER, f"{wrong.where}: {wrong.why}.", more={"errors": (wrong,)})
    redis = request.app[REDIS]
    check_visible(request, await read_job(redis, job_id))
    return await stream_text(
        request, job_id, query.format, "against-plan", read_departures(redis, job_id, query.format)
    )


async def stream_results(
    request: web.Request, job_id: str, form: Format, outcome: Outcome | None
) -> web.StreamResponse:
    """Send the ledger of a job that the caller may see; see `stream_text`.

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
    return await stream_text(request, job_id, form, outcome, read_text(redis, job_id, form, outcome))


async def check_ledger(redis: ArqRedis, job: Job) -> None:
    """Make sure that a job has a ledger: one that was submitted with plain arq gets it from the worker that takes it.

    Raises:
        Refusal: it has none yet.
    """
    if job.state is State.QUEUED and not await has_ledger(redis, job.id):
        raise illegal(f"job {job.id} has no ledger yet: no worker has taken it", job.state)
