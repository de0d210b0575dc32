"""Steering as most tests want it: what counts is the job's state afterwards."""

from typing import Any

from arq.connections import ArqRedis

from jobs.steering import control as steering
from jobs.words.states import Event, State


async def control(redis: ArqRedis, job_id: str, event: Event, **facts: Any) -> State:
    """Return the job's state after `control` of `jobs.steering.control`; the arguments are the same."""
    return (await steering.control(redis, job_id, event, **facts)).state
