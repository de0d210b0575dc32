"""A fault of the portal or the account holds all of its jobs, until somebody has looked at it."""

from arq.connections import ArqRedis

from jobs import keys
from jobs.control import control
from jobs.ledger import Idle, LaneLedger, Settlement
from jobs.outcomes import Code, Outcome
from jobs.records import Record
from jobs.states import Event, State
from jobs.view import read_job
from tests.integration.lanes import PORTAL, accept, answer, start_lane, take, terms


async def meet_a_fault(ledger: LaneLedger, stop: str) -> str:
    """Take a batch and let the portal answer it with a fault; gives the job that met it."""
    batch = await take(ledger)
    settlement = Settlement(items=[(item, 0.0) for item in batch.items], sent=1, stop=stop, last_error="staged")
    assert await ledger.settle(batch, settlement)
    return batch.job_id


async def test_the_job_that_meets_it_pauses_and_the_others_wait(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    ledger = await start_lane(redis)
    paused = await meet_a_fault(ledger, "portal_auth")
    other = ({"one", "two"} - {paused}).pop()
    assert (await read_job(redis, paused)).state is State.PAUSED
    assert (await read_job(redis, paused)).state_reason == "portal_auth"
    waiting = await read_job(redis, other)
    assert (waiting.state, waiting.counts[Outcome.PENDING]) == (State.QUEUED, 99)
    assert isinstance(await ledger.next_batch(terms()), Idle)


async def test_resume_lets_all_of_them_go_on(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    paused = await meet_a_fault(await start_lane(redis), "portal_payment")
    await control(redis, paused, Event.RESUME, by="test", lanes=0)
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
    paused = await meet_a_fault(await start_lane(redis), "portal_protocol")
    await control(redis, paused, Event.CANCEL, by="test", lanes=0)
    batch = await take(await start_lane(redis, "next"))
    assert batch.job_id != paused or batch.state is State.CANCELLING


async def test_left_alone_it_is_tried_again_after_a_while(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    ledger = await start_lane(redis)
    await meet_a_fault(ledger, "portal_forbidden")
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
    stopped = await meet_a_fault(ledger, "failure_threshold")
    assert (await take(ledger)).job_id != stopped


async def fail_some(redis: ArqRedis, ledger: LaneLedger, size: int) -> str:
    """Take a batch and give all of it up; gives the job's state."""
    batch = await take(ledger, terms(batch_size=size))
    at_ms = batch.server_ms()
    records = [
        (
            item.segment,
            Record(
                positions=item.positions, codes=bytes([Code.REJECTED]) * size, attempts=1, http_status=400, at_ms=at_ms
            ),
        )
        for item in batch.items
    ]
    assert await ledger.settle(batch, Settlement(records=records, sent=1, threshold=0.5, threshold_from=20))
    return (await read_job(redis, batch.job_id)).state


async def test_too_many_failures_pause_a_job_and_are_forgiven_by_a_resume(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 1001))
    ledger = await start_lane(redis)
    assert await fail_some(redis, ledger, 19) == State.RUNNING
    assert await fail_some(redis, ledger, 1) == State.PAUSED
    assert (await read_job(redis, job_id)).state_reason == "failure_threshold"
    await control(redis, job_id, Event.RESUME, by="test", lanes=0)
    ledger = await start_lane(redis, "after")
    assert await fail_some(redis, ledger, 19) == State.RUNNING, "what failed before is held against it again"
    assert await fail_some(redis, ledger, 1) == State.PAUSED
