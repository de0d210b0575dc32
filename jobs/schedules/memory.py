"""What Redis knows of a schedule, and the two steps in which that changes: looking at it, and claiming a start."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from redis.asyncio import Redis

from config.settings import Schedule
from jobs.schedules.definition import definition_of, timing_of
from jobs.schedules.policy import Held
from jobs.store import keys
from jobs.store.scripts import Script, run_together

SEE_SCHEDULE = Script("see_schedule")
CLAIM_SCHEDULE = Script("claim_schedule", replicated=True)

#: A worker that has not looked for this long no longer decides by whose settings a schedule goes.
LAPSES_MS = 60_000

_CLAIM = "claim:"


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of one schedule.

    Attributes:
        definition: fingerprint of the settings by which it goes; empty before a worker has looked at it.
        looked_ms: when a worker with these settings looked at it last; 0 for never.
        seen_ms: until when its due times have been dealt with.
        claims: jobs that are claimed and perhaps not submitted yet: job ID → who starts it.
        held: what the newest job's plan waits for, as `Kept`; None for nothing.
        started_ms: when it started last; None for never.
        skipped: how many due times were skipped because the last job had not ended.
        skipped_ms: the last of these due times.
    """

    definition: str = ""
    looked_ms: int = 0
    seen_ms: int = 0
    claims: dict[str, str] = field(default_factory=dict)
    held: "Kept | None" = None
    started_ms: int | None = None
    skipped: int = 0
    skipped_ms: int | None = None


class Kept(msgspec.Struct, frozen=True):
    """A decision about a plan, kept so that it can be shown, and is logged once."""

    digest: str
    held: Held


@dataclass(frozen=True, slots=True)
class Seen:
    """A schedule as a worker finds it.

    Attributes:
        counts: whether it goes by this worker's settings.
        newest: ID of its newest job; empty for none.
        memory: what is known of it.
    """

    counts: bool
    newest: str
    memory: Memory


@dataclass(frozen=True, slots=True)
class Claim:
    """What came of trying to start.

    Attributes:
        outcome: `claimed`, `lost`, `unfinished` or `expired` (claim_schedule.lua).
        job_id: the job that is in the way; empty if none is.
        state: its state, if it is unfinished.
    """

    outcome: str
    job_id: str = ""
    state: str = ""


_kept = msgspec.json.Decoder(Kept).decode


async def see(redis: Redis, schedules: Sequence[Schedule], now_ms: int, *, just_started: bool) -> list[Seen]:
    """Look at schedules as a worker, in one round trip.

    Args:
        redis: the connection.
        schedules: as this worker has them.
        now_ms: the Redis server's clock.
        just_started: whether this is the worker's first look: from now on they go by its settings.
    """
    first = "1" if just_started else ""
    replies = await run_together(
        redis,
        [
            (
                SEE_SCHEDULE,
                [keys.schedule(one.name), keys.scheduled(one.name)],
                [definition_of(one), timing_of(one), now_ms, LAPSES_MS, first],
            )
            for one in schedules
        ],
    )
    return [Seen(bool(counts), newest.decode(), _memory(facts)) for counts, newest, *facts in replies]


async def read_memory(redis: Redis, schedules: Sequence[Schedule]) -> list[tuple[Memory, list[str]]]:
    """Read what is known of schedules, each with the IDs of its last jobs, newest first."""
    pipe = redis.pipeline(transaction=False)
    for one in schedules:
        pipe.hgetall(keys.schedule(one.name))
        pipe.lrange(keys.scheduled(one.name), 0, -1)
    replies = iter(await pipe.execute())
    return [
        (_memory([part for pair in facts.items() for part in pair]), [job_id.decode() for job_id in next(replies)])
        for facts in replies
    ]


async def claim(redis: Redis, schedule: Schedule, *, seen_ms: int, due_ms: int, job_id: str, now_ms: int) -> Claim:
    """Claim a due time for a job, as a worker by whose settings the schedule goes.

    Args:
        redis: the connection.
        schedule: the schedule.
        seen_ms: until when its due times have been dealt with, as the caller knows.
        due_ms: the due time.
        job_id: of the job that is to be submitted next.
        now_ms: the Redis server's clock.
    """
    return await _claim(
        redis, schedule, [seen_ms, definition_of(schedule), due_ms, job_id, starter(schedule.name), now_ms]
    )


async def claim_by_hand(redis: Redis, schedule: Schedule, *, job_id: str, by: str, now_ms: int) -> Claim:
    """Claim a start that a user asks for; arguments are those of `claim`, and who asks."""
    return await _claim(redis, schedule, ["", "", now_ms, job_id, by, now_ms])


async def _claim(redis: Redis, schedule: Schedule, arguments: Sequence[str | int]) -> Claim:
    key_names = [keys.schedule(schedule.name), keys.scheduled(schedule.name)]
    reply = await CLAIM_SCHEDULE(redis, key_names, [*arguments, schedule.name])
    return Claim(*(part.decode() for part in reply))


async def forget_claim(redis: Redis, name: str, job_id: str) -> None:
    """Note that a claimed job has been submitted."""
    await redis.execute_command("HDEL", keys.schedule(name), _CLAIM + job_id)


async def keep_held(redis: Redis, name: str, kept: Kept) -> None:
    """Note what a plan waits for."""
    await redis.execute_command("HSET", keys.schedule(name), "held", msgspec.json.encode(kept))


def starter(name: str) -> str:
    """Return who submits and approves the jobs of a schedule, as `actions` say it."""
    return f"schedule {name}"


def _memory(flat: Sequence[bytes]) -> Memory:
    facts = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
    return Memory(
        definition=facts.get("definition", ""),
        looked_ms=int(facts.get("looked_ms", 0)),
        seen_ms=int(facts.get("seen_ms", 0)),
        claims={name.removeprefix(_CLAIM): by for name, by in facts.items() if name.startswith(_CLAIM)},
        held=_kept(facts["held"]) if "held" in facts else None,
        started_ms=int(facts["started_ms"]) if "started_ms" in facts else None,
        skipped=int(facts.get("skipped", 0)),
        skipped_ms=int(facts["skipped_ms"]) if "skipped_ms" in facts else None,
    )
