"""Accepting a job: the one door through which every list of contact IDs comes in."""

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from arq.connections import ArqRedis
from pyroaring import BitMap
from redis.exceptions import RedisError, ResponseError
from ulid import ULID

from jobs.lanes.wake import wake_lanes
from jobs.store import keys
from jobs.store.scripts import Script
from jobs.words.contact_ids import digest, segments
from jobs.words.errors import BadSubmission, JobExists
from jobs.words.job_ids import check_job_id
from jobs.words.labels import check_label
from jobs.words.priority import Priority
from jobs.words.reasons import StateReason
from jobs.words.states import State

CREATE_JOB = Script("create_job")

_STAGING_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request to delete contacts.

    Attributes:
        portal: name of a configured portal.
        ids: the contact IDs, at least one.
        job_id: the job's ID if the caller chose one; it makes sending twice safe.
        label: free text for people, at most 200 characters.
        duplicates: how many IDs of the list stood there more than once.
        needs_approval: somebody has to `approve` before anything is sent.
        lanes: how many lanes may work on it at once: the portal's `max_concurrency`.
        priority: how often its turn comes among the other jobs of the portal.
        by: who submits; kept with the job. Empty where that is not known.
        held: the job starts out `pausing`, because it was paused or cancelled before it was accepted.
    """

    portal: str
    ids: BitMap
    job_id: str | None = None
    label: str = ""
    duplicates: int = 0
    needs_approval: bool = False
    lanes: int = 1
    priority: Priority = Priority.NORMAL
    by: str = ""
    held: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job stands in Redis.

    Attributes:
        job_id: its ID.
        created: False if the same request had been accepted before.
    """

    job_id: str
    created: bool


async def submit(redis: ArqRedis, submission: Submission) -> Accepted:
    """Accept a job and wake lanes for it. Nothing is half accepted: the job appears in one step, or not at all.

    Raises:
        BadSubmission: no contact IDs, or an ID or label that cannot be one.
        JobExists: the ID is taken by another request.
        redis.exceptions.RedisError: Redis is away, or refuses.
    """
    if not submission.ids:
        raise BadSubmission("the list has no contact IDs")
    check_label(submission.label)
    job_id = str(ULID()) if submission.job_id is None else check_job_id(submission.job_id)
    fingerprint = await asyncio.to_thread(request_digest, submission.portal, submission.ids)
    state, reason = _first_state(submission)
    fields: dict[str, str | float] = {
        "portal": submission.portal,
        "label": submission.label,
        "total": len(submission.ids),
        "duplicates": submission.duplicates,
        "priority": submission.priority,
        "stride": submission.priority.stride,
    }
    job_keys = keys.job(job_id), keys.portal(submission.portal), keys.JOBS
    arguments = [job_id, fingerprint, state, reason, submission.by, *(part for pair in fields.items() for part in pair)]
    try:
        reply = await _stage_and_create(redis, submission.ids, job_keys, arguments)
    except _NotStaged:
        # Parts of the list were lost with a server that failed over in the middle of it.
        reply = await _stage_and_create(redis, submission.ids, job_keys, arguments)
    created = reply[0] == b"created"
    if not created and reply[1].decode() != fingerprint:
        raise JobExists(job_id)
    if created and state is State.QUEUED:
        await wake_lanes(redis, submission.portal, min(submission.lanes, len(submission.ids)))
    return Accepted(job_id, created)


class _NotStaged(ResponseError):
    """Not all of the list is there; nothing was accepted."""


async def _stage_and_create(
    redis: ArqRedis, ids: BitMap, job_keys: tuple[str, str, str], arguments: Sequence[str | float]
) -> list[bytes]:
    """Write the list, and make the job of it in one step: the whole list, or nothing."""
    staged = keys.staging(str(ULID()))
    job, portal, index = job_keys
    try:
        await _stage(redis, staged, ids)
        reply: list[bytes] = await CREATE_JOB(redis, [job, staged, portal, index], arguments)
    except ResponseError as error:
        # Where memory is short, half a list must not lie there for an hour.
        with contextlib.suppress(RedisError):
            await redis.unlink(staged)
        if "NOTSTAGED" in str(error):
            raise _NotStaged(*error.args) from error
        raise
    return reply


def _first_state(submission: Submission) -> tuple[State, str]:
    """Give a new job's state and state_reason."""
    if submission.needs_approval:
        return State.AWAITING_APPROVAL, StateReason.APPROVAL
    if submission.held:
        return State.PAUSING, StateReason.OPERATOR
    return State.QUEUED, ""


def request_digest(portal: str, ids: BitMap) -> str:
    """Fingerprint of what is asked: the same portal and the same set of contact IDs, however written."""
    return hashlib.sha256(f"{portal}\n{digest(ids)}".encode()).hexdigest()


async def _stage(redis: ArqRedis, staged: str, ids: BitMap) -> None:
    """Write the segments under a name of their own, a few at a time, so that memory stays flat."""
    # In transactions, so that no staged list is ever left without an end to its life.
    pipe = redis.pipeline(transaction=True)
    for number, segment in enumerate(segments(ids)):
        pipe.execute_command("HSET", staged, str(number), segment)
        pipe.expire(staged, _STAGING_S)
        if len(pipe) >= 16:
            await pipe.execute()
    await pipe.execute()
