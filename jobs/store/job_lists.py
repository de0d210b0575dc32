"""The lists of jobs, newest first: one of all jobs, and one for each state.

Scripts update a state's list in the step that moves a job. Jobs that an older version created are missing there, and a
worker of an older version that still runs beside this one moves jobs without updating the lists. So workers go through
all jobs when they start, and every few minutes from then on. Until one has done so, the lists of the states are not
used.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from redis.asyncio import Redis

from jobs.store import keys
from jobs.store.scripts import Script
from jobs.words.states import State

INDEX_JOBS = Script("index_jobs")

#: A place in a list of jobs: when a job was created (Unix ms), and its ID. New jobs do not shift it.
Place: TypeAlias = tuple[int, str]

_LISTS = [keys.jobs_in(state) for state in State]

#: Jobs per step: about a millisecond of the server's time.
_JOBS_OF_A_STEP = 100
_STEPS_AT_ONCE = 20
_AGAIN_S = 600.0


async def newest_first(redis: Redis, jobs: str, after: Place | None, limit: int) -> list[Place]:
    """Return up to `limit` places after `after`. Jobs of the same millisecond are in descending order of ID.

    Args:
        redis: the connection.
        jobs: key of the list.
        after: the last place that is known; None to begin with the newest.
        limit: maximum number of places.
    """
    places: list[Place] = []
    skipped = 0
    while len(places) < limit:
        highest = "+inf" if after is None else after[0]
        rows = await redis.zrevrangebyscore(jobs, highest, "-inf", start=skipped, num=limit + 1, withscores=True)
        skipped += len(rows)
        behind = ((int(created_ms), job_id.decode()) for job_id, created_ms in rows)
        places += [place for place in behind if after is None or place < after]
        if len(rows) <= limit:
            break
    return places[:limit]


async def list_for(redis: Redis, state: State | None) -> str:
    """Return the key of the shortest list that certainly has all jobs in `state`, which is None for any state."""
    if state is None or not await redis.exists(keys.JOBS_INDEXED):
        return keys.JOBS
    return keys.jobs_in(state)


@dataclass(slots=True)
class Indexer:
    """Brings the lists of the states up to date, a few jobs at a time. Any number of workers can do so concurrently."""

    _round: Iterator[str] = field(default_factory=lambda: iter([keys.JOBS, *_LISTS]))
    _list: str | None = None
    _after: Place | None = None
    _rests_until_s: float = 0.0

    async def advance(self, redis: Redis) -> None:
        """Work for a moment; do nothing if the last round ended only a short time ago.

        Raises:
            redis.exceptions.RedisError: Redis is away, or refuses; the next call continues from here.
        """
        if time.monotonic() < self._rests_until_s:
            return
        for _ in range(_STEPS_AT_ONCE):
            if self._list is None:
                self._list, self._after = next(self._round, None), None
            if self._list is None:
                await redis.set(keys.JOBS_INDEXED, "1")
                self._round = iter([keys.JOBS, *_LISTS])
                self._rests_until_s = time.monotonic() + _AGAIN_S
                return
            places = await newest_first(redis, self._list, self._after, _JOBS_OF_A_STEP)
            if places:
                await INDEX_JOBS(redis, _LISTS, [job_id for _, job_id in places])
                self._after = places[-1]
            if len(places) < _JOBS_OF_A_STEP:
                self._list = None
