"""A schedule as users see it: the command line, the API and the page show the same facts."""

from collections.abc import Collection, Sequence

import msgspec
from redis.asyncio import Redis

from config.settings import Schedule
from jobs.schedules.definition import definition_of, filter_of
from jobs.schedules.memory import LAPSES_MS, Memory, read_memory
from jobs.store.times import iso, iso_or_none, server_ms
from jobs.view.job import Job, read_jobs
from jobs.words.filters import Filter
from jobs.words.outcomes import Outcome
from jobs.words.priority import Priority
from jobs.words.reasons import StateReason, advice_on, is_moving
from jobs.words.states import State


class ScheduledJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that a schedule has started; `GET /v1/jobs/{job_id}` tells all of it."""

    id: str
    state: State
    state_reason: str | None
    created_at: str
    finished_at: str | None
    total: int
    counts: dict[Outcome, int]


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule; written as JSON it is the public form."""

    name: str
    portal: str
    enabled: bool
    """Whether it starts by itself."""
    filter: Filter
    selects: str
    """The filter in words."""
    cron: str
    timezone: str
    label: str
    priority: Priority
    max_contacts: int
    """Contacts that a plan may delete without a person; 0 for none."""
    max_share: float
    """Share of the portal that a plan may delete without a person; 0 for none."""
    next_at: str | None
    """When it is due next; None if it is not enabled."""
    started_at: str | None
    """When it started last; None for never."""
    skipped: int
    """Due times that were skipped because the last job had not ended."""
    skipped_at: str | None
    """The last of these due times; None for none."""
    waits_for: str | None
    """Why it does not go on by itself, as a stable word; None while it does.

    no_worker: no worker looks after it. other_settings: the workers have other settings for it than this process.
    disabled, schedule_changed, stopped, second_person, not_automatic, max_contacts, max_share, warnings, guard: why the
    plan of its last job waits for a person. Otherwise the `state_reason` of its last job.
    """
    explanation: str | None
    """The same in plain words."""
    jobs: tuple[ScheduledJob, ...]
    """Its last jobs that are still kept, newest first, at most 10."""


async def read_schedules(
    redis: Redis,
    schedules: Sequence[Schedule],
    now_ms: int | None = None,
    *,
    portals: Collection[str] | None = None,
) -> list[ScheduleView]:
    """Read schedules in a few round trips, however many they are.

    Args:
        redis: the connection.
        schedules: as this process has them in its configuration.
        now_ms: Unix milliseconds; by default the Redis server's clock.
        portals: those that the reader may see; None for all. A schedule that was moved has jobs of its old portal.
    """
    if not schedules:
        return []
    if now_ms is None:
        now_ms = server_ms(await redis.time())
    memories = await read_memory(redis, schedules)
    job_ids = list(dict.fromkeys(job_id for _, ids in memories for job_id in ids))
    jobs = dict(zip(job_ids, await read_jobs(redis, job_ids), strict=True)) if job_ids else {}

    def own(schedule: Schedule, ids: Sequence[str]) -> list[Job]:
        # Somebody else may have submitted a job under one of its IDs.
        found = [job for job in map(jobs.get, ids) if job is not None and job.schedule == schedule.name]
        return [job for job in found if portals is None or job.portal in portals]

    return [
        _view(schedule, memory, own(schedule, ids), now_ms)
        for schedule, (memory, ids) in zip(schedules, memories, strict=True)
    ]


def _view(schedule: Schedule, memory: Memory, jobs: Sequence[Job], now_ms: int) -> ScheduleView:
    selection = filter_of(schedule)
    next_ms = schedule.times.next_after(now_ms) if schedule.enabled else None
    waits_for, explanation = _waits(schedule, memory, jobs[0] if jobs else None, now_ms) or (None, None)
    return ScheduleView(
        name=schedule.name,
        portal=schedule.portal,
        enabled=schedule.enabled,
        filter=selection,
        selects=str(selection),
        cron=schedule.cron,
        timezone=schedule.timezone,
        label=schedule.label,
        priority=Priority(schedule.priority),
        max_contacts=schedule.max_contacts,
        max_share=schedule.max_share,
        next_at=iso(next_ms) if next_ms else None,
        started_at=iso_or_none(memory.started_ms),
        skipped=memory.skipped,
        skipped_at=iso_or_none(memory.skipped_ms),
        waits_for=waits_for,
        explanation=explanation,
        jobs=tuple(_scheduled_job(job) for job in jobs),
    )


def _waits(schedule: Schedule, memory: Memory, job: Job | None, now_ms: int) -> tuple[str, str] | None:
    """Return what a schedule waits for, as a word and in plain words; None for nothing but its time."""
    if now_ms - memory.looked_ms > LAPSES_MS:
        return StateReason.NO_WORKER, "no worker that has it in its configuration is running"
    if memory.definition != definition_of(schedule):
        return (
            "other_settings",
            "the workers have other settings for it than are shown here; restart what is out of date",
        )
    if job is None or job.ended or job.state_reason is None or is_moving(job.state_reason):
        return None
    if job.state_reason == StateReason.PLAN_EXPIRED:
        return job.state_reason, "the plan of its last job has expired; the next start cancels that job"
    held = memory.held
    if held and job.plan and job.state is State.AWAITING_APPROVAL and held.digest == job.plan.digest:
        return held.held.why, f"a person has to approve its last job: {held.held.explanation}"
    return job.state_reason, advice_on(job.state_reason, job.id)


def _scheduled_job(job: Job) -> ScheduledJob:
    return ScheduledJob(
        id=job.id,
        state=job.state,
        state_reason=job.state_reason,
        created_at=job.created_at,
        finished_at=job.finished_at,
        total=job.total,
        counts=job.counts,
    )
