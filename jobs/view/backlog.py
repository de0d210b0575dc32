"""How much work is left, how old it is and how many workers can do it, for operators. Ended jobs are not read."""

from dataclasses import dataclass, field

from redis.asyncio import Redis

from jobs.store import keys
from jobs.store.times import server_ms, still_ahead
from jobs.words.states import TERMINAL, State

#: States in which a job is expected to move; in the others it waits for a person.
EXPECTED_TO_MOVE = frozenset({State.QUEUED, State.RUNNING, State.CANCELLING})

#: How many jobs are read in one round trip.
_AT_ONCE = 1000


@dataclass(slots=True)
class PortalBacklog:
    """The jobs of one portal that have not ended.

    Attributes:
        jobs: how many there are in each state.
        pending: their contact IDs that are not decided yet, by state of the job.
        oldest_s: seconds since the oldest job that is expected to move was accepted; 0 if there is none.
    """

    jobs: dict[State, int] = field(default_factory=dict)
    pending: dict[State, int] = field(default_factory=dict)
    oldest_s: float = 0.0

    def add(self, state: State, pending: int, age_s: float) -> None:
        """Count one job."""
        self.jobs[state] = self.jobs.get(state, 0) + 1
        self.pending[state] = self.pending.get(state, 0) + pending
        if state in EXPECTED_TO_MOVE and pending:
            self.oldest_s = max(self.oldest_s, age_s)


@dataclass(frozen=True, slots=True)
class Backlog:
    """The work that is left, and the workers that can do it.

    Attributes:
        at_ms: when it was read, Unix milliseconds on the Redis server's clock.
        portals: by name; only portals with jobs that have not ended.
        ended: jobs that have ended and are still kept.
        queue: messages in arq's queue: wake-ups, including those for later, and requests from other services.
        workers: workers that are alive.
    """

    at_ms: int
    portals: dict[str, PortalBacklog]
    ended: int
    queue: int
    workers: int


async def read_backlog(redis: Redis) -> Backlog:
    """Read the backlog. Ended jobs are filtered out by ID alone: 10 ms on the server for 100,000 of them."""
    pipe = redis.pipeline(transaction=False)
    pipe.time()
    pipe.execute_command("ZDIFF", 2, keys.JOBS, keys.FINISHED)
    pipe.zcard(keys.FINISHED)
    pipe.zcard(keys.QUEUE)
    pipe.zrange(keys.WORKERS, 0, -1, withscores=True)
    time, unfinished, ended, queue, workers = await pipe.execute()
    now_ms = server_ms(time)
    portals: dict[str, PortalBacklog] = {}
    for start in range(0, len(unfinished), _AT_ONCE):
        pipe = redis.pipeline(transaction=False)
        for job_id in unfinished[start : start + _AT_ONCE]:
            pipe.execute_command("HMGET", keys.job(job_id.decode()), "portal", "state", "n:pending", "created_ms")
        for portal, state, pending, created_ms in await pipe.execute():
            if state and state.decode() not in TERMINAL:  # else it ended, or was forgotten, a moment ago
                backlog = portals.setdefault(portal.decode(), PortalBacklog())
                backlog.add(State(state.decode()), int(pending or 0), (now_ms - int(created_ms)) / 1000)
    return Backlog(now_ms, portals, ended, queue, workers=len(still_ahead(workers, now_ms)))
