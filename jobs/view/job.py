"""A job as users see it: the command line, the API and the page show the same facts."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.asyncio import Redis

from config.tracing import TRACEPARENT, trace_id
from jobs.arq_messages.unread import read_unread
from jobs.bundles.facts import BundleView, read_bundle
from jobs.intake.report import IntakeReport
from jobs.plan.facts import read_plan, read_planning, read_sample, read_selection
from jobs.plan.summary import Plan, Planning, Selection
from jobs.store.job_lists import Place, list_for, newest_first
from jobs.store.portal_state import read_states
from jobs.store.times import iso, iso_or_none
from jobs.view.actions import Action, read_actions
from jobs.view.canary import CanaryView, read_canary
from jobs.view.ended import with_sure_ends
from jobs.view.look import Look, look
from jobs.view.waiting import Situation, hold_on, why_waiting
from jobs.words.errors import UnknownJob
from jobs.words.job_ids import is_possible
from jobs.words.outcomes import Outcome
from jobs.words.priority import Priority
from jobs.words.reasons import is_moving
from jobs.words.states import TERMINAL, State


class Requests(msgspec.Struct, frozen=True):
    """Calls to the portal that a job has cost."""

    sent: int
    """Calls that were sent, look-ups included."""
    retried: int
    """PUTs with contact IDs that an earlier PUT had contained."""
    throttled: int
    """Calls that the portal turned away because there were too many."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job; written as JSON it is the public form."""

    id: str
    portal: str
    label: str
    state: State
    state_reason: str | None
    """Why it waits or stopped, as a stable word; never None while nothing moves."""
    created_at: str
    started_at: str | None
    finished_at: str | None
    total: int
    """Contact IDs without duplicates; the counts add up to it."""
    duplicates: int
    counts: dict[Outcome, int]
    progress: float
    """Decided share of the contact IDs, 0 to 1."""
    contacts_per_second: float
    """Decided contact IDs per second: over the last seconds or, once it has ended, over the time it was worked on."""
    eta_s: float | None
    """Seconds until the end at this pace; None where that is not known, such as when nothing moves."""
    requests: Requests
    last_error: str | None
    waits_until: str | None
    """When the reason in `state_reason` ends on its own, at the latest; None where that is not known."""
    requests_per_second: float | None
    """Calls per second that the portal is driven with now: its `learned_requests_per_second`; None before the first
    call."""
    batch_size: int | None
    """Contact IDs per PUT that the portal handles well; None while that is not known."""
    priority: Priority
    """How often it gets a turn among the other jobs of the portal."""
    schedule: str | None
    """Name of the schedule that started it; None for none."""
    selection: Selection
    """How its contacts were chosen."""
    planning: Planning | None
    """How far its survey is; None while none is under way."""
    plan: Plan | None
    """What would become of its contacts; None for a job without a plan, and before the plan stands."""
    canary: CanaryView | None
    """The part that is sent first; None if the job has none."""
    bundle: BundleView | None
    """What is kept of its contacts; None if it keeps nothing."""
    actions: tuple[Action, ...]
    """What people and services did to it, the newest 20, oldest first."""
    trace_id: str | None
    """The trace that its submission is part of, 32 hexadecimal digits; None if that was not traced."""

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in TERMINAL


class SubmittedJob(Job, frozen=True, kw_only=True):
    """A job that was just submitted, and how its list was read."""

    intake: IntakeReport | None
    """How the list was read, for comparison with what was meant; None where a filter takes the place of a list."""


def submitted_job(job: Job, report: IntakeReport | None) -> SubmittedJob:
    """Combine a job with the report about its list, if it has one."""
    return SubmittedJob(**{name: getattr(job, name) for name in job.__struct_fields__}, intake=report)


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first, and where the next page begins."""

    jobs: list[Job]
    next_cursor: str | None


#: Where a job's hash has how many contacts got each outcome.
_COUNTED = [(outcome, f"n:{outcome}") for outcome in Outcome]


async def read_job(redis: Redis, job_id: str) -> Job:
    """Read one job. The cost does not depend on its size.

    Raises:
        UnknownJob: no such job.
    """
    [job] = await read_jobs(redis, [job_id])
    if job is None:
        raise UnknownJob(job_id)
    return job


async def with_sample(redis: Redis, job: Job) -> Job:
    """Return a job with the sample of its plan, for readers who may see personal data: those who may approve it."""
    if job.plan is None or job.state is not State.AWAITING_APPROVAL:
        return job
    return msgspec.structs.replace(job, plan=msgspec.structs.replace(job.plan, sample=await read_sample(redis, job.id)))


async def list_jobs(
    redis: Redis,
    *,
    state: State | None = None,
    portal: str | None = None,
    portals: Collection[str] | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page:
    """Read jobs, newest first.

    Args:
        redis: the connection.
        state: only jobs in this state.
        portal: only jobs of this portal.
        portals: only jobs of these portals; None for all.
        limit: maximum number of jobs, 1 to 1000.
        cursor: `next_cursor` of the page before.

    Raises:
        ValueError: the cursor is not one.
    """
    found: list[Job] = []
    after = _decode_cursor(cursor)
    listed = await list_for(redis, state)
    while True:
        ids = await newest_first(redis, listed, after, limit)
        for job_id, job in zip(ids, await read_jobs(redis, [job_id for _, job_id in ids]), strict=True):
            after = job_id
            if job and state in {None, job.state} and portal in {None, job.portal} and _is_of(job, portals):
                found.append(job)
                if len(found) == limit:
                    more = await newest_first(redis, listed, after, 1)
                    return Page(found, _encode_cursor(after) if more else None)
        if len(ids) < limit:
            return Page(found, None)


def _is_of(job: Job, portals: Collection[str] | None) -> bool:
    return portals is None or job.portal in portals


def _encode_cursor(place: Place) -> str:
    return f"{place[0]}-{place[1]}"


def _decode_cursor(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    created_ms, dash, job_id = cursor.partition("-")
    if not (created_ms.isascii() and created_ms.isdigit() and dash and job_id):
        raise ValueError(f"not a cursor: {cursor[:80]!r}")
    return int(created_ms), job_id


async def read_jobs(redis: Redis, job_ids: Sequence[str]) -> list[Job | None]:
    """Read any number of jobs in one round trip; None for an ID without a job.

    A job that was submitted with plain arq and not taken yet needs a few more round trips.
    """
    looked = await look(redis, [job_id for job_id in job_ids if is_possible(job_id)])
    missing = [job_id for job_id in job_ids if job_id not in looked.jobs and is_possible(job_id)]
    if missing:
        await _look_closer(redis, missing, looked)
    jobs = [looked.jobs.get(job_id, {}) for job_id in job_ids]
    shown = await with_sure_ends(redis, job_ids, jobs, looked.clocks.wall_ms, looked.replicated_ms)
    return [_job(job_id, facts, looked) if facts else None for job_id, facts in zip(job_ids, shown, strict=True)]


async def _look_closer(redis: Redis, job_ids: Sequence[str], looked: Look) -> None:
    """Look for jobs among the messages that no worker has taken yet, and then again for those just taken."""
    unread = await asyncio.gather(*(read_unread(redis, job_id) for job_id in job_ids))
    again = await look(redis, [job_id for job_id, facts in zip(job_ids, unread, strict=True) if not facts])
    looked.jobs.update(again.jobs)
    looked.jobs.update((job_id, facts) for job_id, facts in zip(job_ids, unread, strict=True) if facts)
    looked.portals.update(again.portals)
    others = {facts["portal"] for facts in unread if facts} - looked.portals.keys()
    looked.portals.update(await read_states(redis, sorted(others)))


def _job(job_id: str, facts: dict[str, str], looked: Look) -> Job:
    portal = looked.portals[facts["portal"]]
    state = State(facts["state"])
    total = int(facts["total"])
    counts = {outcome: int(facts.get(name, 0)) for outcome, name in _COUNTED}
    pending = counts[Outcome.PENDING]
    # Contacts that a cancellation skips take no work, and say nothing about the pace.
    pace = _contacts_per_second(facts, total - pending - counts[Outcome.SKIPPED], portal.now_ms)
    situation = Situation(
        state=state,
        stored_reason=facts.get("state_reason"),
        inflight=int(facts["inflight"]),
        workers=looked.workers,
        is_known=facts["portal"] in looked.served,
        portal=portal,
        plan_expires_ms=int(facts.get("plan_expires_ms", 0)),
        not_before_ms=int(facts.get("not_before_ms", 0)),
    )
    reason = why_waiting(situation)
    waits = (portal.rest, hold_on(situation))
    until_ms = next((wait.until_ms for wait in waits if wait and wait.reason == reason), None)
    # Another job may have met the fault that holds this one; it is still what went wrong last.
    fault = portal.fault if not situation.stored_reason and portal.fault and portal.fault.reason == reason else None
    moves = state in {State.RUNNING, State.CANCELLING} and is_moving(reason)
    return Job(
        id=job_id,
        portal=facts["portal"],
        label=facts["label"],
        state=state,
        state_reason=reason,
        waits_until=iso_or_none(until_ms),
        created_at=iso(int(facts["created_ms"])),
        started_at=iso_or_none(facts.get("started_ms")),
        finished_at=iso_or_none(facts.get("finished_ms")),
        total=total,
        duplicates=int(facts["duplicates"]),
        counts=counts,
        progress=round((total - pending) / total, 4) if total else float(state in TERMINAL),
        contacts_per_second=round(pace, 1),
        eta_s=round(pending / pace, 1) if pace and moves else None,
        requests=Requests(*(int(facts.get(name, 0)) for name in ("sent", "retried", "throttled"))),
        last_error=fault.message if fault else facts.get("last_error"),
        requests_per_second=portal.pace,
        batch_size=portal.learned_batch_size,
        priority=Priority(facts.get("priority", Priority.NORMAL)),
        schedule=facts.get("schedule"),
        selection=read_selection(facts),
        planning=read_planning(facts),
        plan=read_plan(facts),
        canary=read_canary(facts, counts),
        bundle=read_bundle(facts),
        actions=read_actions(facts.get("actions")),
        trace_id=trace_id(facts.get(TRACEPARENT)),
    )


def _contacts_per_second(facts: dict[str, str], decided: int, now_ms: int) -> float:
    if "started_ms" not in facts:
        return 0.0
    if "worked_ms" not in facts:  # nothing is recorded yet, or it was recorded before this was kept
        until_ms = int(facts.get("finished_ms", now_ms))
        return decided * 1000 / max(until_ms - int(facts["started_ms"]), 1)
    worked_ms = int(facts["worked_ms"])
    if "finished_ms" in facts:
        return decided * 1000 / max(worked_ms, 1)
    idle_ms = max(now_ms - int(facts["worked_until_ms"]), 0)
    since_ms, before = int(facts.get("old_mark_worked_ms", 0)), int(facts.get("old_mark_done", 0))
    return (decided - before) * 1000 / max(worked_ms - since_ms + idle_ms, 1)


def to_json(value: Any) -> bytes:
    """Encode a job, or anything that holds jobs, as JSON."""
    return msgspec.json.encode(value)
