"""A fault of the portal or the account holds all of its jobs, until somebody has looked at it."""

from arq.connections import ArqRedis

from jobs import keys
from jobs.control import control
from jobs.ledger import Idle, LaneLedger, Settlement
from jobs.outcomes import Outcome
from jobs.states import Event, State
from jobs.view import read_job
from tests.integration.lanes import PORTAL, accept, answer, start_lane, take, terms


async def meet_a_fault(redis: ArqRedis, ledger: LaneLedger, stop: str) -> str:
    """Take a batch and let the portal answer it with a fault; gives the job that met it."""
    batch = await take(ledger)
    settlement = Settlement(items=[(item, 0.0) for item in batch.items], sent=1, stop=stop, last_error="staged")
    assert await ledger.settle(batch, settlement)
    return batch.job_id


async def test_the_job_that_meets_it_pauses_and_the_others_wait(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    ledger = await start_lane(redis)
    paused = await meet_a_fault(redis, ledger, "portal_auth")
    other = ({"one", "two"} - {paused}).pop()
    assert (await read_job(redis, paused)).state is State.PAUSED
    assert (await read_job(redis, paused)).state_reason == "portal_auth"
    waiting = await read_job(redis, other)
    assert (waiting.state, waiting.counts[Outcome.PENDING]) == (State.QUEUED, 99)
    assert isinstance(await ledger.next_batch(terms()), Idle)


async def test_resume_lets_all_of_them_go_on(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    paused = await meet_a_fault(redis, await start_lane(redis), "portal_payment")
    await control(redis, paused, Event.RESUME, lanes=0)
    ledger = await start_lane(redis, "next")
    served = set()
    for _ in range(4):
        batch = await take(ledger)
        served.add(batch.job_id)
        await answer(redis, ledger, batch)
    assert served == {"one", "two"}


async def test_cancelling_the_job_that_met_it_frees_the_others_as_well(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    paused = await meet_a_fault(redis, await start_lane(redis), "portal_protocol")
    await control(redis, paused, Event.CANCEL, lanes=0)
    batch = await take(await start_lane(redis, "next"))
    assert batch.job_id != paused or batch.state is State.CANCELLING


async def test_left_alone_it_is_tried_again_after_a_while(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    ledger = await start_lane(redis)
    await meet_a_fault(redis, ledger, "portal_forbidden")
    idle = await ledger.next_batch(terms())
    assert isinstance(idle, Idle)
    assert idle.wait_s is not None
    assert 0 < idle.wait_s <= 600
    await redis.execute_command("HSET", keys.portal(PORTAL), "fault_until_ms", 1)
    await take(await start_lane(redis, "later"))


async def test_a_fault_of_one_job_holds_no_other(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    ledger = await start_lane(redis)
    stopped = await meet_a_fault(redis, ledger, "failure_threshold")
    assert (await take(ledger)).job_id != stopped
