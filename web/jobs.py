"""Looking at jobs and steering them."""

from aiohttp import web

from jobs.control import UnknownJob
from jobs.submit import BadSubmission, check_job_id
from jobs.view import read_job
from web.answers import as_json
from web.context import REDIS
from web.keys import check_visible


def job_id_of(request: web.Request) -> str:
    """Give the job ID in the address.

    Raises:
        UnknownJob: no job can have such an ID.
    """
    job_id = request.match_info["job_id"]
    try:
        return check_job_id(job_id)
    except BadSubmission:
        raise UnknownJob(job_id[:80]) from None


async def get_job(request: web.Request) -> web.Response:
    """Answer a job."""
    return as_json(check_visible(request, await read_job(request.app[REDIS], job_id_of(request))))
