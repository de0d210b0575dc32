"""The buttons of a job: pause, resume, cancel, approve, retry-failed, and its priority."""

from aiohttp import web

from jobs.steering.steer import change_priority, steer_job
from jobs.view.job import Job, read_job
from jobs.words.errors import IllegalMove, JobHasEnded, NotDue
from jobs.words.priority import Priority
from jobs.words.states import Event
from web.api.jobs import VERBS
from web.http.callers import caller, check_visible
from web.http.context import REDIS, SETTINGS
from web.page.admission import form_value
from web.page.approval import approve
from web.page.job_screens import job_page
from web.page.render import page, see_other
from web.page.text import path_part
from web.page.words import path_word


async def steer(request: web.Request) -> web.Response:
    """Carry out what a button asks for, and show the job again."""
    job, verb = await _job(request), request.match_info["verb"]
    try:
        if verb == path_word(Event.APPROVE):
            in_the_way = await approve(request, job)
            return in_the_way or see_other(f"/jobs/{path_part(job.id)}?did={verb}")
        return see_other(f"/jobs/{path_part(job.id)}?did={await _carry_out(request, job, verb)}")
    except (IllegalMove, JobHasEnded, NotDue) as error:
        # Another user was faster, or it has ended in the meantime: say so beside how it stands now.
        now = await read_job(request.app[REDIS], job.id)
        return await job_page(request, now, status=409, error=f"Nothing has changed: {error}.")


async def ask_to_cancel(request: web.Request) -> web.Response:
    """Ask before a job is stopped for good."""
    return page(request, "cancel.html", job=await _job(request))


async def _job(request: web.Request) -> Job:
    return check_visible(request, await read_job(request.app[REDIS], request.match_info["job_id"]))


async def _carry_out(request: web.Request, job: Job, verb: str) -> str:
    """Carry out a verb, and return the word for what was done."""
    redis, settings, by = request.app[REDIS], request.app[SETTINGS], caller(request).name
    if verb == "priority":
        await change_priority(redis, settings, job.id, _priority(form_value(request, "priority")), by=by)
        return verb
    event = VERBS[verb]
    steered = await steer_job(redis, settings, job.id, event, by=by)
    if steered.rest_until_ms:
        return "rest-ended"
    return "nothing-failed" if event is Event.RETRY_FAILED and not steered.retried else verb


def _priority(word: str) -> Priority:
    try:
        return Priority(word)
    except ValueError:
        raise web.HTTPBadRequest from None
