"""A lane that dies with a batch of a planned job leaves no doubt about contacts that the plan does not let it send."""

from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.accept.approval import ApprovalTerms
from jobs.steering.control import control
from jobs.store import keys
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import Event
from simulator import World
from tests.support.lanes import field, lines_of, start_lane, take, terms
from tests.support.planning import plan_of_list, planned
from tests.support.sweeping import MARKS, ended, settings_of
from worker.main import working

pytestmark = MARKS


async def test_what_a_plan_never_allowed_to_be_sent_is_not_presumed_deleted_when_a_lane_dies(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    world = World(40, read_only=range(5, 8), missing=range(10, 20))
    async with simulator.running(world) as portal:
        job_id = await plan_of_list(redis, range(1, 41))
        async with working(settings_of(server, portal)):
            job = await planned(redis, job_id)
        assert job.plan is not None
        await control(redis, job_id, Event.APPROVE, by="test", terms=ApprovalTerms(digest=job.plan.digest))
        dying = await start_lane(redis, "dying")
        conditions = await field(redis, keys.job(job_id), "plan_conditions") or b""
        await take(dying, terms(batch_size=40, conditions=conditions.decode()))
        await dying.release()
        async with working(settings_of(server, portal)):
            job = await ended(redis, job_id)
    lines = {line.contact_id: line for line in await lines_of(redis, job_id)}
    assert {(lines[one].code, lines[one].attempts) for one in range(10, 20)} == {(Code.NOT_FOUND, 0)}
    assert {(lines[one].code, lines[one].attempts) for one in range(5, 8)} == {(Code.READ_ONLY, 0)}
    assert job.counts[Outcome.DELETED] == 27
