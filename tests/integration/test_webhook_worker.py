"""A worker tells webhooks what becomes of jobs and portals."""

from typing import Any

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from config.settings import Settings, WorkerConfig
from jobs.accept.approval import ApprovalTerms
from jobs.accept.reject import reject_job
from jobs.lanes.settlement import Settlement
from jobs.store import keys
from jobs.view.job import read_job
from jobs.webhooks.outbox import announce
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State
from simulator import World
from tests.conftest import settings_for
from tests.support.lanes import PORTAL, answer, start_lane, take, terms
from tests.support.planning import plan_of_filter, plan_of_list, planned
from tests.support.steering import control
from tests.support.sweeping import EAGER, MARKS, accept, ended, in_state, portal_settings
from tests.support.waiting import until
from tests.support.webhooks import Receiver, nothing_waits, receiving, waiting_events, webhook
from worker.main import working

pytestmark = MARKS


def settings_of(server: EmbeddedServer, portal: simulator.Portal, receiver: Receiver, **portal_limits: Any) -> Settings:
    settings = settings_for(server, portal_settings(portal, **portal_limits), worker=WorkerConfig(**EAGER))
    return settings.model_copy(update={"webhooks": (webhook(receiver.url),)})


async def is_announced(redis: ArqRedis) -> None:
    await until(lambda: redis.exists(keys.WEBHOOKS))


def types_of(receiver: Receiver, job_id: str) -> list[str]:
    return [one.type for one in receiver.received if one.job == job_id]


async def test_the_lives_of_jobs(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(100)) as portal, receiving() as receiver:
        async with working(settings_of(server, portal, receiver)):
            await is_announced(redis)
            job_id = await plan_of_list(redis, range(1, 51), label="spring")
            nothing = await plan_of_filter(redis, tags=("nobody has it",))
            plan = (await planned(redis, job_id)).plan
            assert plan
            await control(redis, job_id, Event.APPROVE, by="me", terms=ApprovalTerms(digest=plan.digest))
            job = await ended(redis, job_id)
            assert await reject_job(redis, "wrong", "no contact IDs", by="me", label="typo")
            await ended(redis, nothing)
            await nothing_waits(redis)
        assert types_of(receiver, job_id) == ["job.planned", "job.awaiting_approval", "job.started", "job.completed"]
        assert types_of(receiver, nothing) == ["job.completed"]
        assert types_of(receiver, "wrong") == ["job.failed"]
        [last] = [one.data for one in receiver.received if (one.job, one.type) == (job_id, "job.completed")]
        assert last["counts"] == job.counts
        assert (last["label"], last["finished_at"]) == ("spring", job.finished_at)
        [failed] = [one.data for one in receiver.received if one.type == "job.failed"]
        assert (failed["state"], failed["state_reason"], failed["total"]) == ("failed", "bad_request", 0)


async def test_a_wrong_token_is_told_once_and_so_is_the_pause(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(100)) as portal, receiving() as receiver:
        async with working(settings_of(server, portal, receiver, token="not-its-token")):
            await is_announced(redis)
            job_id = await accept(redis, range(1, 101))
            await in_state(redis, job_id, State.PAUSED)
            await nothing_waits(redis)
        faults = [one.data for one in receiver.received if one.type == "portal.fault"]
        assert faults == [{"portal": PORTAL, "reason": "portal_auth"}]
        assert types_of(receiver, job_id) == ["job.started", "job.paused"]
        assert receiver.received[-1].data.get("state_reason", "portal_auth") == "portal_auth"


async def meet_a_fault(redis: ArqRedis, name: str, stop: StateReason = StateReason.PORTAL_AUTH) -> None:
    lane = await start_lane(redis, name)
    batch = await take(lane)
    items = [(item, 0.0) for item in batch.items]
    assert await lane.settle(batch, Settlement(items=items, sent=1, stop=stop, last_error="staged"))


async def faults_told(redis: ArqRedis) -> list[str]:
    return [event.reason for event in await waiting_events(redis, "hook", f"portal {PORTAL}")]


async def lapse(redis: ArqRedis) -> None:
    await redis.execute_command("HSET", keys.faults(PORTAL), "", "1 portal_auth staged")


async def test_a_fault_is_told_once_however_many_lanes_meet_it(redis: ArqRedis) -> None:
    await announce(redis, [webhook("http://127.0.0.1:1/")])
    for _ in range(4):
        await accept(redis, range(1, 1001))
    held = []
    for name in ("one", "two"):
        lane = await start_lane(redis, name)
        held.append((lane, await take(lane)))
    for lane, batch in held:
        items = [(item, 0.0) for item in batch.items]
        fault = Settlement(items=items, sent=1, stop=StateReason.PORTAL_AUTH, last_error="staged")
        assert await lane.settle(batch, fault)
    assert await faults_told(redis) == ["portal_auth"]
    await lapse(redis)
    await meet_a_fault(redis, "later")
    assert await faults_told(redis) == ["portal_auth"], "it is still the same fault"


async def test_a_fault_that_comes_back_is_told_again(redis: ArqRedis) -> None:
    await announce(redis, [webhook("http://127.0.0.1:1/")])
    for _ in range(5):
        await accept(redis, range(1, 1001))
    good = await start_lane(redis, "good")
    before = await take(good, terms(batch_size=5))
    await meet_a_fault(redis, "first")
    await answer(redis, good, before)
    await lapse(redis)
    await meet_a_fault(redis, "second")
    assert len(await faults_told(redis)) == 1, "an answer from before the fault does not end it"
    await lapse(redis)
    lane = await start_lane(redis, "well again")
    await answer(redis, lane, await take(lane))
    await meet_a_fault(redis, "third")
    assert len(await faults_told(redis)) == 2


async def test_a_fault_is_told_again_after_a_person_has_acted(redis: ArqRedis) -> None:
    await announce(redis, [webhook("http://127.0.0.1:1/")])
    job_id = await accept(redis, range(1, 101))
    await meet_a_fault(redis, "first")
    assert (await read_job(redis, job_id)).state is State.PAUSED
    await control(redis, job_id, Event.RESUME, by="me", lanes=0)
    await meet_a_fault(redis, "second")
    assert await faults_told(redis) == ["portal_auth", "portal_auth"]


@pytest.mark.parametrize("reason", [StateReason.FAILURE_THRESHOLD, StateReason.CANARY])
async def test_what_is_no_fault_of_the_portal_only_pauses_the_job(redis: ArqRedis, reason: StateReason) -> None:
    await announce(redis, [webhook("http://127.0.0.1:1/")])
    job_id = await accept(redis, range(1, 101))
    await meet_a_fault(redis, "first", reason)
    assert await faults_told(redis) == []
    last = (await waiting_events(redis, "hook", job_id))[-1]
    assert (last.type, last.facts["state_reason"]) == ("job.paused", reason)
