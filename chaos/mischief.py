"""What goes wrong during a run, apart from the portal's own faults.

Processes die, freeze and come back, Redis loses the queue, users change their minds, the portal turns everyone away.
"""

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from redis.exceptions import RedisError

from chaos.people import People
from chaos.plan import CANCELLED
from chaos.stage import Process
from config.settings import Portal
from jobs.steering.control import control
from jobs.steering.limits import CONFIGURED, set_limits
from jobs.steering.priority import set_priority
from jobs.store.keys import QUEUE
from jobs.view.job import Job, read_job
from jobs.words.errors import IllegalMove, JobHasEnded
from jobs.words.priority import Priority
from jobs.words.states import Event, State
from simulator.client import SimulatorClient

#: Longer than a lane's lease by default, which is 5 s.
_LONGER_THAN_A_LEASE_S = (6.0, 11.0)

#: How long a worker may take to stop after SIGTERM: its grace, and the last round trips to a Redis that may be down.
_STOPS_WITHIN_S = 60.0

#: How the portal turns everyone away; after most of these, a user has to resume the jobs.
_TURNED_AWAY = (
    {"unpaid": "licence"},
    {"unpaid": "tariff"},
    {"ip_restricted": True},
    {"module_denied": True},
    {"suspended": True},
    {"in_maintenance": True},
)
_HEALTHY = {
    "unpaid": "",
    "ip_restricted": False,
    "module_denied": False,
    "suspended": False,
    "in_maintenance": False,
}


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A time in which an answer may have been lost on our side of the wire.

    Attributes:
        name: what happened.
        start_s, end_s: Unix times.
    """

    name: str
    start_s: float
    end_s: float


@dataclass(kw_only=True)
class Mischief:
    """Makes things go wrong.

    Attributes:
        chance: decides what and when.
        redis: a patient connection.
        portal: the simulated portal's switches.
        portal_settings: the limits with which the workers drive it.
        redis_process, portal_process, workers: the processes.
        jobs: the jobs' IDs.
        people: see to plans and guards.
        note: reports every misfortune.
    """

    chance: random.Random
    redis: ArqRedis
    portal: SimulatorClient
    portal_settings: Portal
    redis_process: Process
    portal_process: Process
    workers: list[Process]
    jobs: list[str]
    people: People
    note: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    disturbances: list[Disturbance] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    """Jobs that a user has paused on purpose."""
    _turned_away: asyncio.Lock = field(default_factory=asyncio.Lock)
    _limits: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def inject(self, seconds: float, until: Callable[[], bool]) -> None:
        """Make things go wrong at random moments, until the time is up or nothing is left to disturb."""
        acts: dict[Callable[[], Awaitable[None]], int] = {
            self.kill_worker: 5,
            self.terminate_worker: 3,
            self.freeze_worker: 5,
            self.kill_redis: 2,
            self.freeze_redis: 2,
            self.freeze_portal: 1,
            self.lose_the_queue: 2,
            self.double_the_queue: 2,
            self.pause_and_resume: 3,
            self.change_a_priority: 3,
            self.change_the_limits: 3,
            self.turn_everybody_away: 3,
            self.list_a_stranger: 1,
            self.log_out_everywhere: 1,
            self.approve_wrongly: 3,
            self.stop_and_start: 3,
        }
        end_s = time.monotonic() + seconds
        cancel_at_s = time.monotonic() + seconds * self.chance.uniform(0.05, 0.15)
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < end_s and not until():
                await asyncio.sleep(min(self.chance.uniform(0.5, 5.0), seconds / 10))
                if not self.counts["cancel a job"] and time.monotonic() >= cancel_at_s:
                    group.create_task(self._done("cancel a job", self.cancel_one()))
                [act] = self.chance.choices(list(acts), list(acts.values()))
                group.create_task(self._done(act.__name__.replace("_", " "), act()))

    async def _done(self, name: str, act: Awaitable[None]) -> None:
        self.counts[name] += 1
        self.note(name)
        start_s = time.time()
        await act
        self.disturbances.append(Disturbance(name, start_s, time.time()))

    async def kill_worker(self) -> None:
        """Kill a worker (SIGKILL), and start another one a little later."""
        worker, pause_s = self.chance.choice(self.workers), self.chance.uniform(0.0, 4.0)
        async with worker.lock:
            await worker.kill()
            await asyncio.sleep(pause_s)
            await worker.start()

    async def terminate_worker(self) -> None:
        """Tell a worker to stop (SIGTERM), and start another one once it has."""
        worker = self.chance.choice(self.workers)
        async with worker.lock:
            worker.signal(signal.SIGTERM)
            if not await worker.ended(_STOPS_WITHIN_S):
                self.problems.append(f"{worker.name} did not stop within {_STOPS_WITHIN_S:.0f} s of SIGTERM")
            await worker.stop()
            await worker.start()

    async def freeze_worker(self) -> None:
        """Freeze a worker (SIGSTOP) for longer than a lease, so that it comes back as a zombie."""
        worker, frozen_s = self.chance.choice(self.workers), self.chance.uniform(*_LONGER_THAN_A_LEASE_S)
        async with worker.lock:
            worker.signal(signal.SIGSTOP)
            await asyncio.sleep(frozen_s)
            worker.signal(signal.SIGCONT)

    async def kill_redis(self) -> None:
        """Kill Redis (SIGKILL), and restart it from what is on disk."""
        away_s = self.chance.uniform(0.1, 4.0)
        async with self.redis_process.lock:
            await self.redis_process.kill()
            await asyncio.sleep(away_s)
            await self.redis_process.start()

    async def freeze_redis(self) -> None:
        """Freeze Redis (SIGSTOP) for some seconds, for less or more than a lease."""
        frozen_s = self.chance.uniform(1.0, 9.0)
        async with self.redis_process.lock:
            self.redis_process.signal(signal.SIGSTOP)
            await asyncio.sleep(frozen_s)
            self.redis_process.signal(signal.SIGCONT)

    async def freeze_portal(self) -> None:
        """Freeze the portal: no call is answered for a while, and then what it asked for happens after all."""
        frozen_s = self.chance.uniform(1.0, 5.0)
        async with self.portal_process.lock:
            self.portal_process.signal(signal.SIGSTOP)
            await asyncio.sleep(frozen_s)
            self.portal_process.signal(signal.SIGCONT)

    async def lose_the_queue(self) -> None:
        """Delete every message in arq's queue."""
        await self.redis.delete(QUEUE)

    async def double_the_queue(self) -> None:
        """Duplicate every message in arq's queue."""
        for message, due_ms in await self.redis.zrange(QUEUE, 0, -1, withscores=True):
            payload = await self.redis.get(job_key_prefix + message.decode())
            if payload is not None:
                copy = f"{message.decode()}:copy"
                await self.redis.set(job_key_prefix + copy, payload, px=600_000)
                await self.redis.zadd(QUEUE, {copy: due_ms})

    async def pause_and_resume(self) -> None:
        """Pause a job as a user would, and resume it a little later."""
        job_id, pause_s = self.chance.choice(self.jobs), self.chance.uniform(0.5, 6.0)
        if job_id in self.held:
            return
        self.held.add(job_id)
        try:
            await self._ask(job_id, Event.PAUSE)
            await asyncio.sleep(pause_s)
            await self._ask(job_id, Event.RESUME)
        finally:
            self.held.discard(job_id)

    async def change_a_priority(self) -> None:
        """Make a job more or less urgent, as a user would."""
        job_id, priority = self.chance.choice(self.jobs), self.chance.choice(list(Priority))
        with contextlib.suppress(JobHasEnded, RedisError):
            await set_priority(self.redis, job_id, priority, by="chaos")

    async def change_the_limits(self) -> None:
        """Spare the portal for a while, as a user would: fewer calls per second, fewer at the same time."""
        portal, spared_s = self.portal_settings, self.chance.uniform(1.0, 8.0)
        rate = portal.requests_per_second * self.chance.uniform(0.3, 1.0)
        async with self._limits:
            await self._limit(round(rate, 2), self.chance.randint(1, portal.max_concurrency))
            await asyncio.sleep(spared_s)
            await self._limit(CONFIGURED, CONFIGURED)

    async def _limit(self, requests_per_second: float | str, max_concurrency: int | str) -> None:
        with contextlib.suppress(RedisError):
            await set_limits(
                self.redis,
                self.portal_settings,
                by="chaos",
                requests_per_second=requests_per_second,
                max_concurrency=max_concurrency,
            )

    async def cancel_one(self) -> None:
        """Cancel a job, as a user would."""
        await self._ask(CANCELLED, Event.CANCEL)

    async def turn_everybody_away(self) -> None:
        """Make the portal unpaid, closed to us, suspended or under maintenance for a short time."""
        how, away_s = self.chance.choice(_TURNED_AWAY), self.chance.uniform(0.5, 3.0)
        async with self._turned_away:
            await self.portal.behave(**how)
            await asyncio.sleep(away_s)
            await self.portal.behave(**_HEALTHY)

    async def list_a_stranger(self) -> None:
        """Let one answer list a contact that was not in the request."""
        await self.portal.misbehave({"fault": "foreign_id", "next_calls": 1})

    async def log_out_everywhere(self) -> None:
        """Invalidate every token."""
        await self.portal.log_out_everywhere()

    async def approve_wrongly(self) -> None:
        """Try to approve plans with digests that are not theirs."""
        await self.people.approve_wrongly(self.jobs)

    async def stop_and_start(self) -> None:
        """Use the stop switch."""
        await self.people.stop_and_start()

    async def heal(self) -> None:
        """Fix faults as a user would, and resume what they have stopped, a few seconds later each time."""
        while True:
            await asyncio.sleep(3.0)
            jobs = [await read_job(self.redis, job_id) for job_id in self.jobs]
            for job in jobs:
                if job.id not in self.held:
                    await self._put_right(job)
            await self.people.look_after(jobs)

    async def _put_right(self, job: Job) -> None:
        job_id = job.id
        if job.state in {State.PAUSED, State.PAUSING}:
            await self._ask(job_id, Event.RESUME)
        elif job.state_reason and job.state_reason.startswith("portal_"):
            # Another job met the fault and may have ended since, so the user of this job has to say that all is well
            # again.
            if job.state is State.CANCELLING:
                await self._ask(job_id, Event.CANCEL)
            else:
                await self._ask(job_id, Event.PAUSE)
                await self._ask(job_id, Event.RESUME)

    async def _ask(self, job_id: str, event: Event) -> None:
        # It may have ended, someone may have been faster, or Redis may have died: then the next round tries again.
        with contextlib.suppress(IllegalMove, RedisError):
            await control(self.redis, job_id, event, by="chaos")
