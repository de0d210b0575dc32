"""A fault of the portal or the account holds all of its jobs until a user has looked at it."""

import pytest
from arq.connections import ArqRedis

from jobs.lanes import presence
from jobs.lanes.grants import Idle, Later, Turn
from jobs.lanes.lease import LaneLedger
from jobs.lanes.settlement import NewRest, Settlement
from jobs.ledger.records import Record
from jobs.store import keys
from jobs.view.job import read_job
from jobs.view.portal import read_portal
from jobs.words.errors import IllegalMove
from jobs.words.outcomes import Code, Outcome
from jobs.words.reasons import NEEDS_A_PERSON, StateReason, is_moving
from jobs.words.states import Event, State
from tests.support.lanes import DECIDER, PORTAL, accept, answer, lose, start_lane, take, terms
from tests.support.steering import control


async def meet_a_fault(ledger: LaneLedger, stop: StateReason, *, everyone: bool = False) -> str:
    """Take a batch and let the portal answer it with a fault; return the job that met it."""
    batch = await take(ledger)
    items = [(item, 0.0) for item in batch.items]
    settlement = Settlement(items=items, sent=1, stop=stop, everyone=everyone, last_error=f"{stop} was staged")
    assert await ledger.settle(batch, settlement)
    return batch.job_id


async def test_the_job_that_meets_it_pauses_and_the_others_wait(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    ledger = await start_lane(redis)
    paused = await meet_a_fault(ledger, StateReason.PORTAL_AUTH)
    other = ({"one", "two"} - {paused}).pop()
    assert (await read_job(redis, paused)).state is State.PAUSED
    assert (await read_job(redis, paused)).state_reason == "portal_auth"
    waiting = await read_job(redis, other)
    assert (waiting.state, waiting.counts[Outcome.PENDING]) == (State.QUEUED, 99)
    assert isinstance(await ledger.next_batch(terms()), Idle)


async def test_resume_lets_all_of_them_go_on(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    paused = await meet_a_fault(await start_lane(redis), StateReason.PORTAL_PAYMENT)
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
    paused = await meet_a_fault(await start_lane(redis), StateReason.PORTAL_PROTOCOL)
    await control(redis, paused, Event.CANCEL, by="test", lanes=0)
    batch = await take(await start_lane(redis, "next"))
    assert batch.job_id != paused or batch.state is State.CANCELLING


async def test_left_alone_it_is_tried_again_after_a_while(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    ledger = await start_lane(redis)
    await meet_a_fault(ledger, StateReason.PORTAL_FORBIDDEN)
    idle = await ledger.next_batch(terms())
    assert isinstance(idle, Idle)
    assert idle.wait_s is not None
    assert 0 < idle.wait_s <= 600
    await redis.execute_command("HSET", keys.faults(PORTAL), "", "1 portal_forbidden staged")  # its time has come
    await take(await start_lane(redis, "later"))


async def alive(redis: ArqRedis, **workers: str) -> None:
    """Make workers alive, each with its configuration."""
    for worker, configuration in workers.items():
        await presence.beat(redis, worker, [PORTAL], {PORTAL: configuration})


@pytest.mark.parametrize("reason", sorted(NEEDS_A_PERSON))
async def test_a_worker_with_another_configuration_is_not_held(redis: ArqRedis, reason: StateReason) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    await alive(redis, before="old")
    paused = await meet_a_fault(await start_lane(redis, configuration="old"), reason)
    other = ({"one", "two"} - {paused}).pop()
    held = await read_job(redis, other)
    assert (held.state, held.state_reason, held.last_error) == (State.QUEUED, reason, f"{reason} was staged")
    await presence.leave(redis, "before", {PORTAL: "old"})
    await alive(redis, after="new")
    assert (await read_job(redis, other)).state_reason == "starting"
    assert (await read_portal(redis, DECIDER.portal)).fault is None
    assert isinstance(await (await start_lane(redis, "same", configuration="old")).next_batch(terms()), Idle)
    assert (await take(await start_lane(redis, "next", configuration="new"))).job_id == other
    assert (await read_job(redis, paused)).state_reason == reason, "a user still has to resume it"


async def test_the_same_configuration_is_held_after_a_restart_as_well(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    await alive(redis, before="same")
    await meet_a_fault(await start_lane(redis, configuration="same"), StateReason.PORTAL_PAYMENT)
    await presence.leave(redis, "before", {PORTAL: "same"})
    await alive(redis, after="same")
    idle = await (await start_lane(redis, "next", configuration="same")).next_batch(terms())
    assert isinstance(idle, Idle)
    assert idle.wait_s is not None
    assert idle.wait_s > 500
    assert (await read_portal(redis, DECIDER.portal)).fault == "portal_payment"


async def test_a_fault_of_an_old_configuration_stops_no_job_that_another_worker_can_do(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 100))
    await alive(redis, first="old", second="new")
    old = await start_lane(redis, "old", configuration="old")
    await meet_a_fault(old, StateReason.PORTAL_AUTH)
    job = await read_job(redis, job_id)
    assert job.state is State.RUNNING
    assert is_moving(job.state_reason)
    again = await old.next_batch(terms())
    assert isinstance(again, Idle)
    assert again.wait_s is not None
    assert again.wait_s < 5, "a wake-up that it took is handed on"
    batch = await take(await start_lane(redis, "new", configuration="new"))
    assert batch.job_id == job_id


async def test_when_the_last_configuration_meets_it_the_job_pauses(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 100))
    await alive(redis, first="old", second="new")
    for configuration, state in (("old", State.RUNNING), ("new", State.PAUSED)):
        await meet_a_fault(
            await start_lane(redis, configuration, configuration=configuration), StateReason.PORTAL_PAYMENT
        )
        assert (await read_job(redis, job_id)).state is state


@pytest.mark.parametrize("reason", ["portal_unreachable", "login_guard"])
async def test_a_wait_of_our_own_holds_others_only_if_they_would_wait_as_well(
    redis: ArqRedis, reason: StateReason
) -> None:
    job_id = await accept(redis, range(1, 1000))

    async def cannot_call(configuration: str) -> None:
        ledger = await start_lane(redis, configuration, configuration=configuration)
        batch = await take(ledger)
        items = [(item, 0.0) for item in batch.items]
        waits = Settlement(items=items, rest=NewRest(55, reason), last_error="no connection")
        assert await ledger.settle(batch, waits)

    await alive(redis, first="wrong", second="right")
    await cannot_call("wrong")
    wrong = await start_lane(redis, "wrong again", configuration="wrong")
    assert isinstance(await wrong.next_batch(terms()), Idle)
    assert (await read_job(redis, job_id)).state_reason != reason
    await cannot_call("right")
    assert isinstance(await (await start_lane(redis, "any", configuration="right")).next_batch(terms()), Later | Turn)
    assert (await read_job(redis, job_id)).state_reason == reason


async def test_a_fault_of_the_portal_itself_holds_everybody(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    await alive(redis, first="old", second="new")
    met = await meet_a_fault(await start_lane(redis, configuration="old"), StateReason.PORTAL_PROTOCOL, everyone=True)
    assert (await read_job(redis, met)).state is State.PAUSED
    assert isinstance(await (await start_lane(redis, "new", configuration="new")).next_batch(terms()), Idle)
    await control(redis, met, Event.RESUME, by="test", lanes=0)
    await take(await start_lane(redis, "next", configuration="new"))
    assert isinstance(await (await start_lane(redis, "after")).next_batch(terms()), Later), "one call finds out"


@pytest.mark.parametrize("state", [State.QUEUED, State.CANCELLING])
async def test_a_job_that_waits_for_the_fault_of_another_can_be_resumed(redis: ArqRedis, state: State) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    ledger = await start_lane(redis)
    paused = await meet_a_fault(ledger, StateReason.PORTAL_FORBIDDEN)
    other = ({"one", "two"} - {paused}).pop()
    if state is State.CANCELLING:
        await control(redis, paused, Event.RESUME, by="test", lanes=0)
        await take(await start_lane(redis, "in flight"))
        other = paused
        await control(redis, other, Event.CANCEL, by="test", lanes=0)
        await redis.execute_command("HSET", keys.faults(PORTAL), "", await one_more_fault(redis))
    assert await control(redis, other, Event.RESUME, by="test", lanes=0) is state
    assert not await redis.exists(keys.faults(PORTAL))
    if state is State.QUEUED:
        with pytest.raises(IllegalMove):
            await control(redis, other, Event.RESUME, by="test", lanes=0)


async def one_more_fault(redis: ArqRedis) -> str:
    seconds, _ = await redis.time()
    return f"{seconds * 1000 + 60_000} portal_forbidden staged"


async def test_an_answer_that_comes_in_later_does_not_hide_the_fault(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 100))
    late = await start_lane(redis, "late")
    batch = await take(late)
    await meet_a_fault(await start_lane(redis), StateReason.PORTAL_AUTH)
    await lose(redis, late, batch)
    job = await read_job(redis, job_id)
    assert (job.state, job.last_error) == (State.PAUSED, "portal_auth was staged")


async def test_a_fault_of_one_job_holds_no_other(redis: ArqRedis) -> None:
    await accept(redis, range(1, 100), job_id="one")
    await accept(redis, range(1, 100), job_id="two")
    ledger = await start_lane(redis)
    stopped = await meet_a_fault(ledger, StateReason.FAILURE_THRESHOLD)
    assert (await take(ledger)).job_id != stopped


async def fail_some(redis: ArqRedis, ledger: LaneLedger, size: int) -> str:
    """Take a batch and give all of it up; return the job's state."""
    batch = await take(ledger, terms(batch_size=size, failure_threshold_from=20))
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
    assert await ledger.settle(batch, Settlement(records=records, sent=1))
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
