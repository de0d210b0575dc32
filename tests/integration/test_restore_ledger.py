"""The ledger of a restore: written by one process at a time, read by the next one, and gone with its job."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from arq.connections import ArqRedis

from jobs.ledger.retention import forget_job
from jobs.store import keys
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.errors import UnknownJob
from jobs.words.states import Event
from restore.calls import Known
from restore.entry import Entry, Stage
from restore.errors import AlreadyRestoring, LeaseLost
from restore.ledger import RestoreLedger, count_restored
from restore.lost import Lost
from restore.maker import Maker
from restore.newest import Newest
from tests.support.lanes import PORTAL, accept
from tests.support.steering import control
from tests.support.waiting import until

MADE = Entry(Stage.MADE, attempts=1, number=900)


@pytest.fixture
async def job_id(redis: ArqRedis) -> str:
    return await accept(redis, range(1, SEGMENT_SIZE + 100), job_id="gone")


def ledger(redis: ArqRedis, name: str = "first", **more: Any) -> RestoreLedger:
    return RestoreLedger(redis, "gone", PORTAL, name, f"{name}@host", **({"ttl_s": 60.0} | more))


async def test_what_one_process_wrote_is_read_by_the_next(redis: ArqRedis, job_id: str) -> None:
    far = Entry(Stage.COMPLETE, attempts=3, number=901, lost=Lost.CREATOR | Lost.CASES)
    first = ledger(redis)
    async with first.held():
        await first.note_watermark(700)
        await first.note_watermark(750)
        await first.write(0, 5, Entry(Stage.INTENT, attempts=1, number=700), sending=True)
        await first.write(0, 5, MADE)
        await first.write(1, 99, far)
        await first.note_twin(6, 905)
    second = ledger(redis, "second")
    async with second.held():
        assert list(second.entries()) == [(0, 5, MADE), (1, 99, far)]
        assert second.entry(0, 4) == second.entry(7, 0) == Entry()
        assert (second.watermark, second.twins, second.finished) == (700, {6: 905}, False)
        assert 0 < second.sent_ms <= second.now_ms


async def test_it_counts_the_contacts_that_exist_again(redis: ArqRedis, job_id: str) -> None:
    assert await count_restored(redis, "gone") == 0
    first, second = ledger(redis), ledger(redis, "second")
    async with first.held():
        await first.write(0, 5, Entry(Stage.INTENT, attempts=1, number=700), sending=True)
        assert await count_restored(redis, "gone") == 0
        await first.write(0, 5, MADE)
        await first.write(0, 5, replace(MADE, stage=Stage.COMPLETE))
        await first.write(1, 99, replace(MADE, number=901))
        assert await count_restored(redis, "gone") == 2
    async with second.held():
        await second.write(1, 99, replace(MADE, number=901, stage=Stage.VANISHED))
        await second.write(1, 98, Entry(Stage.FAILED, attempts=1))
    assert await count_restored(redis, "gone") == 1


async def test_sending_again_makes_a_finished_restore_unfinished(redis: ArqRedis, job_id: str) -> None:
    first = ledger(redis)
    async with first.held():
        await first.note_finished()
    second = ledger(redis, "second")
    async with second.held():
        assert second.finished
        await second.write(0, 0, MADE, sending=True)
    third = ledger(redis, "third")
    async with third.read_only():
        assert not third.finished


async def test_a_second_process_is_told_who_is_at_it_as_soon_as_the_lease_is_renewed(
    redis: ArqRedis, job_id: str
) -> None:
    async with ledger(redis, ttl_s=1.8).held():
        with pytest.raises(AlreadyRestoring, match=r"job gone is being restored by first@host since \d{4}-"):
            async with ledger(redis, "second", ttl_s=1.8).held():
                pass


async def test_a_process_that_is_silent_for_longer_than_its_lease_is_replaced_and_writes_nothing(
    redis: ArqRedis, job_id: str
) -> None:
    frozen = ledger(redis, ttl_s=0.3)
    await frozen._hold()  # and never renews it
    async with ledger(redis, "second", ttl_s=60).held():
        assert not frozen.holds_lease
        with pytest.raises(LeaseLost):
            await frozen.write(0, 0, MADE)
        with pytest.raises(LeaseLost):
            await frozen.note_watermark(1)
    third = ledger(redis, "third")
    async with third.read_only():
        assert list(third.entries()) == []


async def test_the_lease_is_renewed_for_as_long_as_it_is_held(redis: ArqRedis, job_id: str) -> None:
    held = ledger(redis, ttl_s=1.4)
    async with held.held():

        async def renewed() -> bool:
            renewed_ms = await redis.execute_command("HGET", keys.restoring("gone"), "renewed_ms")
            return int(renewed_ms) > held.now_ms + 800

        await until(renewed, every_s=0.05)
        assert held.holds_lease
    assert not held.holds_lease


async def test_a_lease_that_was_given_back_is_free_at_once(redis: ArqRedis, job_id: str) -> None:
    async with ledger(redis).held():
        pass
    async with asyncio.timeout(5):
        async with ledger(redis, "second").held():
            pass


async def test_a_failed_command_gives_the_lease_back(redis: ArqRedis, job_id: str) -> None:
    with pytest.raises(RuntimeError):
        async with ledger(redis).held():
            raise RuntimeError
    async with asyncio.timeout(5):
        async with ledger(redis, "second").held():
            pass


async def test_nothing_is_left_of_it_when_its_job_is_forgotten(redis: ArqRedis, job_id: str) -> None:
    held = ledger(redis)
    async with held.held():
        await held.write(0, 5, MADE)
        await held.write(1, 5, replace(MADE, number=901))
        await control(redis, job_id, Event.CANCEL, by="test")
        assert await forget_job(redis, job_id)
        with pytest.raises(LeaseLost):
            await held.write(0, 5, MADE)
    assert not await redis.keys("*gone*")
    with pytest.raises(UnknownJob):
        async with ledger(redis).held():
            pass


async def test_a_call_may_have_left_long_after_it_was_noted_as_long_as_the_lease_was_renewed(
    redis: ArqRedis, job_id: str
) -> None:
    first = ledger(redis, ttl_s=60.0)
    await first._hold()
    await first.write(0, 5, Entry(Stage.INTENT, attempts=1, number=700), sending=True)
    # It waits for the turn of a log-in, renews its lease meanwhile, and is killed.
    restoring = keys.restoring("gone")
    sent_ms = int(await redis.execute_command("HGET", restoring, "sent_ms"))
    await redis.execute_command("HSET", restoring, "sent_ms", sent_ms - 90_000)
    await first._hold()
    await redis.execute_command("HSET", keys.restorer(PORTAL), "until_ms", 0)
    second = ledger(redis, "second", ttl_s=60.0)
    async with second.held():
        assert second.now_ms - second.before_ms < 60_000 < second.now_ms - second.sent_ms
        maker = Maker(
            SimpleNamespace(portal=SimpleNamespace(late_commit_s=30.0)),  # type: ignore[arg-type]
            second,
            newest=Newest(None),  # type: ignore[arg-type]
            known=Known(),
            claimed=set(),
            top=0,
        )
        assert maker._still_late_s() > 30
