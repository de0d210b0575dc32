"""Plans, as the sections measure them: made by a worker, then approved and carried out."""

import asyncio
import time

from arq.connections import ArqRedis
from pyroaring import BitMap

from bench.load import Load
from bench.ours import PORTAL
from jobs.accept.approval import ApprovalTerms
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.plan.summary import Planning
from jobs.steering.control import control
from jobs.view.job import Job, read_job, to_json
from jobs.words.filters import Filter
from jobs.words.states import Event, State

_TIMEOUT_S = 3600.0
EVERYTHING = Filter(everything=True)


async def start_plan(redis: ArqRedis, load: Load, *, ids: BitMap | None = None, selection: Filter | None = None) -> str:
    """Submit a list or a filter that is planned first; return the job's ID."""
    wanted = Submission(
        portal=PORTAL,
        ids=ids or BitMap(),
        selection=selection,
        plan=True,
        needs_approval=True,
        lanes=load.concurrency,
    )
    return (await submit(redis, wanted)).job_id


async def planned(
    redis: ArqRedis, job_id: str, *, seen: list[Planning] | None = None, timeout_s: float = _TIMEOUT_S
) -> Job:
    """Wait until a job's plan stands.

    Args:
        redis: the connection.
        job_id: the job's ID.
        seen: takes every progress of the survey that was seen.
        timeout_s: how long to wait.

    Raises:
        RuntimeError: there can be none, or it was not made in time.
    """
    deadline_s = time.monotonic() + timeout_s
    while (job := await read_job(redis, job_id)).state is State.PLANNING:
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"no plan in time: {to_json(job).decode()}")
        if seen is not None and job.planning:
            seen.append(job.planning)
        await asyncio.sleep(0.02)  # only Redis knows
    if job.state is not State.AWAITING_APPROVAL:
        raise RuntimeError(f"no plan: {to_json(job).decode()}")
    return job


async def approve(redis: ArqRedis, job: Job, load: Load) -> None:
    """Approve a job: its plan, if it has one."""
    terms = ApprovalTerms(digest=job.plan.digest if job.plan else "")
    await control(redis, job.id, Event.APPROVE, by="bench", lanes=load.concurrency, terms=terms)
