"""Keeps the schedules of one worker: starts what is due, and approves what the policy allows.

Every worker looks every few seconds, on the Redis server's clock. What has to happen once is settled in Redis, so it
does not matter how many look, or that one of them dies in between.
"""

from arq.connections import ArqRedis

from config.errors import CrmSweepError
from config.logging import get_logger
from config.settings import Schedule, Settings
from jobs.schedules.definition import job_id_at
from jobs.schedules.memory import Claim, Kept, Memory, Seen, claim, keep_held, see, starter
from jobs.schedules.policy import Case, Held, Hold, decide
from jobs.schedules.start import replacing_expired, submit_claimed
from jobs.steering.steer import steer_job
from jobs.store import keys
from jobs.store.times import iso, server_ms
from jobs.view.job import read_job
from jobs.view.stops import read_stops
from jobs.words.errors import IllegalMove, NotApproved, UnknownJob
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State


class Keeper:
    """The schedules of one worker.

    Args:
        redis: the connection.
        settings: the worker's configuration.
    """

    def __init__(self, redis: ArqRedis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._has_looked = False
        self._differs: set[str] = set()

    async def look(self, now_ms: int | None = None) -> None:
        """Start what is due, and decide about plans that wait.

        Args:
            now_ms: Unix milliseconds; by default the Redis server's clock.

        Raises:
            redis.exceptions.RedisError: Redis is away, or refuses; the next look does what this one did not.
        """
        schedules = self._settings.schedules
        if not schedules:
            return
        if now_ms is None:
            now_ms = server_ms(await self._redis.time())
        found = await see(self._redis, schedules, now_ms, just_started=not self._has_looked)
        self._has_looked = True
        for schedule, seen in zip(schedules, found, strict=True):
            if self._counts(schedule, seen):
                try:
                    await self._look_after(schedule, seen, now_ms)
                except CrmSweepError as error:
                    # One schedule must not hold up the others.
                    get_logger(portal=schedule.portal).error(
                        "schedule_failed", schedule=schedule.name, error=type(error).__name__, detail=str(error)
                    )

    def _counts(self, schedule: Schedule, seen: Seen) -> bool:
        """Check whether a schedule goes by this worker's settings; say so once if it does not."""
        if seen.counts:
            self._differs.discard(schedule.name)
        elif schedule.name not in self._differs:
            self._differs.add(schedule.name)
            get_logger(portal=schedule.portal).warning("schedule_differs", schedule=schedule.name)
        return seen.counts

    async def _look_after(self, schedule: Schedule, seen: Seen, now_ms: int) -> None:
        newest = seen.newest
        for job_id, by in seen.memory.claims.items():
            await submit_claimed(self._redis, self._settings, schedule, job_id, by)
        due_ms = schedule.times.last_between(seen.memory.seen_ms, now_ms) if schedule.enabled else None
        if due_ms is not None:
            newest = await self._start(schedule, seen.memory.seen_ms, due_ms, now_ms) or newest
        if newest:
            await self._decide(schedule, newest, seen.memory)

    async def _start(self, schedule: Schedule, seen_ms: int, due_ms: int, now_ms: int) -> str:
        """Start for a due time; return the ID of the job if it was started."""
        job_id = job_id_at(schedule.name, due_ms)

        async def try_claim() -> Claim:
            return await claim(self._redis, schedule, seen_ms=seen_ms, due_ms=due_ms, job_id=job_id, now_ms=now_ms)

        claimed = await replacing_expired(self._redis, schedule, try_claim)
        if claimed.outcome == "claimed":
            await submit_claimed(self._redis, self._settings, schedule, job_id, starter(schedule.name))
            return job_id
        if claimed.outcome == "unfinished":
            get_logger(portal=schedule.portal).warning(
                "schedule_skipped",
                schedule=schedule.name,
                due_at=iso(due_ms),
                job_id=claimed.job_id,
                state=claimed.state,
            )
        return ""

    async def _decide(self, schedule: Schedule, job_id: str, memory: Memory) -> None:
        """Approve the plan of a job, or note what it waits for."""
        state, of = await self._redis.execute_command("HMGET", keys.job(job_id), "state", "schedule")
        if (state, of) != (State.AWAITING_APPROVAL.encode(), schedule.name.encode()):
            return
        try:
            job = await read_job(self._redis, job_id)
        except UnknownJob:
            return
        if job.plan is None or job.state_reason == StateReason.PLAN_EXPIRED:
            return  # the next start makes a new one
        stops = await read_stops(self._redis)
        held = decide(
            Case(
                schedule=schedule,
                portal=self._settings.portal(schedule.portal),
                job=job,
                plan=job.plan,
                stopped=any(stop.portal in {None, schedule.portal} for stop in stops),
            )
        )
        if held is None:
            held = await self._approve(schedule, job_id, job.plan.digest)
        if held is None:
            return
        kept = Kept(job.plan.digest, held)
        if kept != memory.held:
            await keep_held(self._redis, schedule.name, kept)
            get_logger(portal=schedule.portal).warning(
                "schedule_held", schedule=schedule.name, job_id=job_id, why=held.why, detail=held.explanation
            )

    async def _approve(self, schedule: Schedule, job_id: str, digest: str) -> Held | None:
        """Approve a plan as a person would; return what forbids it, if anything does."""
        try:
            await steer_job(
                self._redis, self._settings, job_id, Event.APPROVE, by=starter(schedule.name), digest=digest
            )
        except NotApproved as error:
            return Held(Hold.GUARD, str(error))
        except (IllegalMove, UnknownJob):
            return None  # a person was faster
        get_logger(portal=schedule.portal).info("schedule_approved", schedule=schedule.name, job_id=job_id)
        return None
