"""Reads jobs for all who poll: requests that come in while a read is under way share the next one.

Redis is asked once for all of them, so that a hundred services that poll cost little more than one. No caller gets an
answer older than their own request: a read that had begun before is never shared.
"""

import asyncio
from collections.abc import Iterable, Iterator

from aiohttp import web
from redis.asyncio import Redis

from jobs.view.job import Job, read_jobs
from jobs.words.errors import UnknownJob

#: Jobs of one read; more of them wait for the next one.
_TOGETHER = 200


class JobReader:
    """The one reader for all requests of a process.

    Args:
        redis: the connection.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._wanted: dict[str, list[asyncio.Future[Job | None]]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def read(self, job_id: str) -> Job:
        """Read a job, as it is now or later.

        Raises:
            UnknownJob: no such job.
            redis.exceptions.RedisError: Redis is away.
        """
        wanted = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(job_id, []).append(wanted)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        job: Job | None = await wanted
        if job is None:
            raise UnknownJob(job_id)
        return job

    async def _read(self) -> None:
        while self._wanted:
            # First those are answered whom the last read was for: what they ask next is in this one.
            await asyncio.sleep(0)
            now = dict(list(self._wanted.items())[:_TOGETHER])
            for job_id in now:
                del self._wanted[job_id]
            try:
                jobs = await read_jobs(self._redis, list(now))
            except Exception as error:  # noqa: BLE001  # every waiting request gets the error
                for wanted in _waiting(now.values()):
                    wanted.set_exception(error)
            else:
                for futures, job in zip(now.values(), jobs, strict=True):
                    for wanted in _waiting([futures]):
                        wanted.set_result(job)


def _waiting(lists: Iterable[list[asyncio.Future[Job | None]]]) -> Iterator[asyncio.Future[Job | None]]:
    """Yield what somebody still waits for: a request that is given up is cancelled."""
    return (wanted for futures in lists for wanted in futures if not wanted.done())


READER = web.AppKey("reader", JobReader)
"""The one reader of this process."""
