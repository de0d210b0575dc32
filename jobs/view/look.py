"""Reads jobs from Redis together with what is shown of their portals, at one moment and in one round trip."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from jobs.store import keys
from jobs.store.clock import Clocks
from jobs.store.portal_state import FIELDS, PortalState
from jobs.store.scripts import Script, ScriptCall, run_together
from jobs.store.times import still_ahead

LOOK = Script("look")

#: Jobs that are read in one step of the server, some 30 µs each, between which others have their turn.
_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Look:
    """What was found.

    Attributes:
        clocks: the moment.
        workers: workers that are alive.
        served: portals for which one of them is configured.
        replicated_ms: until when replicas have everything (jobs/view/ended.py); None if nobody has noted it.
        jobs: the fields of each job that is there, by job ID.
        portals: the states of their portals, by name.
    """

    clocks: Clocks
    workers: int
    served: frozenset[str]
    replicated_ms: int | None
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    portals: dict[str, PortalState] = field(default_factory=dict)


async def look(redis: Redis, job_ids: Sequence[str]) -> Look:
    """Read jobs and their portals. Many jobs are read in several steps of the server; the moment is that of the first.

    Args:
        redis: the connection.
        job_ids: any number of possible IDs; without any, the rest is read nevertheless.
    """
    steps = [job_ids[start : start + _AT_ONCE] for start in range(0, max(len(job_ids), 1), _AT_ONCE)]
    calls: list[ScriptCall] = [(LOOK, [keys.job(job_id) for job_id in step], FIELDS) for step in steps]
    replies = await run_together(redis, calls)
    first, *others = (_read(step, reply) for step, reply in zip(steps, replies, strict=True))
    for other in others:
        first.jobs.update(other.jobs)
        first.portals.update(other.portals)
    return first


def _read(job_ids: Sequence[str], reply: list[Any]) -> Look:
    time, clock, workers, served, replicated, jobs, portals = reply
    clocks = Clocks.take(iter([tuple(map(int, time)), clock]))
    return Look(
        clocks=clocks,
        workers=len(still_ahead(_scores(workers), clocks.presence_ms)),
        served=frozenset(portal.decode() for portal in still_ahead(_scores(served), clocks.presence_ms)),
        replicated_ms=int(replicated) if replicated else None,
        jobs={
            job_id: {name.decode(): value.decode() for name, value in _pairs(facts)}
            for job_id, facts in zip(job_ids, jobs, strict=True)
            if facts
        },
        portals={name.decode(): _portal(facts, clocks) for name, *facts in portals},
    )


def _portal(facts: list[Any], clocks: Clocks) -> PortalState:
    values, leases, active, faults, configurations, stops = facts
    replies = [values, _scores(leases), active, dict(_pairs(faults)), _scores(configurations), stops]
    return PortalState.take(iter(replies), clocks)


def _pairs(flat: list[bytes]) -> "zip[tuple[bytes, bytes]]":
    return zip(flat[::2], flat[1::2], strict=True)


def _scores(flat: list[bytes]) -> list[tuple[bytes, float]]:
    return [(member, float(score)) for member, score in _pairs(flat)]
