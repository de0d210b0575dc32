"""What people do about guards during a run: approve plans, stop and start, open windows; and when they did it."""

import asyncio
import contextlib
import random
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from arq.connections import ArqRedis
from redis.exceptions import RedisError

from chaos.campaigns import CAPPED, NEVER_APPROVED, WINDOWED_PORTAL
from config.settings import Portal, Settings
from jobs.accept.approval import approval_terms
from jobs.steering.control import control
from jobs.steering.limits import set_limits
from jobs.steering.switch import Switch, switch
from jobs.store.times import server_ms
from jobs.view.job import Job, read_job
from jobs.words.errors import IllegalMove, NotApproved
from jobs.words.states import Event, State


@dataclass(frozen=True, slots=True)
class Stop:
    """A time in which every PUT of one portal, or of all, was stopped: from when that was certain.

    Attributes:
        portal: the portal's name; None for all.
        start_s, end_s: Unix times.
    """

    portal: str | None
    start_s: float
    end_s: float


@dataclass(kw_only=True)
class People:
    """Approve, stop, start and open.

    Attributes:
        chance: decides what and when.
        redis: a patient connection.
        settings: all settings of the run.
        approved_s: when each job was approved at the earliest, Unix time.
        stops: when PUTs were stopped.
        openings: when somebody had opened the windows once, Unix times.
        problems: what must never have happened.
        is_calm: whether nothing goes wrong any more, so that everything is approved.
    """

    chance: random.Random
    redis: ArqRedis
    settings: Settings
    approved_s: dict[str, float] = field(default_factory=dict)
    stops: list[Stop] = field(default_factory=list)
    openings: list[tuple[float, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_calm: bool = False
    refused: int = 0
    """Approvals with a wrong digest that were refused."""
    _switching: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look_after(self, jobs: Collection[Job]) -> None:
        """Approve plans now and then, open the windows, and cancel what cannot come to its end."""
        for job in jobs:
            others_have_ended = all(other.ended or other.id in {NEVER_APPROVED, CAPPED} for other in jobs)
            if job.state is State.AWAITING_APPROVAL and job.id != NEVER_APPROVED:
                await self._approve(job)
            elif job.id in {NEVER_APPROVED, CAPPED} and self.is_calm and others_have_ended and self._is_done(job):
                with contextlib.suppress(IllegalMove, RedisError):
                    await control(self.redis, job.id, Event.CANCEL, by="chaos")
        await self.open_windows_once()

    def _is_done(self, job: Job) -> bool:
        return job.state is State.AWAITING_APPROVAL or job.state_reason == "daily_cap"

    async def approve_wrongly(self, jobs: Collection[str]) -> None:
        """Approve a plan with a digest that is not its own, or too short, or missing."""
        for job_id in jobs:
            with contextlib.suppress(RedisError):
                job = await read_job(self.redis, job_id)
                if job.state is State.AWAITING_APPROVAL and job.plan:
                    right = job.plan.digest
                    wrong = self.chance.choice(["", right[:11], right[::-1], "0" * 64, right[:-1] + "x"])
                    await self._refuse(job, wrong)

    async def _refuse(self, job: Job, digest: str) -> None:
        terms = approval_terms(self.settings.portal(job.portal), digest)
        try:
            await control(self.redis, job.id, Event.APPROVE, by="chaos", terms=terms)
        except NotApproved:
            self.refused += 1
        except IllegalMove:
            return
        else:
            self.problems.append(f"job {job.id} was approved with the wrong digest {digest!r}")

    async def _approve(self, job: Job) -> None:
        if job.plan is None or not (self.is_calm or self.chance.random() < 0.3):
            return
        terms = approval_terms(self.settings.portal(job.portal), job.plan.digest[: self.chance.choice([12, 40, 64])])
        self.approved_s.setdefault(job.id, time.time())
        with contextlib.suppress(IllegalMove, RedisError):
            await control(self.redis, job.id, Event.APPROVE, by="chaos", terms=terms)

    async def stop_and_start(self) -> None:
        """Stop every PUT of a portal or of all, and start them again some seconds later."""
        of_all = self.chance.random() < 0.5
        every = list(self.settings.portals.values())
        one = self.chance.choice(every)
        portals, stopped_s = (every if of_all else [one]), self.chance.uniform(4.0, 12.0)
        async with self._switching:
            await self._switch(Switch.STOP, of_all=of_all, portals=portals)
            start_s = time.time()
            await asyncio.sleep(stopped_s)
            self.stops.append(Stop(None if of_all else one.name, start_s, time.time()))
            await self._switch(Switch.START, of_all=of_all, portals=portals)

    async def _switch(self, to: Switch, *, of_all: bool, portals: Sequence[Portal]) -> None:
        while True:
            try:
                await switch(self.redis, to, portals, of_all=of_all, by="chaos")
            except RedisError:
                continue
            return

    async def open_windows_once(self) -> None:
        """Open the windows for some seconds, whatever the clock says."""
        if not self.is_calm and self.chance.random() < 0.6:
            return
        portal, open_s = self.settings.portal(WINDOWED_PORTAL), self.chance.uniform(2.0, 5.0)
        start_s = time.time()
        with contextlib.suppress(RedisError, ValueError):
            until_ms = server_ms(await self.redis.time()) + round(open_s * 1000)
            self.openings.append((start_s, until_ms / 1000))
            await set_limits(self.redis, portal, by="chaos", open_until_ms=until_ms)
