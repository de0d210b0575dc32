"""Handlers that show jobs and steer them."""

from aiohttp import web

from config.errors import UnknownPortal
from jobs.steering.steer import change_priority, steer_job
from jobs.view.job import Job, list_jobs, read_job, with_sample
from jobs.view.why import explain
from jobs.words.errors import BadSubmission, UnknownJob
from jobs.words.job_ids import check_job_id
from jobs.words.states import Event
from web.api.models import Approval, JobChange, JobList, JobsQuery
from web.api.operation import Handler
from web.api.reading import json_of, query_of
from web.http.as_json import as_json
from web.http.callers import caller, check_visible
from web.http.context import REDIS, SETTINGS
from web.http.problems import Kind, Refusal, Wrong
from web.live.job_reader import READER

#: What a user can ask of a job, as spelled in addresses.
VERBS: dict[str, Event] = {
    "pause": Event.PAUSE,
    "resume": Event.RESUME,
    "cancel": Event.CANCEL,
    "retry-failed": Event.RETRY_FAILED,
}


def job_id_of(request: web.Request) -> str:
    """Return the job ID in the address.

    Raises:
        UnknownJob: no job can have such an ID.
    """
    job_id = request.match_info["job_id"]
    try:
        return check_job_id(job_id)  # with a colon in it, a part of a job could be taken for a job
    except BadSubmission:
        raise UnknownJob(job_id[:80]) from None


async def visible_job(request: web.Request) -> Job:
    """Read the job in the address.

    Raises:
        UnknownJob: there is none, or none that the caller may see.
    """
    return check_visible(request, await request.app[READER].read(job_id_of(request)))


async def get_job(request: web.Request) -> web.Response:
    """Answer with a job; the sample of its plan is for those who may approve it."""
    job = await visible_job(request)
    if "control" in caller(request).scopes:
        job = await with_sample(request.app[REDIS], job)
    return as_json(job)


async def get_why(request: web.Request) -> web.Response:
    """Answer with what holds a job back."""
    job = await visible_job(request)
    return as_json(await explain(request.app[REDIS], request.app[SETTINGS], job.id))


async def get_jobs(request: web.Request) -> web.Response:
    """Answer with a page of jobs."""
    query = query_of(request, JobsQuery)
    try:
        page = await _visible_page(request, query)
    except ValueError:
        wrong = Wrong(where="query.cursor", why="expected next_cursor of the previous page")
        raise Refusal(Kind.UNKNOWN_PARAMETER, f"{wrong.where}: {wrong.why}.", more={"errors": (wrong,)}) from None
    return as_json(page)


async def _visible_page(request: web.Request, query: JobsQuery) -> JobList:
    """Read a page of the jobs that the caller may see."""
    redis, known, settings = request.app[REDIS], caller(request), request.app[SETTINGS]
    state, portal, cursor = query.state or None, query.portal or None, query.cursor or None
    if portal is not None and not known.sees(portal):
        raise UnknownPortal(portal, filter(known.sees, settings.portals))
    page = await list_jobs(redis, state=state, portal=portal, portals=known.portals, limit=query.limit, cursor=cursor)
    if portal is not None and not page.jobs and portal not in settings.portals:
        # Jobs outlive the configuration of their portal; a name without either is a typing error.
        raise UnknownPortal(portal, filter(known.sees, settings.portals))
    return JobList(page.jobs, page.next_cursor)


def steer(verb: str) -> Handler:
    """Make the handler for one of `VERBS`."""
    event = VERBS[verb]

    async def handler(request: web.Request) -> web.Response:
        job = await visible_job(request)
        redis, settings = request.app[REDIS], request.app[SETTINGS]
        await steer_job(redis, settings, job.id, event, by=caller(request).name)
        return as_json(await read_job(redis, job.id))

    return handler


async def approve_job(request: web.Request) -> web.Response:
    """Approve a job: what its plan says, or its size."""
    job = await visible_job(request)
    digest = json_of(request, Approval).digest or None
    redis, settings = request.app[REDIS], request.app[SETTINGS]
    await steer_job(redis, settings, job.id, Event.APPROVE, by=caller(request).name, digest=digest)
    return as_json(await read_job(redis, job.id))


async def change_job(request: web.Request) -> web.Response:
    """Change a job's priority."""
    job = await visible_job(request)
    change = json_of(request, JobChange)
    redis, settings = request.app[REDIS], request.app[SETTINGS]
    await change_priority(redis, settings, job.id, change.priority, by=caller(request).name)
    return as_json(await read_job(redis, job.id))
