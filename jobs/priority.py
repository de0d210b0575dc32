"""Priority: how often a job's turn comes among the others of its portal."""

from enum import StrEnum

from redis.asyncio import Redis
from ulid import ULID

from jobs.control import UnknownJob, known_key
from jobs.scripts import Script
from jobs.states import State

SET_PRIORITY = Script("set_priority")


class Priority(StrEnum):
    """Jobs of one portal take turns, a batch each; a job of higher priority has more of them. None ever starves."""

    URGENT = "urgent"
    """Ten turns for each one of a normal job."""
    NORMAL = "normal"
    """One turn each."""
    BACKGROUND = "background"
    """One turn for every ten of a normal job, and all of them while nobody else wants one."""

    @property
    def stride(self) -> float:
        """How far back in the queue one turn puts the job; a normal one 1."""
        return _STRIDES[self]


_STRIDES = {Priority.URGENT: 0.1, Priority.NORMAL: 1.0, Priority.BACKGROUND: 10.0}


class JobHasEnded(Exception):
    """The job has ended, so its priority means nothing any more."""

    def __init__(self, job_id: str, state: State) -> None:
        self.job_id = job_id
        self.state = state
        super().__init__(f"job {job_id} is {state}: its priority means nothing any more")


async def set_priority(redis: Redis, job_id: str, priority: Priority, *, by: str) -> None:
    """Change a job's priority. It takes effect with the next batch.

    Args:
        redis: the connection.
        job_id: the job's ID.
        priority: the new one.
        by: who asks; kept with the job.

    Raises:
        UnknownJob: no such job.
        JobHasEnded: it has ended.
    """
    reply = await SET_PRIORITY(redis, [known_key(job_id)], [job_id, priority, priority.stride, by, str(ULID())])
    match reply[0]:
        case b"unknown":
            raise UnknownJob(job_id)
        case b"ended":
            raise JobHasEnded(job_id, State(reply[1].decode()))
