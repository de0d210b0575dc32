"""A job's canary: judged once, when all of it is decided; then the job goes on, or waits for a person."""

import pytest
from arq.connections import ArqRedis

from config.settings import Settings
from jobs.accept.submission import CanaryTerms
from jobs.lanes.grants import Batch, Idle
from jobs.lanes.lease import LaneLedger, rescue
from jobs.ledger.canary import Canary
from jobs.steering.retry import retry_failed
from jobs.store import keys
from jobs.view.canary import CanaryView
from jobs.view.job import Job, read_job
from jobs.view.why import explain
from jobs.words.outcomes import Outcome
from jobs.words.states import CanaryState, Event, State
from tests.support.lanes import (
    DECIDER,
    PORTAL,
    accept,
    answer,
    ids_of,
    lapse,
    lines_of,
    lose,
    positions,
    start_lane,
    take,
    terms,
)
from tests.support.steering import control
from worker.departures import with_departures
from worker.portal_answers import Failure, Remedy

REJECTED = Failure(action=Remedy.GIVE_UP, may_have_deleted=False, reason="rejected", http_status=400, message="staged")


async def accept_with(redis: ArqRedis, contacts: int = 4, total: int = 20, **how: int) -> str:
    return await accept(redis, range(1, total + 1), canary=CanaryTerms(contacts=contacts, **how))  # type: ignore[arg-type]


async def fail(redis: ArqRedis, ledger: LaneLedger, batch: Batch) -> None:
    settlement = with_departures(DECIDER.settle(batch, await ids_of(redis, batch), REJECTED, batch.server_ms()), {})
    assert await ledger.settle(batch, settlement)


async def canary_of(redis: ArqRedis, job_id: str) -> CanaryView:
    canary = (await read_job(redis, job_id)).canary
    assert canary
    return canary


async def in_its_canary(redis: ArqRedis, job_id: str, state: State, canary: CanaryState) -> Job:
    job = await read_job(redis, job_id)
    assert job.canary
    assert (job.state, job.canary.state) == (state, canary)
    return job


async def no_batch(ledger: LaneLedger) -> None:
    assert isinstance(await ledger.next_batch(terms()), Idle)


async def test_a_job_goes_on_by_itself_after_a_good_canary(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis), await start_lane(redis)
    first = await take(ledger)
    assert positions(first) == [[0, 5, 10, 15]]
    await answer(redis, ledger, first)
    job = await in_its_canary(redis, job_id, State.RUNNING, CanaryState.PASSED)
    assert job.canary
    assert (job.canary.decided, job.canary.departed, job.canary.counts[Outcome.DELETED]) == (4, 0, 4)
    rest = await take(ledger)
    assert positions(rest) == [[1, 2, 3, 4, 6, 7, 8, 9, 11, 12]]
    await answer(redis, ledger, rest)
    await answer(redis, ledger, await take(ledger))
    assert (await read_job(redis, job_id)).state is State.COMPLETED
    assert (await canary_of(redis, job_id)).counts[Outcome.DELETED] == 4


async def test_nothing_of_the_rest_is_sent_while_the_canary_is_in_flight(redis: ArqRedis) -> None:
    job_id = await accept_with(redis)
    one, two = await start_lane(redis, "one"), await start_lane(redis, "two")
    batch = await take(one, terms(batch_size=3, batch_size_max=3))
    last = await take(two, terms(batch_size=3, batch_size_max=3))
    assert positions(batch) + positions(last) == [[0, 5, 10], [15]]
    other = await start_lane(redis, "other")
    await no_batch(other)
    await answer(redis, one, batch)
    await no_batch(one)
    await in_its_canary(redis, job_id, State.RUNNING, CanaryState.RUNNING)
    await answer(redis, two, last)
    assert positions(await take(two)) == [[1, 2, 3, 4, 6, 7, 8, 9, 11, 12]]


async def test_a_job_in_its_canary_does_not_hold_up_the_others(redis: ArqRedis) -> None:
    await accept_with(redis)
    other = await accept(redis, range(100, 110))
    one, two = await start_lane(redis, "one"), await start_lane(redis, "two")
    batches = [await take(one), await take(two)]
    assert {batch.job_id for batch in batches} > {other}
    assert isinstance(await (await start_lane(redis, "three")).next_batch(terms()), Idle)


@pytest.mark.parametrize(("allowed", "state"), [(0, State.PAUSED), (3, State.PAUSED), (4, State.RUNNING)])
async def test_more_departures_than_allowed_make_it_wait(redis: ArqRedis, allowed: int, state: State) -> None:
    job_id, ledger = await accept_with(redis, allowed=allowed), await start_lane(redis)
    await fail(redis, ledger, await take(ledger))
    waits = state is State.PAUSED
    job = await in_its_canary(redis, job_id, state, CanaryState.WAITING if waits else CanaryState.PASSED)
    assert (job.state_reason == "canary") == waits
    assert job.canary
    assert (job.canary.departed, job.canary.counts[Outcome.FAILED]) == (4, 4)


async def test_why_says_how_many_of_the_canary_departed(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis), await start_lane(redis)
    await fail(redis, ledger, await take(ledger))
    told = await explain(redis, Settings(portals={PORTAL: DECIDER.portal}), job_id)
    assert told.constraint == "canary"
    assert "4 of 4 contacts departed" in told.explanation


async def test_one_that_asks_for_confirmation_waits_even_if_all_went_well(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis, confirm=True), await start_lane(redis)
    await answer(redis, ledger, await take(ledger))
    assert (await in_its_canary(redis, job_id, State.PAUSED, CanaryState.WAITING)).state_reason == "canary"
    await no_batch(ledger)


async def test_a_resume_lets_the_rest_go_and_the_canary_never_stops_it_again(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis), await start_lane(redis)
    await fail(redis, ledger, await take(ledger))
    assert await control(redis, job_id, Event.RESUME, by="test", lanes=0) is State.QUEUED
    ledger = await start_lane(redis)
    for _ in range(2):
        await fail(redis, ledger, await take(ledger))
    assert (await read_job(redis, job_id)).state is State.COMPLETED
    canary = await canary_of(redis, job_id)
    assert (canary.state, canary.departed, canary.counts[Outcome.FAILED]) == (CanaryState.PASSED, 4, 4)


async def test_a_rescued_canary_is_judged_after_its_look_up_and_not_before(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis, confirm=True), await start_lane(redis)
    batch = await take(ledger)
    await lapse(redis, "lane")
    assert await rescue(redis, PORTAL, 0.0)
    assert not await ledger.settle(batch, DECIDER.drop(batch, batch.server_ms())), "it is not this lane's any more"
    await in_its_canary(redis, job_id, State.RUNNING, CanaryState.RUNNING)
    ledger = await start_lane(redis, "next")
    await answer(redis, ledger, await take(ledger))
    job = await in_its_canary(redis, job_id, State.PAUSED, CanaryState.WAITING)
    assert job.canary
    assert job.canary.counts[Outcome.PRESUMED_DELETED] == 4


async def test_a_settlement_that_is_sent_twice_judges_once(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis, allowed=7), await start_lane(redis)
    batch = await take(ledger)
    settlement = with_departures(DECIDER.settle(batch, await ids_of(redis, batch), REJECTED, batch.server_ms()), {})
    assert await ledger.settle(batch, settlement)
    assert not await ledger.settle(batch, settlement)
    assert (await canary_of(redis, job_id)).departed == 4


async def test_a_good_canary_does_not_undo_the_pause_that_a_user_asked_for_meanwhile(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis), await start_lane(redis)
    batch = await take(ledger)
    await control(redis, job_id, Event.PAUSE, by="test", lanes=0)
    await answer(redis, ledger, batch)
    assert (await in_its_canary(redis, job_id, State.PAUSED, CanaryState.PASSED)).state_reason == "operator"


async def test_a_bad_canary_is_the_reason_of_a_pause_that_a_user_asked_for_meanwhile(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis), await start_lane(redis)
    batch = await take(ledger)
    await control(redis, job_id, Event.PAUSE, by="test", lanes=0)
    await fail(redis, ledger, batch)
    assert (await in_its_canary(redis, job_id, State.PAUSED, CanaryState.WAITING)).state_reason == "canary"


async def test_a_pause_in_the_middle_of_the_canary_changes_nothing_about_it(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis), await start_lane(redis)
    batch = await take(ledger, terms(batch_size=2, batch_size_max=2))
    await control(redis, job_id, Event.PAUSE, by="test", lanes=0)
    await answer(redis, ledger, batch)
    await in_its_canary(redis, job_id, State.PAUSED, CanaryState.RUNNING)
    await control(redis, job_id, Event.RESUME, by="test", lanes=0)
    ledger = await start_lane(redis)
    assert positions(await take(ledger)) == [[10, 15]]
    await in_its_canary(redis, job_id, State.RUNNING, CanaryState.RUNNING)


async def test_a_canary_that_is_the_whole_list_has_nothing_to_wait_for(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis, contacts=50, total=5, confirm=True), await start_lane(redis)
    await fail(redis, ledger, await take(ledger))
    await in_its_canary(redis, job_id, State.COMPLETED, CanaryState.PASSED)
    assert await retry_failed(redis, job_id, by="test", lanes=0) == (State.QUEUED, 5)
    ledger = await start_lane(redis)
    await answer(redis, ledger, await take(ledger))
    await no_batch(ledger)
    job = await in_its_canary(redis, job_id, State.COMPLETED, CanaryState.PASSED)
    assert job.canary
    assert (job.canary.counts[Outcome.FAILED], job.canary.departed, job.counts[Outcome.DELETED]) == (5, 5, 5)


async def outcomes(redis: ArqRedis, job_id: str) -> dict[Outcome, list[int]]:
    """Return the places of a job's contact IDs by outcome, after checking them against the counts."""
    found: dict[Outcome, list[int]] = {}
    for place, line in enumerate(await lines_of(redis, job_id)):
        found.setdefault(line.code.outcome, []).append(place)
        assert (line.at is None) == (line.code.outcome is Outcome.PENDING)
    job = await read_job(redis, job_id)
    assert {outcome: count for outcome, count in job.counts.items() if count} == {
        outcome: len(places) for outcome, places in found.items()
    }
    return found


async def test_a_cancel_in_the_canary_skips_all_that_was_not_sent(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis), await start_lane(redis)
    batch = await take(ledger, terms(batch_size=2, batch_size_max=2))
    assert await control(redis, job_id, Event.CANCEL, by="test", lanes=0) is State.CANCELLING
    skipped = [place for place in range(20) if place not in {0, 5}]
    assert await outcomes(redis, job_id) == {Outcome.PENDING: [0, 5], Outcome.SKIPPED: skipped}
    await control(redis, job_id, Event.CANCEL, by="test", lanes=0)
    await lose(redis, ledger, batch)
    assert await outcomes(redis, job_id) == {Outcome.PENDING: [0, 5], Outcome.SKIPPED: skipped}
    await answer(redis, ledger, await take(ledger))
    assert await outcomes(redis, job_id) == {Outcome.PRESUMED_DELETED: [0, 5], Outcome.SKIPPED: skipped}
    job = await in_its_canary(redis, job_id, State.CANCELLED, CanaryState.CANCELLED)
    assert job.canary
    assert (job.canary.counts[Outcome.PRESUMED_DELETED], job.canary.counts[Outcome.SKIPPED]) == (2, 2)


async def test_what_fails_after_a_cancel_in_the_canary_is_a_departure_too(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis), await start_lane(redis)
    batch = await take(ledger)
    await control(redis, job_id, Event.CANCEL, by="test", lanes=0)
    await fail(redis, ledger, batch)
    canary = await canary_of(redis, job_id)
    assert (canary.departed, canary.counts[Outcome.FAILED], canary.state) == (4, 4, CanaryState.CANCELLED)


async def test_a_cancel_instead_of_a_resume_skips_the_rest(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis, confirm=True), await start_lane(redis)
    await answer(redis, ledger, await take(ledger))
    assert await control(redis, job_id, Event.CANCEL, by="test", lanes=0) is State.CANCELLED
    first = [0, 5, 10, 15]
    rest = [place for place in range(20) if place not in first]
    assert await outcomes(redis, job_id) == {Outcome.DELETED: first, Outcome.SKIPPED: rest}
    assert (await canary_of(redis, job_id)).state is CanaryState.CANCELLED


async def test_a_cancel_in_the_rest_leaves_the_canary_on_both_sides_as_it_was(redis: ArqRedis) -> None:
    job_id, ledger = await accept_with(redis), await start_lane(redis)
    await answer(redis, ledger, await take(ledger))
    batch = await take(ledger)  # places 1 to 12 without the canary's
    await control(redis, job_id, Event.CANCEL, by="test", lanes=0)
    sent = [place for place in range(13) if place not in {0, 5, 10}]
    skipped = [13, 14, 16, 17, 18, 19]
    first = [0, 5, 10, 15]
    assert await outcomes(redis, job_id) == {Outcome.DELETED: first, Outcome.PENDING: sent, Outcome.SKIPPED: skipped}
    await answer(redis, ledger, batch)
    assert await outcomes(redis, job_id) == {Outcome.DELETED: sorted(first + sent), Outcome.SKIPPED: skipped}
    await in_its_canary(redis, job_id, State.CANCELLED, CanaryState.PASSED)


async def test_a_cancel_before_anything_was_sent_skips_everything(redis: ArqRedis) -> None:
    job_id = await accept_with(redis)
    assert await control(redis, job_id, Event.CANCEL, by="test", lanes=0) is State.CANCELLED
    assert await outcomes(redis, job_id) == {Outcome.SKIPPED: list(range(20))}


async def test_a_canary_over_several_segments_is_handed_out_within_each(redis: ArqRedis) -> None:
    total = 3 * 65_536
    job_id, ledger = await accept_with(redis, contacts=300, total=total), await start_lane(redis)
    places: list[int] = []
    while not places or len(places) < 300:
        batch = await take(ledger, terms(batch_size=200))
        [item] = batch.items
        places += [item.segment * 65_536 + position for position in item.positions]
        await answer(redis, ledger, batch)
    canary = Canary(300, total)
    assert places == [canary.place(index) for index in range(300)]
    assert (await canary_of(redis, job_id)).state is CanaryState.PASSED
    assert len(places) == 300


async def test_a_job_without_a_canary_has_no_trace_of_one(redis: ArqRedis) -> None:
    job_id, ledger = await accept(redis, range(1, 21)), await start_lane(redis)
    await fail(redis, ledger, await take(ledger))
    names = await redis.execute_command("HKEYS", keys.job(job_id))
    assert not [name for name in names if b"canary" in name]
    assert (await read_job(redis, job_id)).canary is None
