"""A list that was read and counted, and waits in Redis for a user to type its number.

The draft's ID becomes the job's ID: confirming twice gives one job, and what is submitted is what was counted.
"""

import asyncio

import msgspec
from arq.connections import ArqRedis
from pyroaring import BitMap
from ulid import ULID

from config.settings import Portal
from jobs.intake.report import IntakeReport
from jobs.intake.tally import Intake
from jobs.store import keys
from jobs.words.contact_ids import decode_segment, segments
from jobs.words.priority import Priority

#: How long a list waits; every look at it starts the hour again.
DRAFT_S = 3600

#: Beside the segments, which have numbers for names.
_FIELD = "draft"
#: Segments written or read in one round trip.
_AT_ONCE = 16


class UnknownDraft(LookupError):
    """The list is not there: it was confirmed or discarded, or its hour is over."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown before anything is queued."""

    id: str
    """The ID that the job will have."""
    owner: str
    """Name of the key of whoever sent the list; no one else may confirm it."""
    portal: str
    label: str
    priority: Priority
    total: int
    """Contact IDs without duplicates."""
    report: IntakeReport
    """How the list was read."""
    lowest: int
    highest: int
    needs_approval: bool
    """The job will wait for an approval."""
    plan: bool = False
    """A plan is made first, and nothing is deleted before it is approved."""
    plan_required: bool = False
    """The portal takes no such list without a plan."""
    undo: str = "off"
    """Whether records are kept: the portal's `undo`."""


_decode = msgspec.json.Decoder(Draft).decode


async def keep_draft(
    redis: ArqRedis, intake: Intake, *, portal: Portal, label: str, priority: Priority, plan: bool, owner: str
) -> Draft:
    """Keep a list for an hour. Nothing is queued."""
    ids = intake.ids
    plan_required = portal.needs_plan(len(ids))
    draft = Draft(
        id=str(ULID()),
        owner=owner,
        portal=portal.name,
        label=label,
        priority=priority,
        total=len(ids),
        report=intake.report,
        lowest=ids.min(),
        highest=ids.max(),
        needs_approval=portal.needs_approval(len(ids)),
        plan=plan or plan_required,
        plan_required=plan_required,
        undo=portal.undo,
    )
    key = keys.draft(draft.id)
    # In transactions, so that no list is ever left without an expiry. What makes it a draft comes last.
    pipe = redis.pipeline(transaction=True)
    cut = segments(ids)
    number = 0
    while (segment := await asyncio.to_thread(next, cut, None)) is not None:
        pipe.execute_command("HSET", key, str(number), segment)
        pipe.expire(key, DRAFT_S)
        number += 1
        if number % _AT_ONCE == 0:
            await pipe.execute()
    pipe.execute_command("HSET", key, _FIELD, msgspec.json.encode(draft))
    pipe.expire(key, DRAFT_S)
    await pipe.execute()
    return draft


async def read_draft(redis: ArqRedis, draft_id: str, *, owner: str) -> Draft:
    """Read what is shown of a draft.

    Raises:
        UnknownDraft: there is none of this owner.
    """
    pipe = redis.pipeline(transaction=False)
    pipe.execute_command("HGET", keys.draft(draft_id), _FIELD)
    pipe.expire(keys.draft(draft_id), DRAFT_S)
    data, _ = await pipe.execute()
    if data is None or (draft := _decode(data)).owner != owner:
        raise UnknownDraft(draft_id)
    return draft


async def read_ids(redis: ArqRedis, draft: Draft) -> BitMap:
    """Read the contact IDs of a draft, all of them or none.

    Raises:
        UnknownDraft: it is not there any more, or not whole.
    """
    count = await redis.execute_command("HLEN", keys.draft(draft.id)) - 1
    ids = BitMap()
    for start in range(0, count, _AT_ONCE):
        names = [str(number) for number in range(start, min(start + _AT_ONCE, count))]
        for data in await redis.execute_command("HMGET", keys.draft(draft.id), *names):
            if data is None:
                raise UnknownDraft(draft.id)
            ids |= await asyncio.to_thread(_unpack, data)
    if len(ids) != draft.total:
        raise UnknownDraft(draft.id)
    return ids


async def discard_draft(redis: ArqRedis, draft_id: str) -> None:
    """Forget a draft."""
    await redis.unlink(keys.draft(draft_id))


def _unpack(data: bytes) -> BitMap:
    return BitMap(decode_segment(data))
