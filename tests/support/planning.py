"""Plans on a simulated portal, and their comparison with the truth."""

from typing import Any

import msgspec
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from jobs.accept.submit import submit
from jobs.ledger.export import Format
from jobs.plan.export import read_departures, read_plan_text
from jobs.view.job import Job
from jobs.words.filters import Filter
from jobs.words.states import State
from tests.support.submitting import request
from tests.support.sweeping import PORTAL, in_state

ONCE_PLANNED = (State.AWAITING_APPROVAL, State.COMPLETED, State.FAILED, State.CANCELLED)


async def plan_of_list(redis: ArqRedis, ids: Any, **facts: Any) -> str:
    """Submit a list that is planned first; return the job's ID."""
    return (await submit(redis, request(portal=PORTAL, ids=BitMap(ids), plan=True, **facts))).job_id


async def plan_of_filter(redis: ArqRedis, selection: Filter | None = None, /, **members: Any) -> str:
    """Submit a filter; return the job's ID."""
    wanted = selection or Filter(**members)
    return (await submit(redis, request(portal=PORTAL, ids=BitMap(), plan=True, selection=wanted))).job_id


async def planned(redis: ArqRedis, job_id: str, timeout_s: float = 60.0) -> Job:
    """Wait until a job's plan stands, or it turns out that there can be none."""
    return await in_state(redis, job_id, *ONCE_PLANNED, timeout_s=timeout_s)


async def verdicts_of(redis: ArqRedis, job_id: str) -> dict[str, set[int]]:
    """Read a plan: contact IDs by verdict."""
    found: dict[str, set[int]] = {}
    last = 0
    async for text, _ in read_plan_text(redis, job_id, Format.NDJSON):
        for line in text.splitlines():
            entry = msgspec.json.decode(line)
            assert entry["contact_id"] > last, "a plan is in ascending order, and has each contact once"
            last = entry["contact_id"]
            found.setdefault(entry["verdict"], set()).add(last)
    return found


async def departures_of(redis: ArqRedis, job_id: str) -> list[dict[str, Any]]:
    """Read what ended otherwise than predicted."""
    return [
        msgspec.json.decode(line)
        async for text, _ in read_departures(redis, job_id, Format.NDJSON)
        for line in text.splitlines()
    ]


def true_verdicts(portal: simulator.Portal, ids: Any, *, protected: Any = ()) -> dict[str, set[int]]:
    """Return what a plan of these contact IDs must say now."""
    world, ids, protected = portal.world, BitMap(ids), BitMap(protected)
    rest = ids - protected
    visible = world.visible(rest)
    found = {
        "protected": ids & protected,
        "absent": rest - visible,
        "read_only": visible & world.read_only,
        "has_invoice": (visible - world.read_only) & world.invoiced,
        "deletable": visible - world.read_only - world.invoiced,
    }
    return {verdict: set(contacts) for verdict, contacts in found.items() if contacts}
