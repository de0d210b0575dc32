"""A portal in trouble while contacts are surveyed: the plan is late, and true, or there is none."""

import asyncio
from typing import Any

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from cli.embedded import EmbeddedServer
from jobs.view.job import read_job
from jobs.words.filters import Filter
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State
from simulator import Behaviour, Fault, World
from tests.support.planning import plan_of_filter, plan_of_list, planned, true_verdicts, verdicts_of
from tests.support.steering import control
from tests.support.sweeping import MARKS, accept, check_against_truth, ended, settings_of
from tests.support.waiting import until
from worker.main import working

pytestmark = MARKS

TOTAL = 2000
#: Every way of reading contacts.
READING = ["listing", "look_up", "contact", "tags"]

TROUBLES: dict[str, dict[str, Any]] = {
    "429 with Retry-After": {"fault": "throttle", "retry_after_s": 1, "call_numbers": [2, 7, 8]},
    "429": {"fault": "throttle", "call_numbers": [2, 7, 8]},
    "500": {"fault": "error", "rate": 0.3},
    "502": {"fault": "error", "status": 502, "rate": 0.2},
    "503": {"fault": "unavailable", "call_numbers": [1, 2, 9]},
    "time-outs": {"fault": "hang", "call_numbers": [2, 9, 15]},
    "resets": {"fault": "reset", "rate": 0.3},
    "cut-off bodies": {"fault": "cut", "rate": 0.3},
    "pages of HTML": {"fault": "html", "call_numbers": [3, 9]},
    "wrong counts": {"fault": "wrong_count", "rate": 0.3},
}


def world() -> World:
    return World(
        TOTAL, read_only=40, invoiced=40, invisible=20, missing=20, tagged={"trash": 900, "keep": range(5, TOTAL, 50)}
    )


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
@pytest.mark.parametrize("way", ["filter", "listing", "look_ups"])
async def test_a_survey_carries_on_and_its_plan_is_true(
    redis: ArqRedis, server: EmbeddedServer, way: str, trouble: dict[str, Any]
) -> None:
    fault = Fault(**trouble, calls=READING)
    ids = BitMap(range(1, TOTAL + 50) if way == "listing" else range(1, TOTAL, 9))
    async with simulator.running(world(), Behaviour(seed=5, page_limit=100), [fault]) as portal:
        job_id = await (plan_of_filter(redis, tags=("trash",)) if way == "filter" else plan_of_list(redis, ids))
        async with working(settings_of(server, portal, request_timeout_s=1.0, lookup_url_max_chars=600, plan_sample=2)):
            job = await planned(redis, job_id)
        assert job.state is State.AWAITING_APPROVAL, job.last_error
        if way == "filter":
            ids = portal.world.select(tags=["trash"])
        assert await verdicts_of(redis, job_id) == true_verdicts(portal, ids)
        assert fault.struck
        assert bool(portal.truth.of_kind("look_up")) is (way == "look_ups")


@pytest.mark.parametrize("fault", ["disordered", "repeated", "stuck"])
async def test_a_listing_that_contradicts_itself_never_makes_a_plan(
    redis: ArqRedis, server: EmbeddedServer, fault: str
) -> None:
    lie = Fault(fault=fault, calls=["listing"], when="after")  # type: ignore[arg-type]
    async with simulator.running(world(), Behaviour(page_limit=100), [lie]) as portal:
        of_filter = await plan_of_filter(redis, Filter(everything=True))
        of_list = await plan_of_list(redis, range(1, TOTAL + 1))
        async with working(settings_of(server, portal, backoff_max_s=0.05, plan_sample=0)):

            async def says_why() -> bool:
                jobs = [await read_job(redis, job_id) for job_id in (of_filter, of_list)]
                assert {job.state for job in jobs} == {State.PLANNING}
                assert {job.plan for job in jobs} == {None}
                return any(job.last_error for job in jobs)

            await until(says_why, 60)
            jobs = [await read_job(redis, job_id) for job_id in (of_filter, of_list)]
    errors = " ".join(job.last_error or "" for job in jobs)
    if fault == "stuck":
        assert "cannot be trusted" in errors
    else:
        assert "in order" in errors
        assert {job.state_reason for job in jobs} == {StateReason.PORTAL_PROTOCOL}


@pytest.mark.parametrize("fault", ["stuck"])
async def test_a_plan_is_made_once_the_listing_is_in_order_again(
    redis: ArqRedis, server: EmbeddedServer, fault: str
) -> None:
    lie = Fault(fault=fault, calls=["listing"], when="after", next_calls=110)  # type: ignore[arg-type]
    async with simulator.running(world(), Behaviour(page_limit=100), [lie]) as portal:
        job_id = await plan_of_filter(redis, tags=("trash",))
        async with working(settings_of(server, portal, backoff_max_s=0.05)):
            job = await planned(redis, job_id)
        assert job.state is State.AWAITING_APPROVAL
        assert lie.struck == 110
        assert await verdicts_of(redis, job_id) == true_verdicts(portal, portal.world.select(tags=["trash"]))


async def test_a_survey_takes_about_one_turn_in_ten_beside_a_job_that_deletes(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(6000, tagged={"trash": range(1, 6001, 2)}), Behaviour(page_limit=50)) as portal:
        deleting = await accept(redis, range(2001, 6001), lanes=1)
        surveying = await plan_of_filter(redis, tags=("trash",))
        async with working(settings_of(server, portal, max_concurrency=1, batch_size_start=25, batch_size_max=25)):
            job, _ = await asyncio.gather(ended(redis, deleting), planned(redis, surveying))
        kinds = [call.kind for call in portal.truth.calls]
        await check_against_truth(redis, portal, deleting)
        assert job.state is State.COMPLETED
        found = await verdicts_of(redis, surveying)
        assert found["deletable"] >= set(range(1, 2001, 2))
        assert all(contact_id % 2 for contact_id in found["deletable"])
    last_put = max(number for number, kind in enumerate(kinds) if kind == "delete")
    beside = kinds[:last_put]
    assert beside.count("delete") == 159
    assert 12 <= beside.count("listing") <= 20
    assert "listing" in kinds[last_put:], "the survey ends after the job that it yields to"


async def test_a_survey_can_be_cancelled_while_its_portal_is_in_trouble(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(world(), faults=[Fault(fault="error", calls=["listing"])]) as portal:
        job_id = await plan_of_filter(redis, tags=("trash",))
        async with working(settings_of(server, portal)):
            await portal.truth.until(lambda: len(portal.truth.calls) > 3)
            await control(redis, job_id, Event.CANCEL, by="tester")
            job = await ended(redis, job_id)
        assert (job.state, job.total, job.plan) == (State.CANCELLED, 0, None)
