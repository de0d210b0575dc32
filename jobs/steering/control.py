"""Pausing, resuming, cancelling and approving a job, each in one step."""

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
from arq.connections import ArqRedis
from ulid import ULID

from jobs.accept.approval import ApprovalTerms
from jobs.lanes.wake import wake_lanes
from jobs.store import keys
from jobs.store.keys import known_key
from jobs.store.scripts import Script
from jobs.words.errors import (
    BlastRadius,
    DigestNeeded,
    NotApproved,
    PlanChanged,
    SecondPerson,
    UnknownJob,
)
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State, refused

CONTROL = Script("control", replicated=True)


@dataclass(frozen=True, slots=True)
class Steered:
    """What came of steering a job.

    Attributes:
        state: the job's state now.
        retried: how many failed contact IDs are tried again.
        rest_until_ms: end of the rest that the portal had asked for and this cut short, Unix milliseconds; None for
            none.
    """

    state: State
    retried: int = 0
    rest_until_ms: int | None = None


_FORBIDDEN: dict[str, tuple[type[NotApproved], str]] = {
    "digest_needed": (DigestNeeded, "it has a plan, so the approval needs the plan's digest"),
    "plan_changed": (PlanChanged, "this is not the digest of its plan; look at the plan again"),
    "plan_expired": (PlanChanged, "its plan has expired; cancel the job and make a new plan"),
    "blast_radius": (BlastRadius, "its plan deletes a larger share of the portal than max_share allows"),
    "second_person": (SecondPerson, "somebody other than its submitter has to approve a job of this size"),
}


async def control(
    redis: ArqRedis,
    job_id: str,
    event: Event,
    *,
    by: str,
    lanes: int = 1,
    reason: StateReason = StateReason.OPERATOR,
    terms: ApprovalTerms | None = None,
    only_in: Collection[State] = (),
) -> Steered:
    """Ask for a pause, a resume, a cancel or an approval. It takes effect with the next batch of each lane.

    Args:
        redis: the connection.
        job_id: the job's ID.
        event: PAUSE, RESUME, CANCEL or APPROVE.
        by: who asks; kept with the job.
        lanes: how many lanes to wake if the job goes on.
        reason: the state_reason of a pause.
        terms: those of an approval; None for a job without a plan, of a portal without guards.
        only_in: the states in which it may be done; empty for each that allows the event.

    Raises:
        NotApproved: the plan or a guard of the portal does not allow the approval.
        UnknownJob: no such job.
        IllegalMove: its state does not allow the event.
    """
    key = known_key(job_id)
    portal = await redis.execute_command("HGET", key, "portal")
    if portal is None:
        raise UnknownJob(job_id)
    arguments = (terms or ApprovalTerms()).json()
    reply = await CONTROL(
        redis,
        [key, keys.portal(portal.decode())],
        [job_id, event, reason, by, str(ULID()), arguments, msgspec.json.encode(list(only_in))],
    )
    if reply[0] == b"unknown":
        raise UnknownJob(job_id)
    if reply[0] == b"forbidden":
        error, why = _FORBIDDEN[reply[1].decode()]
        raise error(job_id, why)
    state = State(reply[1].decode())
    if reply[0] == b"illegal":
        raise refused(state, event)
    if event is not Event.PAUSE:
        await wake_lanes(redis, portal.decode(), lanes)
    return Steered(state, rest_until_ms=reply[2] or None)
