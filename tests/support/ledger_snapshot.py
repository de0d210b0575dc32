"""All that a portal's jobs look like at one moment, for checks between two steps of a test.

Nothing may happen while a snapshot is taken: it is read in parts, most of them at once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from arq.connections import ArqRedis

from jobs.ledger.rows import Line, read_results
from jobs.store import keys
from jobs.view.job import Job, read_jobs
from jobs.words.states import State


@dataclass(frozen=True)
class RawJob:
    """What Redis stores of a job.

    Attributes:
        facts: the fields of its hash.
        items: contacts that are neither ahead of its cursors nor recorded, encoded.
        records: of the first segment of its ledger, encoded.
        has_sample: whether personal data are kept for those who have to approve its plan.
    """

    facts: dict[str, str]
    items: list[bytes]
    records: list[bytes]
    has_sample: bool

    def number(self, field: str) -> int:
        """Return a number in its hash; a missing one is 0."""
        return int(self.facts.get(field, 0))


@dataclass(frozen=True)
class Stored:
    """What Redis stores.

    Attributes:
        jobs: of each job.
        lists: the jobs that are listed as being in a state.
        active: jobs that take turns.
        waiting: jobs that wait for a time.
    """

    jobs: dict[str, RawJob]
    lists: dict[State, list[str]]
    active: list[str]
    waiting: list[str]


@dataclass(frozen=True)
class Snapshot:
    """What is stored, and what users are shown.

    Attributes:
        stored: what is stored.
        jobs: each job as users see it.
        lines: each ledger as users see it.
    """

    stored: Stored
    jobs: dict[str, Job]
    lines: dict[str, list[Line]]


async def take_snapshot(redis: ArqRedis, job_ids: Sequence[str], portal: str) -> Snapshot:
    """Read what a portal's jobs look like."""
    (stored, jobs), lines = await asyncio.gather(
        asyncio.gather(_read_stored(redis, job_ids, portal), read_jobs(redis, job_ids)),
        asyncio.gather(*(_lines(redis, job_id) for job_id in job_ids)),
    )
    return Snapshot(
        stored=stored,
        jobs={job.id: job for job in jobs if job is not None},
        lines=dict(zip(job_ids, lines, strict=True)),
    )


async def _read_stored(redis: ArqRedis, job_ids: Sequence[str], portal: str) -> Stored:
    pipe = redis.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.execute_command("HGETALL", keys.job(job_id))
        pipe.execute_command("HVALS", keys.items(job_id))
        pipe.execute_command("LRANGE", keys.ledger(job_id, 0), 0, -1)
        pipe.execute_command("EXISTS", keys.sample(job_id))
    sets = [*map(keys.jobs_in, State), keys.active(portal), keys.waiting(portal)]
    for key in sets:
        pipe.execute_command("ZRANGE", key, 0, -1)
    replies = iter(await pipe.execute())
    jobs = {
        job_id: RawJob(
            facts={name.decode(): value.decode() for name, value in next(replies).items()},
            items=next(replies),
            records=next(replies),
            has_sample=bool(next(replies)),
        )
        for job_id in job_ids
    }
    *lists, active, waiting = ([job_id.decode() for job_id in next(replies)] for _ in sets)
    return Stored(jobs, dict(zip(State, lists, strict=True)), active, waiting)


async def _lines(redis: ArqRedis, job_id: str) -> list[Line]:
    return [line async for part in read_results(redis, job_id) for line in part]
