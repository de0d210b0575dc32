"""Accepting a job that another service has just submitted, so that a user can steer it before a worker takes it."""

import asyncio
import time

from arq.connections import ArqRedis

from config.settings import Settings
from jobs.accept.from_arq import refuse, submission_of
from jobs.accept.submission import Submission
from jobs.accept.submit import Asked, first_state, request_digest, submit
from jobs.arq_messages.message import FUNCTION, find_message, finish_message, hold_message, read_message
from jobs.arq_messages.request import Request, read_request
from jobs.store.keys import known_key
from jobs.store.times import iso
from jobs.words.errors import BadSubmission, JobExists, NotDue
from jobs.words.states import MOVES, Event, State, refused

#: How long workers leave the message alone. One that takes it all the same creates the very same job from it.
_HOLD_MS = 10_000


async def take_in(redis: ArqRedis, settings: Settings, job_id: str, asked: Asked | None = None) -> State | None:
    """Accept the message that a job is still in, as a worker would, and steer the job in the same step.

    Call it before steering a job. A worker that takes the message at the same moment does no harm: whichever is first
    creates the job, and the other one finds it.

    Args:
        redis: the connection.
        settings: the configured portals.
        job_id: the job's ID.
        asked: what a user asks of the job; None for what can wait until the job exists.

    Returns:
        The job's state if the request was carried out; None if the job still has to be steered, because there is no
        message or a worker has already created the job from it.

    Raises:
        UnknownJob: there can be no job with this ID.
        IllegalMove: the first state of the job does not allow the event; the message is left alone.
        NotDue: the sender deferred the job, and this would start it.
        UnknownPortal: its portal is not configured here.
    """
    digest = await redis.execute_command("HGET", known_key(job_id), "digest")
    waiting = await find_message(redis, job_id)
    data = await read_message(redis, job_id) if waiting else None
    request = await asyncio.to_thread(read_request, data) if data else None
    if waiting is None or request is None or request.function != FUNCTION:
        return None
    if digest is not None:
        if request_digest(request.portal, request.ids) == digest.decode() and not request.problems:
            await _leave_nothing_behind(redis, job_id, request)
        return None
    submission = None
    if not request.problems:
        submission = submission_of(request, settings.portal(request.portal), job_id)
    if submission is not None:
        _check(submission, asked, waiting.due_ms)
    is_ours = await hold_message(redis, job_id, _HOLD_MS)
    answer: str | Exception = job_id
    state = None
    try:
        if submission:
            state = (await submit(redis, submission, asked)).state
        else:
            await refuse(redis, job_id, request)
    except (BadSubmission, JobExists) as error:
        answer = error  # for the sender; the user finds the job that exists now
    if is_ours:
        await finish_message(redis, job_id, request.enqueued_ms, answer)
    return state if asked else None


def _check(submission: Submission, asked: Asked | None, due_ms: float) -> None:
    """Check that the job's first state allows what is asked, and that it starts no job before the sender wants it.

    Raises:
        IllegalMove: its first state does not allow the event.
        NotDue: the sender deferred the job.
    """
    first = first_state(submission)
    if asked and (first, asked.event) not in MOVES:
        raise refused(first, asked.event)
    cannot_start = asked is not None and asked.event in {Event.PAUSE, Event.CANCEL}
    if not cannot_start and due_ms > time.time() * 1000:
        until = iso(round(due_ms))
        raise NotDue(
            f"job {submission.job_id} is deferred until {until}; until then it can only be paused or cancelled"
        )


async def _leave_nothing_behind(redis: ArqRedis, job_id: str, request: Request) -> None:
    """Take a message out of the queue whose job already exists.

    Usually a worker is about to do so. But if the process that created the job died before that, and the sender had
    deferred the job for longer than jobs are kept, the job would come back after it was cancelled and forgotten.
    """
    if await hold_message(redis, job_id, _HOLD_MS):
        await finish_message(redis, job_id, request.enqueued_ms, job_id)
