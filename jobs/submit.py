"""Accepting a job: the one door through which every list of contact IDs comes in."""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from arq.connections import ArqRedis
from pyroaring import BitMap
from redis.exceptions import RedisError, ResponseError
from ulid import ULID

from jobs import keys
from jobs.contact_ids import digest, segments
from jobs.priority import Priority
from jobs.scripts import Script
from jobs.states import State
from jobs.wake import wake_lanes

CREATE_JOB = Script("create_job")

#: Room for everything that people use as IDs (ULID, UUID, ticket numbers) and nothing that could break a key or a URL.
JOB_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_JOB_ID = re.compile(JOB_ID_PATTERN)

#: A label in one line that shows what it says: no control characters, no line separators, nothing that turns the
#: direction of what follows. What joins letters and emoji is no harm. The same in Python and in JSON Schema.
LABEL_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
_LABEL = re.compile(LABEL_PATTERN.removesuffix("$"))
#: Longest label, characters.
MAX_LABEL = 200

_STAGING_S = 3600


class BadSubmission(ValueError):
    """The request itself is wrong; the message says what and where."""


class JobExists(Exception):
    """The ID is taken by a job with another list or portal; nothing was changed."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id} exists already with another portal or list of contact IDs")


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


def check_job_id(job_id: str) -> str:
    """Give the ID back if it can be one.

    Raises:
        BadSubmission: it cannot.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise BadSubmission(
            f"job ID {job_id[:80]!r}: expected 1 to 64 letters, digits, dots, dashes or underscores, "
            "beginning with a letter or digit"
        )
    return job_id


def check_label(label: str) -> str:
    """Give the label back if it can be one.

    Raises:
        BadSubmission: it cannot.
    """
    if len(label) > MAX_LABEL or not _LABEL.fullmatch(label) or not _is_text(label):
        raise BadSubmission(
            f"label: given {label[:80]!r} of {len(label):,} characters, expected at most {MAX_LABEL} printable ones"
        )
    return label


def _is_text(label: str) -> bool:
    """Whether there is nothing in it that stands for bytes which are no text, as in a badly encoded argument."""
    return not any("\ud800" <= character <= "\udfff" for character in label)


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
        return State.AWAITING_APPROVAL, "approval"
    if submission.held:
        return State.PAUSING, "operator"
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
