"""A lane that gets its token too late: its lease has lapsed, another lane has its batch, and it must send nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis

from jobs.lanes.lease import rescue
from jobs.store import keys
from jobs.view.job import read_job
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from tests.support.lanes import accept, answer, start_lane, take
from tests.support.office import CREDENTIALS, Office
from tests.support.one_lane import one_lane
from tests.support.raw_portal import RawPortal, raw_portal
from tests.support.steering import control
from worker.lane import Lane
from worker.portal_answers import Visible


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
async def portal(office: Office) -> AsyncIterator[RawPortal]:
    async with raw_portal(office) as portal:
        yield portal


@pytest.fixture
async def late(redis: ArqRedis, portal: RawPortal) -> AsyncIterator[Lane]:
    """Return a lane of a worker that has no token yet."""
    async with one_lane(redis, portal.config(**CREDENTIALS), "late") as late:
        yield late


async def overtake(redis: ArqRedis, late: Lane) -> None:
    """Let the lane's lease lapse, and another worker rescue its batch."""
    await late.ledger.release()
    assert len(await rescue(redis, "main", 0.0)) == 1


def deletions(portal: RawPortal) -> list[bytes]:
    return [request.body for request in portal.requests if request.method == "PUT"]


async def test_a_job_that_was_cancelled_meanwhile_loses_no_contact(
    redis: ArqRedis, office: Office, portal: RawPortal, late: Lane
) -> None:
    job_id = await accept(redis, [1, 2, 3])
    office.may_finish.clear()
    driving = asyncio.create_task(late.drive())
    await asyncio.wait_for(office.logging_in.wait(), 10)
    await overtake(redis, late)
    await control(redis, job_id, Event.CANCEL, by="test", lanes=0)
    other = await start_lane(redis, "other")
    while not (await read_job(redis, job_id)).ended:
        await answer(redis, other, await take(other), visible=dict.fromkeys([1, 2, 3], Visible.READ_ONLY))
    job = await read_job(redis, job_id)
    assert (job.state, job.counts[Outcome.REFUSED]) == (State.CANCELLED, 3), "all of them are still there"
    office.may_finish.set()
    await asyncio.wait_for(driving, 10)
    assert deletions(portal) == [], "and stay there"


async def test_a_token_that_was_renewed_too_late_is_not_used_either(
    redis: ArqRedis, office: Office, portal: RawPortal, late: Lane
) -> None:
    await late.dispatcher.client.look_up([1])
    office.revoked.add("token-1")
    office.logging_in.clear()
    office.may_finish.clear()
    await accept(redis, [1, 2, 3])
    driving = asyncio.create_task(late.drive())
    await asyncio.wait_for(office.logging_in.wait(), 10)
    assert len(deletions(portal)) == 1, "refused with 401, so nothing was deleted"
    await overtake(redis, late)
    office.may_finish.set()
    await asyncio.wait_for(driving, 10)
    assert len(deletions(portal)) == 1


async def test_a_lane_that_keeps_its_lease_sends_once_it_has_its_token(
    redis: ArqRedis, office: Office, late: Lane
) -> None:
    job_id = await accept(redis, [1, 2, 3])
    office.may_finish.clear()
    driving = asyncio.create_task(late.drive())
    await asyncio.wait_for(office.logging_in.wait(), 10)
    assert await redis.zcard(keys.leases("main")) == 1
    office.may_finish.set()
    await asyncio.wait_for(driving, 10)
    assert (await read_job(redis, job_id)).counts[Outcome.DELETED] == 3
