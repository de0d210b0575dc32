"""Accepting what other services enqueue with plain arq, as a job or as a failed job."""

import asyncio
import hashlib

from arq.connections import ArqRedis

from config.errors import UnknownPortal
from config.settings import Portal, Settings
from jobs.accept.reject import reject_job
from jobs.accept.submission import Submission, submission_for
from jobs.accept.submit import submit
from jobs.arq_messages.request import Request, read_request
from jobs.words.errors import BadSubmission, JobExists
from jobs.words.job_ids import check_job_id

#: Who submits: arq does not record more.
_BY = "arq"


async def accept(redis: ArqRedis, settings: Settings, arq_job_id: str, data: bytes) -> str:
    """Accept a message as a job, or keep it as a failed job. Accepting a message twice has the effect of once.

    Args:
        redis: the connection.
        settings: the configured portals.
        arq_job_id: arq's ID of the message, which becomes the job's.
        data: the message as it was in Redis, whatever it is.

    Returns:
        The job's ID.

    Raises:
        BadSubmission: the request is wrong, and is kept as a failed job.
        JobExists: the ID is taken by another request, which stays as it is.
    """
    request = await asyncio.to_thread(read_request, data)
    portal = settings.portals.get(request.portal)
    if portal is None and request.portal:
        request.problems.append(str(UnknownPortal(request.portal, settings.portals)))
    try:
        check_job_id(arq_job_id)
    except BadSubmission as error:
        # Such an ID could break a key or a URL, so the request is refused and kept under another ID.
        request.problems.append(str(error))
        arq_job_id = f"arq-{hashlib.sha256(arq_job_id.encode()).hexdigest()[:16]}"
    submission = submission_of(request, portal, arq_job_id) if portal else None
    if submission is None:
        await refuse(redis, arq_job_id, request)
    else:
        await submit(redis, submission)
    return arq_job_id


async def refuse(redis: ArqRedis, job_id: str, request: Request) -> None:
    """Keep a wrong request as a failed job.

    Raises:
        BadSubmission: always; the message says what is wrong.
        JobExists: the ID is taken by another request, which stays as it is.
    """
    error = "; ".join(request.problems)
    kept = await reject_job(
        redis, job_id, error, by=_BY, portal=request.portal, label=request.label, priority=request.priority
    )
    if not kept:
        raise JobExists(job_id) from BadSubmission(error)
    raise BadSubmission(error)


def submission_of(request: Request, portal: Portal, job_id: str) -> Submission | None:
    """Return the submission that a request asks for; None if it has problems.

    Args:
        request: the request; what a guard of the portal refuses is added to its problems.
        portal: its portal.
        job_id: the job's ID.
    """
    if request.problems:
        return None
    try:
        return submission_for(
            portal,
            request.ids,
            by=_BY,
            selection=request.filter,
            plan=request.plan,
            undo=request.undo,
            job_id=job_id,
            label=request.label,
            duplicates=request.duplicates,
            priority=request.priority,
        )
    except BadSubmission as error:
        request.problems.append(str(error))
        return None
