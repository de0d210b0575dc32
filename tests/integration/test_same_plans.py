"""What one worker process remembers of a job's list and plan is never taken for that of another job like it."""

from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.accept.approval import ApprovalTerms
from jobs.lanes.grants import Batch
from jobs.ledger.items import Call
from jobs.plan.verdicts import pack
from jobs.steering.control import control
from jobs.store import keys
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import Event, State
from jobs.words.verdicts import VerdictCode
from simulator import World
from tests.support.planning import plan_of_filter, planned
from tests.support.sweeping import MARKS, ended, settings_of
from worker.forecast import Forecasts
from worker.main import working

pytestmark = MARKS


async def test_the_same_filter_at_another_time_deletes_what_it_selects_then(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    world = World(500, tagged={"trash": range(1, 101)})
    async with simulator.running(world) as portal, working(settings_of(server, portal)):
        for tagged in (range(1, 101), range(301, 351)):
            world.tagged["trash"].update(tagged)
            world.settle()
            sent_before = set(portal.truth.sent)
            job_id = await plan_of_filter(redis, tags=("trash",))
            job = await planned(redis, job_id)
            assert job.plan is not None
            await control(redis, job_id, Event.APPROVE, by="test", terms=ApprovalTerms(digest=job.plan.digest))
            job = await ended(redis, job_id)
            assert job.counts[Outcome.DELETED] == len(tagged)
            assert set(portal.truth.sent) - sent_before == set(tagged)


async def test_what_another_job_with_the_same_plan_found_when_it_was_looked_at_again_does_not_count(
    redis: ArqRedis,
) -> None:
    forecasts = Forecasts(redis)
    for job_id, excluded in (("first", Code.PENDING), ("second", Code.PROTECTED_TAG)):
        await redis.execute_command("HSET", keys.job(job_id), "plan_digest", "f" * 64)
        await redis.execute_command("HSET", keys.verdicts(job_id), 0, pack(bytes([VerdictCode.DELETABLE])))
        await redis.execute_command("HSET", keys.exclusions(job_id), 0, pack(bytes([excluded])))
        batch = Batch(1, 0, job_id, State.RUNNING, 0, Call.PUT, 50, (), 0.0, plan="f" * 64, rechecks=1)
        forecast = await forecasts.of(batch, 0)
        assert forecast.allows_all(range(1)) is (excluded is Code.PENDING)
