"""Shows a job as ended only once a fail-over cannot undo that.

The outcome of a batch does not wait for replicas: if it is lost, its contacts are looked up. But who has seen that a
job ended must not see it run again. So whoever reads a job that has just ended asks whether replicas have that, and
shows it as it was before until they do.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

from jobs.store import keys
from jobs.store.discreet_redis import replication_of
from jobs.words.states import State

#: For this long after its end, it is asked whether replicas know of it. Without replicas nothing is sent, so a job that
#: ended earlier ended while they were there.
_RECENT_MS = 300_000

#: What is shown of a job that has ended, until replicas have that.
_BEFORE = {State.COMPLETED: State.RUNNING, State.CANCELLED: State.CANCELLING}


async def with_sure_ends(
    redis: Redis, job_ids: Sequence[str], jobs: Sequence[dict[str, str]], now_ms: int
) -> list[dict[str, str]]:
    """Return the hashes of jobs, those that have just ended as they were before if a fail-over could undo their end.

    Takes a round trip if one of them has just ended, and the connection demands replicas.

    Args:
        redis: the connection.
        job_ids: the IDs of the jobs.
        jobs: their hashes; empty for an ID without a job.
        now_ms: the wall clock of the server.
    """
    wanted = replication_of(redis)
    unsure = [index for index, facts in enumerate(jobs) if _has_just_ended(facts, now_ms)]
    if not wanted.min_replicas or not unsure:
        return list(jobs)
    pipe = redis.pipeline(transaction=False)
    for index in unsure:
        # Again, and before the question: a fail-over may have come between.
        pipe.execute_command("HMGET", keys.job(job_ids[index]), "state", "finished_ms")
    wanted.ask(pipe)
    told = await pipe.execute()
    is_sure = wanted.take(told)
    shown = list(jobs)
    for index, (state, finished_ms) in zip(unsure, told, strict=True):
        facts = jobs[index]
        is_same = (state, finished_ms) == (facts["state"].encode(), facts["finished_ms"].encode())
        if not is_same or not is_sure:
            shown[index] = {name: value for name, value in facts.items() if name != "finished_ms"}
            shown[index]["state"] = _BEFORE[State(facts["state"])]
    return shown


def _has_just_ended(facts: dict[str, str], now_ms: int) -> bool:
    return facts.get("state") in _BEFORE and now_ms - int(facts.get("finished_ms", 0)) < _RECENT_MS
