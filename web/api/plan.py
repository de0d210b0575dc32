"""`GET /v1/jobs/{job_id}/plan`: what is predicted for each contact ID, of any number in the same memory."""

import msgspec
from aiohttp import web

from jobs.ledger.export import Format
from jobs.plan.export import read_plan_text
from jobs.words.verdicts import Verdict
from web.api.downloads import stream_text
from web.api.jobs import visible_job
from web.api.reading import query_of
from web.http.context import REDIS


class PlanQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines of a plan to send, and how to write them."""

    verdict: Verdict | None = None
    """Only contacts with this verdict."""
    format: Format = Format.NDJSON
    """How lines are written."""


class PlanLine(msgspec.Struct, frozen=True):
    """What is predicted for one contact ID."""

    contact_id: int
    verdict: Verdict


async def job_plan(request: web.Request) -> web.StreamResponse:
    """Send the plan of a job, or a part of it; the query says which lines, and how.

    Raises:
        UnknownJob: there is no such job.
        NoPlan: it has no plan, or none yet.
        Refusal: a parameter is wrong, or there are too many downloads already.
    """
    query = query_of(request, PlanQuery)
    job = await visible_job(request)
    texts = read_plan_text(request.app[REDIS], job.id, query.format, query.verdict)
    return await stream_text(request, job.id, query.format, f"plan-{query.verdict}" if query.verdict else "plan", texts)
