"""Every call counts against the rate, so what several batches left open is looked up in one call."""

from arq.connections import ArqRedis

from jobs.lanes.grants import Terms
from jobs.lanes.lease import LaneLedger
from jobs.ledger.items import Call
from jobs.view.job import read_job
from jobs.words.outcomes import Outcome
from tests.support.lanes import accept, answer, positions, start_lane, take, terms

PATIENT = terms(linger_s=600.0)


async def leave_open(redis: ArqRedis, ledger: LaneLedger, batches: int, limits: Terms = PATIENT) -> None:
    """Send batches of which the portal lists all IDs except the last two."""
    for _ in range(batches):
        batch = await take(ledger, limits)
        assert batch.call is Call.PUT
        numbers = [position + 1 for position in batch.items[0].positions]
        await answer(redis, ledger, batch, gone=numbers[:-2])


async def test_while_there_is_something_to_send_a_small_look_up_waits(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101))
    ledger = await start_lane(redis)
    await leave_open(redis, ledger, 5)
    assert (await take(ledger, PATIENT)).call is Call.PUT


async def test_when_there_is_nothing_else_to_do_it_goes_immediately_and_joined(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 51))
    ledger = await start_lane(redis)
    await leave_open(redis, ledger, 5)
    batch = await take(ledger, PATIENT)
    assert batch.call is Call.LOOK_UP
    assert sorted(positions(batch)) == [[8, 9], [18, 19], [28, 29], [38, 39], [48, 49]]
    await answer(redis, ledger, batch)
    job = await read_job(redis, job_id)
    assert job.ended
    assert (job.counts[Outcome.DELETED], job.counts[Outcome.NOT_FOUND], job.requests.sent) == (40, 10, 6)


async def test_after_the_linger_it_goes_before_what_is_to_be_sent(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101))
    ledger = await start_lane(redis)
    await leave_open(redis, ledger, 3)
    batch = await take(ledger, terms(linger_s=0.0))
    assert (batch.call, batch.size) == (Call.LOOK_UP, 6)


async def test_a_full_look_up_waits_for_nothing(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101))
    ledger = await start_lane(redis)
    limits = terms(linger_s=600.0, look_up_size=7)
    await leave_open(redis, ledger, 3, limits)
    assert (await take(ledger, limits)).call is Call.PUT, "six of seven are not enough"
    other = await start_lane(redis, "other")
    batch = await take(other, limits)
    assert batch.call is Call.PUT


async def test_no_more_is_joined_than_fits(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101))
    ledger = await start_lane(redis)
    limits = terms(linger_s=600.0, look_up_size=7)
    await leave_open(redis, ledger, 4, limits)
    batch = await take(ledger, limits)
    assert (batch.call, batch.size) == (Call.LOOK_UP, 6)


async def test_one_that_is_larger_than_a_look_up_goes_alone(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101))
    ledger = await start_lane(redis)
    limits = terms(linger_s=600.0, look_up_size=3)
    batch = await take(ledger, limits)
    await answer(redis, ledger, batch, gone=[])
    look_up = await take(ledger, limits)
    assert (look_up.call, look_up.size, len(look_up.items)) == (Call.LOOK_UP, 10, 1)


async def test_look_ups_of_different_jobs_are_not_mixed(redis: ArqRedis) -> None:
    for job_id in ("one", "two"):
        await accept(redis, range(1, 11), job_id=job_id)
    ledger = await start_lane(redis)
    for _ in range(2):
        await answer(redis, ledger, await take(ledger, PATIENT), gone=[])
    first = await take(ledger, PATIENT)
    await answer(redis, ledger, first)
    second = await take(ledger, PATIENT)
    assert {first.job_id, second.job_id} == {"one", "two"}
    assert (first.size, second.size) == (10, 10)
