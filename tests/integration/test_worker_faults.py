"""A portal that misbehaves: whatever it does, every contact ID gets its outcome, and the ledger tells the truth."""

from pathlib import Path

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from cli.embedded import EmbeddedServer
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import Behaviour, Fault, World
from tests.support.steering import control
from tests.support.sweeping import MARKS, accept, check_against_truth, ended, in_state, settings_of
from worker.main import working

pytestmark = MARKS

TOTAL = 2000


def world() -> World:
    return World(TOTAL, read_only=40, invoiced=40, invisible=20, missing=20)


FAULTS = {
    "reset before": Fault(fault="reset", rate=0.15),
    "reset after": Fault(fault="reset", when="after", rate=0.15),
    "500 before": Fault(fault="error", rate=0.2),
    "500 after": Fault(fault="error", when="after", rate=0.2),
    "502 before": Fault(fault="error", status=502, rate=0.1),
    "502 after": Fault(fault="error", status=502, when="after", rate=0.1),
    "503": Fault(fault="unavailable", rate=0.1),
    "503 with Retry-After": Fault(fault="unavailable", rate=0.1, retry_after_s=1),
    "504 after": Fault(fault="error", status=504, when="after", call_numbers=[2, 9]),
    "429": Fault(fault="throttle", call_numbers=[3, 12, 13]),
    "429 with Retry-After": Fault(fault="throttle", rate=0.1, retry_after_s=1),
    "403 of the database after": Fault(fault="forbidden", when="after", rate=0.15),
    "deadlock": Fault(fault="deadlock", rate=0.2),
    "cut": Fault(fault="cut", rate=0.15),
    "html before": Fault(fault="html", call_numbers=[2, 9, 17]),
    "html after": Fault(fault="html", when="after", call_numbers=[2, 9, 17]),
    "hang before": Fault(fault="hang", call_numbers=[2, 9, 17]),
    "hang after": Fault(fault="hang", when="after", call_numbers=[2, 9, 17]),
    "late": Fault(fault="late", delay_s=1.3, rate=0.1),
    "gateway_timeout": Fault(fault="gateway_timeout", delay_s=0.5, call_numbers=[3, 12]),
    "wrong_count": Fault(fault="wrong_count", rate=0.15),
    "look-ups and all": Fault(fault="error", calls=["*"], rate=0.15),
    "look-ups reset": Fault(fault="reset", calls=["look_up"], rate=0.4),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_the_ledger_stays_true_under(redis: ArqRedis, server: EmbeddedServer, fault: Fault) -> None:
    async with simulator.running(world(), Behaviour(seed=7), [fault]) as portal:
        job_id = await accept(redis, range(1, TOTAL + 1))
        async with working(settings_of(server, portal, request_timeout_s=1.0, max_attempts=10)):
            job = await ended(redis, job_id)
        assert fault.struck > 0
        assert job.state is State.COMPLETED
        found = await check_against_truth(redis, portal, job_id)
    assert not found[Outcome.FAILED]
    assert not found[Outcome.PENDING]
    assert len(found[Outcome.REFUSED]) == 80
    assert len(found[Outcome.DELETED] | found[Outcome.PRESUMED_DELETED]) >= TOTAL - 120


async def test_an_id_that_was_not_asked_for_stops_the_job(redis: ArqRedis, server: EmbeddedServer) -> None:
    fault = Fault(fault="foreign_id", call_numbers=[8])
    async with simulator.running(world(), faults=[fault]) as portal:
        job_id = await accept(redis, range(1, TOTAL + 1))
        async with working(settings_of(server, portal)):
            job = await in_state(redis, job_id, State.PAUSED)
            assert job.state_reason == "portal_protocol"
            assert job.last_error
            assert job.counts[Outcome.PENDING] > 0
            await control(redis, job_id, Event.RESUME, by="test", lanes=4)
            await ended(redis, job_id)
        found = await check_against_truth(redis, portal, job_id)
    assert len(found[Outcome.PRESUMED_DELETED]) > 0


async def test_a_gateway_that_replays_can_hide_a_deletion(redis: ArqRedis, server: EmbeddedServer) -> None:
    """The answer of a second execution is a valid one: nothing was there. No client can tell."""
    fault = Fault(fault="replay", call_numbers=[5, 11])
    async with simulator.running(world(), faults=[fault]) as portal:
        job_id = await accept(redis, range(1, TOTAL + 1))
        async with working(settings_of(server, portal)):
            await ended(redis, job_id)
        replayed = BitMap()
        for call in portal.truth.of_kind("delete"):
            if call.fault == "replay":
                replayed |= call.deleted or BitMap()
        found = await check_against_truth(redis, portal, job_id, inferred=replayed)
    assert replayed
    assert found[Outcome.NOT_FOUND] >= replayed


async def test_a_listing_cut_short_leaves_a_doubt_and_not_a_lie(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(world(), Behaviour(page_limit=30)) as portal:
        job_id = await accept(redis, range(1, TOTAL + 1))
        async with working(settings_of(server, portal)):
            await ended(redis, job_id)
        found = await check_against_truth(redis, portal, job_id)
    assert len(found[Outcome.PRESUMED_DELETED]) > 0


async def test_a_portal_that_never_deletes_ends_as_failed_with_its_reason(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    fault = Fault(fault="deadlock")
    async with simulator.running(World(8), faults=[fault]) as portal:
        job_id = await accept(redis, range(1, 9))
        async with working(settings_of(server, portal, max_attempts=2)):
            job = await ended(redis, job_id)
        found = await check_against_truth(redis, portal, job_id)
    assert job.state is State.COMPLETED
    assert len(found[Outcome.FAILED]) == 8


async def test_above_the_failure_threshold_the_job_pauses(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(2000), Behaviour(poison_status=400)) as portal:
        portal.world.poisoned = portal.world.alive.copy()
        job_id = await accept(redis, range(1, 2001))
        limits = {"failure_threshold": 0.2, "failure_threshold_from": 50, "batch_size_start": 1, "batch_size_max": 1}
        async with working(settings_of(server, portal, **limits)):
            job = await in_state(redis, job_id, State.PAUSED)
        assert job.state_reason == "failure_threshold"
        assert 10 <= job.counts[Outcome.FAILED] <= 60
        await check_against_truth(redis, portal, job_id)


async def test_a_batch_of_protected_contacts_is_held_to_the_same_threshold(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    protected = tmp_path / "protected.txt"
    protected.write_text("\n".join(map(str, range(1051, 1101))))
    async with simulator.running(World(1100), Behaviour(poison_status=400)) as portal:
        portal.world.poisoned = portal.world.alive.copy()
        job_id = await accept(redis, range(1, 1101))
        limits = {"failure_threshold": 1.0, "batch_size_start": 1, "batch_size_max": 1, "protected_ids_file": protected}
        async with working(settings_of(server, portal, **limits)):
            job = await in_state(redis, job_id, State.PAUSED, State.COMPLETED)
    assert job.state is State.COMPLETED, "any share of failures is allowed here"
    assert (job.counts[Outcome.FAILED], job.counts[Outcome.PROTECTED]) == (1050, 50)
