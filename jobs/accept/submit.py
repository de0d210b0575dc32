"""Accepting a job: the one way in for every list of contact IDs."""

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from arq.connections import ArqRedis
from pyroaring import BitMap
from redis.exceptions import RedisError, ResponseError
from ulid import ULID

from jobs.accept.staged import new_place, stage
from jobs.accept.submission import CanaryTerms, Submission
from jobs.lanes.wake import wake_lanes
from jobs.store import keys
from jobs.store.scripts import Script
from jobs.words.contact_ids import digest
from jobs.words.errors import BadSubmission, JobExists
from jobs.words.job_ids import check_job_id
from jobs.words.labels import check_label
from jobs.words.reasons import StateReason
from jobs.words.states import CanaryState, Event, State

CREATE_JOB = Script("create_job")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job is in Redis.

    Attributes:
        job_id: its ID.
        created: False if the same request was accepted before.
        state: its state, if it was created.
    """

    job_id: str
    created: bool
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user asked of a job before it was accepted; carried out in the step that accepts it.

    Attributes:
        event: PAUSE, CANCEL or APPROVE, and possible in the job's first state.
        by: who asks; kept with the job.
    """

    event: Event
    by: str


async def submit(redis: ArqRedis, submission: Submission, asked: Asked | None = None) -> Accepted:
    """Accept a job and wake lanes for it. Nothing is half accepted: the job appears in one step, or not at all.

    Args:
        redis: the connection.
        submission: the request.
        asked: what a user has already asked of the job; ignored if the job exists.

    Raises:
        BadSubmission: no contact IDs, or an invalid job ID or label.
        JobExists: the ID is taken by another request.
        redis.exceptions.RedisError: Redis is away, or refuses.
    """
    if not submission.ids:
        raise BadSubmission("the list has no contact IDs")
    check_label(submission.label)
    job_id = str(ULID()) if submission.job_id is None else check_job_id(submission.job_id)
    fingerprint = await asyncio.to_thread(request_digest, submission.portal, submission.ids)
    first = first_state(submission)
    reason = StateReason.APPROVAL if first is State.AWAITING_APPROVAL else ""
    steering = (asked.event, asked.by, str(ULID()), StateReason.OPERATOR) if asked else ("", "", "", "")
    fields: dict[str, str | float] = {
        "portal": submission.portal,
        "label": submission.label,
        "total": len(submission.ids),
        "duplicates": submission.duplicates,
        "priority": submission.priority,
        "stride": submission.priority.stride,
    }
    if submission.canary:
        fields |= _canary_fields(submission.canary, len(submission.ids))
    job_keys = keys.job(job_id), keys.portal(submission.portal), keys.JOBS
    named = (part for pair in fields.items() for part in pair)
    arguments = [job_id, fingerprint, first, reason, submission.by, *steering, *named]
    try:
        reply = await _stage_and_create(redis, submission.ids, job_keys, arguments)
    except _NotStaged:
        # The server failed over while the list was being written, and parts of it were lost.
        reply = await _stage_and_create(redis, submission.ids, job_keys, arguments)
    told = reply[1].decode()
    if reply[0] != b"created":
        if told != fingerprint:
            raise JobExists(job_id)
        return Accepted(job_id, created=False)
    state = State(told)
    if state is State.QUEUED:
        await wake_lanes(redis, submission.portal, min(submission.lanes, len(submission.ids)))
    return Accepted(job_id, created=True, state=state)


def first_state(submission: Submission) -> State:
    """Return the state in which the job begins."""
    return State.AWAITING_APPROVAL if submission.needs_approval else State.QUEUED


def _canary_fields(canary: CanaryTerms, total: int) -> dict[str, str | float]:
    """Return what a job's hash says of its canary at first (see jobs/store/lua/includes/canary.lua)."""
    return {
        "canary": min(canary.contacts, total),
        "canary_state": CanaryState.RUNNING,
        "canary_cursor": 0,
        "canary_allowed": canary.allowed,
        "canary_confirm": int(canary.confirm),
    }


def request_digest(portal: str, ids: BitMap) -> str:
    """Fingerprint a request: equal for the same portal and the same set of contact IDs, however written."""
    return hashlib.sha256(f"{portal}\n{digest(ids)}".encode()).hexdigest()


class _NotStaged(ResponseError):
    """Parts of the staged list are missing; nothing was accepted."""


async def _stage_and_create(
    redis: ArqRedis, ids: BitMap, job_keys: tuple[str, str, str], arguments: Sequence[str | float]
) -> list[bytes]:
    """Stage the list, then create the job from it in one step: the whole list, or nothing."""
    staged = new_place()
    job, portal, index = job_keys
    try:
        await stage(redis, staged, ids)
        reply: list[bytes] = await CREATE_JOB(redis, [job, staged, portal, index], arguments)
    except ResponseError as error:
        # Where memory is short, half a list must not take it up for an hour.
        with contextlib.suppress(RedisError):
            await redis.unlink(staged)
        if "NOTSTAGED" in str(error):
            raise _NotStaged(*error.args) from error
        raise
    return reply
