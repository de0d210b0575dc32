"""`GET /v1/jobs/{job_id}/events`: one job's changes, as they happen."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from aiohttp import web

from jobs.view.job import Job
from jobs.words.errors import UnknownJob
from web.api.jobs import visible_job
from web.http.sse import comment, event, stream
from web.live.topic import Change, Changes, job_change
from web.live.watcher import WATCHER

#: One event, as its reader has it. Comments and the first `retry` are no events.
EVENT = {
    "oneOf": [
        {
            "type": "object",
            "properties": {
                "event": {"const": "job"},
                "id": {"type": "string", "description": "What to send as `Last-Event-ID` when reconnecting."},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"$ref": "#/components/schemas/Job"},
                },
            },
            "required": ["event", "id", "data"],
        },
        {
            "type": "object",
            "description": "The job has been forgotten.",
            "properties": {
                "event": {"const": "gone"},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {
                        "type": "object",
                        "properties": {"id": {"type": "string"}},
                        "required": ["id"],
                    },
                },
            },
            "required": ["event", "data"],
        },
    ]
}


async def job_events(request: web.Request) -> web.StreamResponse:
    """Send an event `job` immediately and whenever the job changes, until it has ended.

    A client that reconnects with the last version of a job that has ended gets 204, which tells it to stop.

    Raises:
        UnknownJob: there is no such job.
        Refusal: there are too many streams already.
    """
    known = request.headers.get("Last-Event-ID")
    job = await visible_job(request)
    if job.ended and known is not None and job_change(job).version == known:
        return web.Response(status=204)
    watcher = request.app[WATCHER]
    return await stream(request, job_lines(job.id, watcher.changes(job.id, known)), watcher.places)


async def job_lines(job_id: str, changes: Changes[Job]) -> AsyncGenerator[bytes, None]:
    """Write the changes of a job as events."""
    async with aclosing(changes):
        try:
            async for change in changes:
                if isinstance(change, Change):
                    yield event("job", change.json, change.version)
                else:
                    yield comment("the ledger does not answer, waiting" if change.away else "nothing new")
        except UnknownJob:
            yield event("gone", msgspec.json.encode({"id": job_id}))
