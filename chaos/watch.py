"""Watches the jobs while things go wrong: what must hold at every moment, whatever happens."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from jobs.ledger.rows import Rows, read_rows
from jobs.view.job import Job, read_job
from jobs.words.outcomes import Code
from jobs.words.states import TERMINAL, State

#: After this many polls, the whole ledger of one job is compared with what it said before.
_POLLS_PER_SNAPSHOT = 4


@dataclass
class Watch:
    """Reads the jobs again and again, and remembers what it saw.

    Attributes:
        redis: a patient connection.
        jobs: the jobs' IDs.
        problems: what must never have happened.
        polls, snapshots: how often it has read the jobs, and whole ledgers.
        latest: the jobs as they were last seen.
        moved_s: when anything was last seen to change, on the monotonic clock.
    """

    redis: Redis
    jobs: list[str]
    problems: list[str] = field(default_factory=list)
    polls: int = 0
    snapshots: int = 0
    latest: dict[str, Job] = field(default_factory=dict)
    moved_s: float = field(default_factory=time.monotonic)
    _ledgers: dict[str, list[bytes]] = field(default_factory=dict)

    @property
    def all_ended(self) -> bool:
        """Whether every job has ended."""
        return len(self.latest) == len(self.jobs) and all(job.ended for job in self.latest.values())

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            for job_id in self.jobs:
                self._look(await read_job(self.redis, job_id))
            self.polls += 1
            if self.polls % _POLLS_PER_SNAPSHOT == 0:
                await self.compare(self.jobs[self.snapshots % len(self.jobs)])
            await asyncio.sleep(0.5)

    def _look(self, job: Job) -> None:
        before = self.latest.get(job.id)
        self.latest[job.id] = job
        if sum(job.counts.values()) != job.total or min(job.counts.values()) < 0:
            self.problems.append(f"job {job.id}: the counts {job.counts} do not add up to {job.total}")
        if before is None:
            return
        if before.state in TERMINAL and (before.state, before.counts) != (job.state, job.counts):
            self.problems.append(f"job {job.id} was {before.state} and is {job.state} with other counts")
        if (before.state, before.counts, before.requests) != (job.state, job.counts, job.requests):
            self.moved_s = time.monotonic()

    async def compare(self, job_id: str) -> list[Rows]:
        """Read a job's ledger, and compare every final outcome with the previous one."""
        segments = [rows async for rows in read_rows(self.redis, job_id)]
        self.snapshots += 1
        codes = [bytes(rows.codes) for rows in segments]
        for number, former in enumerate(self._ledgers.get(job_id, [])):
            if codes[number] != former:
                self._compare(job_id, segments[number].ids, former, codes[number])
        self._ledgers[job_id] = codes
        return segments

    def _compare(self, job_id: str, ids: Sequence[int], before: bytes, after: bytes) -> None:
        for contact_id, former, latter in zip(ids, before, after, strict=True):
            if former not in (Code.PENDING, latter):
                self.problems.append(
                    f"job {job_id}: contact {contact_id} was {Code(former).name} and is {Code(latter).name}"
                )

    def where(self) -> str:
        """Return how far the jobs have come, in one line."""
        parts = [
            f"{job.id} {job.state}{f' ({job.state_reason})' if job.state_reason else ''} {job.progress:.0%}"
            for job in self.latest.values()
            if not job.ended
        ]
        rates = [job.requests_per_second for job in self.latest.values() if job.requests_per_second]
        ended = sum(job.state in (State.COMPLETED, State.CANCELLED) for job in self.latest.values())
        return "; ".join([f"{ended} ended", *parts, f"{rates[0] if rates else 0:.1f} calls/s"])
