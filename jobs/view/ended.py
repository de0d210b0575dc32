"""Shows a job as ended only once a fail-over cannot undo that.

The outcome of a batch does not wait for replicas: if it is lost, its contacts are looked up. But who has seen that a
job ended must not see it run again. So whoever reads a job that has just ended asks whether replicas have that, and
shows it as it was before until they do.

Whoever has asked notes on the job that they do: what has been shown once is shown as long as the job is kept, also when
a replica goes away. The note was written after the end, so no server can have it without the end. And nobody has to ask
about a job that ended long ago: workers note until when replicas have everything. Without that, as after an upgrade, a
job counts as one that replicas know of some minutes after its end.
"""

import contextlib
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.store import keys
from jobs.store.connection import AWAY
from jobs.store.discreet_redis import replication_of
from jobs.store.scripts import Script
from jobs.store.times import server_ms
from jobs.words.states import TERMINAL, State

KNOW_END = Script("know_end")

#: For this long after its end, it is always asked whether replicas know of it: the note may be of another server, whose
#: clock was ahead of this one's.
_RECENT_MS = 300_000

#: What is shown of a job that has ended and does not say how it was before.
_BEFORE: dict[str, str] = {State.COMPLETED: State.RUNNING, State.CANCELLED: State.CANCELLING}


async def note_replicated(redis: Redis) -> None:
    """Note until when replicas have everything, if the connection demands replicas and they are there."""
    wanted = replication_of(redis)
    if not wanted.min_replicas:
        return
    until_ms = server_ms(await redis.time()) - 1  # what comes later in the same millisecond is not meant
    pipe = redis.pipeline(transaction=False)
    wanted.ask(pipe)
    if wanted.take(await pipe.execute(raise_on_error=False)):
        await redis.set(keys.REPLICATED_UNTIL, until_ms)


async def with_sure_ends(
    redis: Redis, job_ids: Sequence[str], jobs: Sequence[dict[str, str]], now_ms: int, replicated_ms: int | None
) -> list[dict[str, str]]:
    """Return the hashes of jobs, those that have just ended as they were before if a fail-over could undo their end.

    Takes a round trip if one of them has just ended, and the connection demands replicas.

    Args:
        redis: the connection.
        job_ids: the IDs of the jobs.
        jobs: their hashes; empty for an ID without a job.
        now_ms: the wall clock of the server.
        replicated_ms: what `note_replicated` noted last; None for nothing.
    """
    wanted = replication_of(redis)
    if not wanted.min_replicas:
        return list(jobs)
    since_ms = now_ms - _RECENT_MS if replicated_ms is None else min(now_ms - _RECENT_MS, replicated_ms)
    unsure = [index for index, facts in enumerate(jobs) if _is_unsure(facts, since_ms)]
    if not unsure:
        return list(jobs)
    pipe = redis.pipeline(transaction=False)
    for index in unsure:
        # Again, and before the question: a fail-over may have come between.
        pipe.execute_command("HMGET", keys.job(job_ids[index]), "state", "finished_ms")
    wanted.ask(pipe)
    told = await pipe.execute(raise_on_error=False)
    is_sure = wanted.take(told)
    shown, known = list(jobs), list[int]()
    for index, now in zip(unsure, told, strict=False):
        facts = jobs[index]
        if is_sure and now == [facts["state"].encode(), facts["finished_ms"].encode()]:
            known.append(index)
        else:
            shown[index] = {name: value for name, value in facts.items() if name != "finished_ms"}
            shown[index]["state"] = _before(facts)
    if known:
        ends = [jobs[index]["finished_ms"] for index in known]
        with contextlib.suppress(*AWAY, RedisError):  # then the next reader asks again
            await KNOW_END(redis, [keys.job(job_ids[index]) for index in known], ends)
    return shown


def _is_unsure(facts: dict[str, str], since_ms: int) -> bool:
    if not _before(facts) or facts.get("end_known_ms") == facts["finished_ms"]:
        return False
    return int(facts["finished_ms"]) > since_ms


def _before(facts: dict[str, str]) -> str:
    """Return the state from which a job has ended; empty for one that has not, or began with its end."""
    state = facts.get("state", "")
    if state not in TERMINAL or "finished_ms" not in facts:
        return ""
    return facts.get("ended_from", _BEFORE.get(state, ""))
