"""When schedules start: once for each time, whoever looks, and whatever dies in between."""

import asyncio
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from config.errors import UnknownSchedule
from config.settings import Portal
from jobs.accept.submission import submission_for
from jobs.accept.submit import submit
from jobs.schedules import start
from jobs.schedules.keeper import Keeper
from jobs.schedules.memory import LAPSES_MS, claim_by_hand
from jobs.schedules.start import start_by_hand
from jobs.steering.control import control
from jobs.store import keys
from jobs.store.times import iso
from jobs.view.job import list_jobs, read_job
from jobs.words.errors import ScheduleBusy
from jobs.words.filters import Filter
from jobs.words.states import Event, State
from tests.support.bundles import PUBLIC_KEY
from tests.support.lanes import accept
from tests.support.scheduling import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    NOON_MS,
    jobs_of,
    schedule,
    settings_with,
    shown,
    started,
)

FIRST, SECOND = "daily-20261126T1200Z", "daily-20261127T1200Z"


class Died(Exception):
    """A worker's end at the worst moment."""


async def die(*_: Any, **__: Any) -> None:
    raise Died


async def end(redis: ArqRedis, job_id: str) -> None:
    await control(redis, job_id, Event.CANCEL, by="tester")


def logged(log: io.StringIO, event: str) -> list[dict[str, Any]]:
    lines = [msgspec.json.decode(line) for line in log.getvalue().splitlines()]
    return [line for line in lines if line["event"] == event]


async def test_it_starts_when_it_is_due_and_once(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_with(server, schedule(label="cleanup", priority="background"))
    keeper = Keeper(redis, settings)
    await keeper.look(NOON_MS + MINUTE_MS)
    assert await jobs_of(redis) == [], "a time that had passed when it was first seen"
    for at_ms in (NOON_MS + DAY_MS - 1, NOON_MS + DAY_MS, NOON_MS + DAY_MS + 1, NOON_MS + 2 * DAY_MS - 1):
        await keeper.look(at_ms)
        assert await jobs_of(redis) == ([] if at_ms < NOON_MS + DAY_MS else [SECOND])
    job = await read_job(redis, SECOND)
    assert (job.schedule, job.label, job.priority, job.portal) == ("daily", "cleanup", "background", "main")
    assert (job.state, job.selection.filter) == (State.PLANNING, Filter(tags=("trash",)))
    assert [(action.by, action.action) for action in job.actions] == [("schedule daily", "submit")]


async def test_it_keeps_records_if_it_asks_for_them(redis: ArqRedis, server: EmbeddedServer, tmp_path: Path) -> None:
    portal = Portal(
        name="main",
        url="http://127.0.0.1:9",
        token=SecretStr("t"),
        undo="optional",
        undo_store=str(tmp_path),
        undo_recipients=(PUBLIC_KEY,),
    )
    asking, others = schedule(undo=True), schedule(name="other")
    await started(redis, settings_with(server, asking, others, portal=portal))
    jobs = FIRST, "other-20261126T1200Z"
    kept = [await redis.execute_command("HGET", keys.job(job_id), "undo") for job_id in jobs]
    assert kept == [b"1", None]


async def test_a_job_that_no_schedule_started_says_so(redis: ArqRedis) -> None:
    assert (await read_job(redis, await accept(redis, [1]))).schedule is None


async def test_many_workers_at_the_same_moment_start_it_once(
    redis: ArqRedis, server: EmbeddedServer, log: io.StringIO
) -> None:
    settings = settings_with(server, schedule(), schedule(name="other"))
    keepers = [Keeper(redis, settings) for _ in range(20)]
    await asyncio.gather(*(keeper.look(NOON_MS - HOUR_MS) for keeper in keepers))
    await asyncio.gather(*(keeper.look(NOON_MS) for keeper in keepers))
    assert await jobs_of(redis) == [FIRST]
    assert await jobs_of(redis, "other") == ["other-20261126T1200Z"]
    assert len((await list_jobs(redis)).jobs) == len(logged(log, "schedule_started")) == 2
    await asyncio.gather(*(keeper.look(NOON_MS + DAY_MS) for keeper in keepers))
    view = await shown(redis, settings_with(server, schedule()))
    assert (view.skipped, len(logged(log, "schedule_skipped"))) == (1, 2)


@pytest.mark.parametrize("moment", ["submit", "forget_claim"])
async def test_a_worker_that_dies_between_claim_and_job_is_taken_over_from(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    settings = settings_with(server, schedule())
    with monkeypatch.context() as patched:
        patched.setattr(start, moment, die)
        with pytest.raises(Died):
            await started(redis, settings)
    assert await jobs_of(redis) == ([] if moment == "submit" else [FIRST])
    others = [Keeper(redis, settings) for _ in range(3)]
    await asyncio.gather(*(keeper.look(NOON_MS + 1) for keeper in others))
    await asyncio.gather(*(keeper.look(NOON_MS + 2) for keeper in others))
    assert [job.id for job in (await list_jobs(redis)).jobs] == await jobs_of(redis) == [FIRST]
    await end(redis, FIRST)
    await others[0].look(NOON_MS + DAY_MS)
    assert await jobs_of(redis) == [SECOND, FIRST]


async def test_a_claim_whose_job_is_missing_is_not_forgotten_when_the_next_time_comes(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_with(server, schedule())
    with monkeypatch.context() as patched:
        patched.setattr(start, "submit", die)
        with pytest.raises(Died):
            await started(redis, settings)
    await Keeper(redis, settings).look(NOON_MS + DAY_MS)
    assert await jobs_of(redis) == [FIRST]
    assert (await shown(redis, settings)).skipped == 1


async def test_times_that_were_missed_start_once(redis: ArqRedis, server: EmbeddedServer) -> None:
    keeper = await started(redis, settings_with(server, schedule()), NOON_MS - MINUTE_MS)
    await keeper.look(NOON_MS + 9 * DAY_MS + 3 * HOUR_MS)
    assert await jobs_of(redis) == ["daily-20261205T1200Z"]


async def test_no_second_job_starts_while_the_last_one_has_not_ended(
    redis: ArqRedis, server: EmbeddedServer, log: io.StringIO
) -> None:
    settings = settings_with(server, schedule())
    keeper = await started(redis, settings)
    await keeper.look(NOON_MS + DAY_MS)
    await keeper.look(NOON_MS + DAY_MS + 1)
    view = await shown(redis, settings)
    assert (await jobs_of(redis), view.skipped, view.skipped_at) == ([FIRST], 1, iso(NOON_MS + DAY_MS))
    [line] = logged(log, "schedule_skipped")
    assert (line["schedule"], line["job_id"], line["state"]) == ("daily", FIRST, "planning")
    await end(redis, FIRST)
    await keeper.look(NOON_MS + DAY_MS + 2)
    assert await jobs_of(redis) == [FIRST], "what was skipped is not made up for"
    await keeper.look(NOON_MS + 2 * DAY_MS)
    assert await jobs_of(redis) == ["daily-20261128T1200Z", FIRST]


async def test_the_worker_that_was_started_last_decides_by_whose_settings_it_goes(
    redis: ArqRedis, server: EmbeddedServer, log: io.StringIO
) -> None:
    old, new = (settings_with(server, schedule(filter={"tags": [tag]})) for tag in ("old", "new"))
    first = Keeper(redis, old)
    await first.look(NOON_MS - HOUR_MS)
    second = Keeper(redis, new)
    await second.look(NOON_MS - MINUTE_MS)
    await first.look(NOON_MS)
    await first.look(NOON_MS)
    assert await jobs_of(redis) == []
    assert [line["schedule"] for line in logged(log, "schedule_differs")] == ["daily"]
    assert [(await shown(redis, old)).waits_for, (await shown(redis, new)).waits_for] == ["other_settings", None]
    await second.look(NOON_MS)
    assert (await read_job(redis, FIRST)).selection.filter == Filter(tags=("new",))
    await end(redis, FIRST)
    # Once nobody with the new settings looks any more, the others go on.
    await first.look(NOON_MS + LAPSES_MS)
    await first.look(NOON_MS + DAY_MS)
    assert (await read_job(redis, SECOND)).selection.filter == Filter(tags=("old",))


async def test_a_new_timing_does_not_start_for_times_that_have_passed(redis: ArqRedis, server: EmbeddedServer) -> None:
    await started(redis, settings_with(server, schedule()), NOON_MS - MINUTE_MS)
    morning = settings_with(server, schedule(cron="15 11 * * *"))  # a quarter past eleven was after the last look
    keeper = Keeper(redis, morning)
    await keeper.look(NOON_MS)
    assert await jobs_of(redis) == []
    await keeper.look(NOON_MS + DAY_MS)
    assert await jobs_of(redis) == ["daily-20261127T1115Z"]


async def test_what_passes_while_it_is_disabled_is_not_made_up_for(redis: ArqRedis, server: EmbeddedServer) -> None:
    enabled, disabled = (settings_with(server, schedule(enabled=word)) for word in (True, False))
    await started(redis, disabled, NOON_MS + MINUTE_MS)
    assert (await shown(redis, disabled)).next_at is None
    keeper = Keeper(redis, enabled)
    await keeper.look(NOON_MS + 2 * MINUTE_MS)
    assert await jobs_of(redis) == []
    await keeper.look(NOON_MS + DAY_MS)
    assert await jobs_of(redis) == [SECOND]


async def test_a_clock_that_was_far_ahead_does_not_silence_it(redis: ArqRedis, server: EmbeddedServer) -> None:
    keeper = await started(redis, settings_with(server, schedule()))
    await end(redis, FIRST)
    await keeper.look(NOON_MS + 300 * DAY_MS)
    [ahead, _] = await jobs_of(redis)
    await end(redis, ahead)
    await keeper.look(NOON_MS + DAY_MS - 1)
    await keeper.look(NOON_MS + DAY_MS)
    assert await jobs_of(redis) == [SECOND, ahead, FIRST]


async def test_a_job_of_somebody_else_with_its_id_is_left_alone(
    redis: ArqRedis, server: EmbeddedServer, log: io.StringIO
) -> None:
    await accept(redis, [1, 2], job_id=FIRST)
    keeper = await started(redis, settings_with(server, schedule()))
    assert [line["error"] for line in logged(log, "schedule_failed")] == ["JobExists"]
    assert (await read_job(redis, FIRST)).total == 2
    await end(redis, FIRST)
    await keeper.look(NOON_MS + DAY_MS)
    assert (await read_job(redis, SECOND)).schedule == "daily"


async def test_the_same_request_of_somebody_else_is_none_of_its_jobs(
    redis: ArqRedis, server: EmbeddedServer, log: io.StringIO
) -> None:
    settings = settings_with(server, schedule(max_contacts=10, max_share=0.5))
    wanted = Filter(tags=("trash",))
    await submit(redis, submission_for(settings.portal("main"), BitMap(), by="me", selection=wanted, job_id=FIRST))
    keeper = await started(redis, settings)
    assert [line["error"] for line in logged(log, "schedule_failed")] == ["JobExists"]
    assert (await shown(redis, settings)).jobs == ()
    await keeper.look(NOON_MS + DAY_MS)
    view = await shown(redis, settings)
    assert ([job.id for job in view.jobs], view.skipped) == ([SECOND], 0)


async def test_a_job_of_somebody_else_neither_blocks_it_nor_is_cancelled(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    await accept(redis, [1, 2], job_id=FIRST, needs_approval=True)
    await redis.execute_command("HSET", keys.job(FIRST), "plan_expires_ms", NOON_MS)
    settings = settings_with(server, schedule())
    keeper = await started(redis, settings)
    await keeper.look(NOON_MS + DAY_MS)
    assert (await read_job(redis, SECOND)).schedule == "daily"
    assert (await read_job(redis, FIRST)).state is State.AWAITING_APPROVAL
    assert [job.id for job in (await shown(redis, settings)).jobs] == [SECOND]


async def test_one_schedule_that_fails_does_not_hold_up_the_others(redis: ArqRedis, server: EmbeddedServer) -> None:
    await accept(redis, [1, 2], job_id=FIRST)
    await started(redis, settings_with(server, schedule(), schedule(name="other")))
    assert await jobs_of(redis, "other") == ["other-20261126T1200Z"]


async def test_by_hand_it_starts_at_once_unless_its_last_job_has_not_ended(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    settings = settings_with(server, schedule(enabled=False))
    job_id = await start_by_hand(redis, settings, "daily", by="cli:me")
    job = await read_job(redis, job_id)
    assert (job.schedule, job.actions[0].by) == ("daily", "cli:me")
    with pytest.raises(ScheduleBusy, match=job_id):
        await start_by_hand(redis, settings, "daily", by="cli:me")
    assert (await shown(redis, settings)).skipped == 0
    with pytest.raises(UnknownSchedule, match=r"no schedule named 'weekly' is configured \(configured: daily\)"):
        await start_by_hand(redis, settings, "weekly", by="cli:me")
    assert await jobs_of(redis) == [job_id]


async def test_a_start_by_hand_whose_reply_was_lost_is_no_other_start(redis: ArqRedis) -> None:
    daily = schedule()
    claims = [await claim_by_hand(redis, daily, job_id="by-hand", by="cli:me", now_ms=1000) for _ in range(2)]
    assert [one.outcome for one in claims] == ["claimed", "claimed"]
    other = await claim_by_hand(redis, daily, job_id="another", by="cli:me", now_ms=1001)
    assert (other.outcome, other.job_id) == ("unfinished", "by-hand")


async def test_a_start_by_hand_leaves_the_times_as_they_are(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_with(server, schedule())
    by_hand = await start_by_hand(redis, settings, "daily", by="cli:me")
    await end(redis, by_hand)
    await started(redis, settings)
    assert await jobs_of(redis) == [FIRST, by_hand]


async def test_only_the_last_jobs_are_remembered(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_with(server, schedule())
    keeper = await started(redis, settings)
    for day in range(1, 13):
        [newest, *_] = await jobs_of(redis)
        await end(redis, newest)
        await keeper.look(NOON_MS + day * DAY_MS)
    jobs = (await shown(redis, settings)).jobs
    assert (len(jobs), jobs[0].id, jobs[0].state) == (10, "daily-20261208T1200Z", State.PLANNING)
