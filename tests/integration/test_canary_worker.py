"""A worker with several lanes sends a canary first, and the ledger is what really happened at the portal."""

import contextlib

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from cli.embedded import EmbeddedServer
from jobs.accept.submission import CanaryTerms
from jobs.ledger.canary import Canary
from jobs.words.errors import IllegalMove
from jobs.words.outcomes import Outcome
from jobs.words.states import CanaryState, Event, State
from simulator import Behaviour, World
from tests.support.steering import control
from tests.support.sweeping import MARKS, accept, check_against_truth, ended, in_state, settings_of
from worker.main import working

pytestmark = MARKS

TOTAL = 1000
CANARY = Canary(contacts=70, total=TOTAL)
FIRST = BitMap(CANARY.place(index) + 1 for index in range(CANARY.contacts))


async def test_a_canary_of_several_batches_stops_the_job_and_a_resume_sends_the_rest(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    world = World(TOTAL, read_only=100, invisible=50, poisoned=[FIRST[3], FIRST[60]])
    async with simulator.running(world, Behaviour(poison_status=400)) as portal:
        job_id = await accept(redis, range(1, TOTAL + 1), canary=CanaryTerms(contacts=CANARY.contacts, allowed=1))
        async with working(settings_of(server, portal, batch_size_start=20, batch_size_max=20)):
            job = await in_state(redis, job_id, State.PAUSED)
            assert job.state_reason == "canary"
            assert job.canary
            assert (job.canary.state, job.canary.departed) == (CanaryState.WAITING, 2)
            assert portal.truth.sent <= FIRST
            found = await check_against_truth(redis, portal, job_id)
            assert found[Outcome.PENDING] == BitMap(range(1, TOTAL + 1)) - FIRST
            assert found[Outcome.FAILED] == BitMap([FIRST[3], FIRST[60]])
            await control(redis, job_id, Event.RESUME, by="test", lanes=4)
            assert (await ended(redis, job_id)).state is State.COMPLETED
        await check_against_truth(redis, portal, job_id)


@pytest.mark.parametrize("size", [20, 200])
async def test_a_good_canary_lets_the_rest_go_and_a_cancel_tells_the_truth(
    redis: ArqRedis, server: EmbeddedServer, size: int
) -> None:
    async with simulator.running(World(TOTAL, invoiced=100)) as portal:
        jobs = [await accept(redis, range(start, TOTAL + 1, 2), canary=CanaryTerms(contacts=35)) for start in (1, 2)]
        async with working(settings_of(server, portal, batch_size_start=size, batch_size_max=size)):
            await in_state(redis, jobs[0], State.RUNNING, State.COMPLETED)
            with contextlib.suppress(IllegalMove):  # it may have ended by then
                await control(redis, jobs[1], Event.CANCEL, by="test", lanes=4)
            assert (await ended(redis, jobs[0])).state is State.COMPLETED
            assert (await ended(redis, jobs[1])).state in {State.CANCELLED, State.COMPLETED}
        await check_against_truth(redis, portal, *jobs)
