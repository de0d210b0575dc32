"""Changing a job's priority."""

from redis.asyncio import Redis
from ulid import ULID

from jobs.store.keys import known_key
from jobs.store.scripts import Script
from jobs.words.errors import JobHasEnded, UnknownJob
from jobs.words.priority import Priority
from jobs.words.states import State

SET_PRIORITY = Script("set_priority", replicated=True)


async def set_priority(redis: Redis, job_id: str, priority: Priority, *, by: str) -> None:
    """Change a job's priority. It takes effect with the next batch.

    Args:
        redis: the connection.
        job_id: the job's ID.
        priority: the new priority.
        by: who asks; kept with the job.

    Raises:
        UnknownJob: no such job.
        JobHasEnded: the job has ended.
    """
    reply = await SET_PRIORITY(redis, [known_key(job_id)], [job_id, priority, priority.stride, by, str(ULID())])
    match reply[0]:
        case b"unknown":
            raise UnknownJob(job_id)
        case b"ended":
            raise JobHasEnded(job_id, State(reply[1].decode()))
