"""Accepting a job: the one way in for every list of contact IDs."""

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from arq.connections import ArqRedis
from pyroaring import BitMap
from redis.exceptions import RedisError, ResponseError
from ulid import ULID

from config.tracing import TRACEPARENT, Attributes, SpanKind, span, traceparent
from jobs.accept.approval import ApprovalTerms
from jobs.accept.staged import new_place, stage
from jobs.accept.submission import Submission
from jobs.lanes.wake import wake_lanes
from jobs.store import keys
from jobs.store.scripts import Script
from jobs.words.contact_ids import digest
from jobs.words.errors import BadSubmission, JobExists
from jobs.words.filters import Filter
from jobs.words.job_ids import check_job_id
from jobs.words.labels import check_label
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State

CREATE_JOB = Script("create_job", replicated=True)

#: So many contact IDs are fingerprinted in less time than a thread takes to begin: a millisecond at most.
_QUICK = 10_000


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
        terms: those of an approval.
    """

    event: Event
    by: str
    terms: ApprovalTerms = field(default_factory=ApprovalTerms)


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
    about: Attributes = {"crm_sweep.portal": submission.portal, "crm_sweep.contacts": len(submission.ids)}
    with span("accept job", kind=SpanKind.PRODUCER, attributes=about) as current:
        accepted = await _submit(redis, submission, asked)
        current.set_attribute("crm_sweep.job", accepted.job_id)
        current.set_attribute("crm_sweep.created", accepted.created)
    return accepted


async def _submit(redis: ArqRedis, submission: Submission, asked: Asked | None) -> Accepted:
    if not submission.ids and submission.selection is None:
        raise BadSubmission("the list has no contact IDs")
    check_label(submission.label)
    job_id = str(ULID()) if submission.job_id is None else check_job_id(submission.job_id)
    if len(submission.ids) <= _QUICK:
        fingerprint = digest_of(submission)
    else:
        fingerprint = await asyncio.to_thread(digest_of, submission)
    first = first_state(submission)
    reason = StateReason.APPROVAL if first is State.AWAITING_APPROVAL else ""
    steering: tuple[str | bytes, ...] = ("", "", "", "", "{}")
    if asked:
        steering = asked.event, asked.by, str(ULID()), StateReason.OPERATOR, asked.terms.json()
    job_keys = keys.job(job_id), keys.portal(submission.portal), keys.JOBS
    named = (part for pair in _first_facts(submission).items() for part in pair)
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
    elif state is State.PLANNING:
        await wake_lanes(redis, submission.portal, 1)
    return Accepted(job_id, created=True, state=state)


def _first_facts(submission: Submission) -> dict[str, str | float]:
    """Return what the job's hash says of its request."""
    facts: dict[str, str | float] = {
        "portal": submission.portal,
        "label": submission.label,
        "total": len(submission.ids),
        "duplicates": submission.duplicates,
        "priority": submission.priority,
        "stride": submission.priority.stride,
    }
    if submission.selection is not None:
        facts["filter"] = submission.selection.to_json().decode()
        facts["max_contacts"] = submission.max_contacts
    if submission.schedule:
        facts["schedule"] = submission.schedule
    if submission.undo:
        facts["undo"] = 1
    if submission.address:
        facts["address"] = submission.address
    if submission.canary:
        facts |= submission.canary.facts(len(submission.ids))
    if trace := traceparent():
        facts[TRACEPARENT] = trace
    return facts


def first_state(submission: Submission) -> State:
    """Return the state in which the job begins."""
    if submission.plan:
        return State.PLANNING
    return State.AWAITING_APPROVAL if submission.needs_approval else State.QUEUED


def request_digest(
    portal: str, ids: BitMap, *, plan: bool = False, selection: Filter | None = None, undo: bool = False
) -> str:
    """Fingerprint a request: equal for the same portal and the same set of contact IDs, however written, or filter.

    The same list with a plan and without one are two requests, and so are those with undo and without it where that is
    the submitter's choice.
    """
    what = f"filter {selection.to_json().decode()}" if selection else f"{'plan ' if plan else ''}{digest(ids)}"
    return hashlib.sha256(f"{portal}\n{'undo ' if undo else ''}{what}".encode()).hexdigest()


def digest_of(submission: Submission) -> str:
    """Fingerprint a submission; see `request_digest`."""
    return request_digest(
        submission.portal,
        submission.ids,
        plan=submission.plan,
        selection=submission.selection,
        undo=submission.chose_undo,
    )


class _NotStaged(ResponseError):
    """Parts of the staged list are missing; nothing was accepted."""


async def _stage_and_create(
    redis: ArqRedis, ids: BitMap, job_keys: tuple[str, str, str], arguments: Sequence[str | bytes | float]
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
