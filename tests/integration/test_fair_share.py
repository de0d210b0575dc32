"""Which job gets the next batch."""

from collections import Counter

from arq.connections import ArqRedis

from jobs.store import keys
from jobs.view.job import read_job
from jobs.words.states import Event
from tests.support.lanes import LOST, PORTAL, accept, answer, lose, start_lane, take, terms
from tests.support.steering import control


async def served(redis: ArqRedis, batches: int) -> list[str]:
    """Return the jobs of one lane's next batches, each answered immediately."""
    ledger, order = await start_lane(redis), []
    for _ in range(batches):
        batch = await take(ledger, terms(batch_size=5))
        order.append(batch.job_id)
        await answer(redis, ledger, batch)
    return order


async def test_a_small_job_gets_the_next_turn_under_a_huge_one(redis: ArqRedis) -> None:
    huge = await accept(redis, range(1, 100_001), job_id="huge")
    assert set(await served(redis, 30)) == {huge}
    small = await accept(redis, range(1, 6), job_id="small")
    assert small in await served(redis, 2)
    assert (await read_job(redis, small)).ended


async def test_many_jobs_take_turns(redis: ArqRedis) -> None:
    made = [await accept(redis, range(1, 101), job_id=f"j{n}") for n in range(8)]
    order = await served(redis, 8 * 5)
    for start in range(0, 40, 8):
        assert sorted(order[start : start + 8]) == made


async def test_a_newcomer_does_not_catch_up_on_what_it_missed(redis: ArqRedis) -> None:
    await accept(redis, range(1, 1001), job_id="old")
    await served(redis, 50)
    await accept(redis, range(1, 1001), job_id="new")
    shares = Counter(await served(redis, 20))
    assert abs(shares["old"] - shares["new"]) <= 2


async def test_a_job_that_was_paused_does_not_catch_up_either(redis: ArqRedis) -> None:
    for job_id in ("one", "two"):
        await accept(redis, range(1, 1001), job_id=job_id)
    await served(redis, 10)
    await control(redis, "two", Event.PAUSE, by="test", lanes=0)
    assert set(await served(redis, 30)) == {"one"}
    await control(redis, "two", Event.RESUME, by="test", lanes=0)
    shares = Counter(await served(redis, 20))
    assert abs(shares["one"] - shares["two"]) <= 2


async def test_a_stride_of_a_half_is_a_double_share(redis: ArqRedis) -> None:
    for job_id in ("usual", "urgent"):
        await accept(redis, range(1, 2001), job_id=job_id)
    await redis.execute_command("HSET", keys.job("urgent"), "stride", "0.5")
    shares = Counter(await served(redis, 60))
    assert abs(shares["urgent"] - 40) <= 1


async def test_a_job_that_waits_holds_nobody_up(redis: ArqRedis) -> None:
    await accept(redis, range(1, 6), job_id="waits")
    ledger = await start_lane(redis)
    settle_later = LOST.__class__(**{name: getattr(LOST, name) for name in LOST.__slots__} | {"settle_s": 600.0})
    await lose(redis, ledger, await take(ledger), settle_later)
    await accept(redis, range(1, 101), job_id="goes")
    assert set(await served(redis, 10)) == {"goes"}
    assert await redis.zscore(keys.waiting(PORTAL), "waits")


async def test_portals_do_not_share_turns(redis: ArqRedis) -> None:
    await accept(redis, range(1, 101), job_id="here")
    assert set(await served(redis, 3)) == {"here"}
    assert not await redis.exists(keys.active("other"))
