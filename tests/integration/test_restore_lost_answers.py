"""Whatever answers are lost, and wherever the process is killed, each contact comes back exactly once."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis

import simulator
from jobs.lanes.grants import Later
from jobs.lanes.lease import reserve_turn
from restore.errors import PortalRefuses
from restore.record import Record
from restore.report import Outcome, Row
from restore.restorer import Restorer
from simulator import Behaviour, Fault, World
from tests.support.restoring_job import deleted, differences, made_by_calls, restore, restoring, settings_of
from worker.fleet import terms_of

CREATIONS = ["create_person", "create_company"]

#: Ways to lose an answer. Where the contact was created nevertheless, it must not be created again.
LOSSES: dict[str, dict[str, Any]] = {
    "500 before": {"fault": "error", "status": 500},
    "500 after": {"fault": "error", "status": 500, "when": "after"},
    "502 after": {"fault": "error", "status": 502, "when": "after"},
    "503 after": {"fault": "error", "status": 503, "when": "after"},
    "forbidden before": {"fault": "forbidden"},
    "forbidden after": {"fault": "forbidden", "when": "after"},
    "deadlock": {"fault": "deadlock"},
    "reset before": {"fault": "reset"},
    "reset after": {"fault": "reset", "when": "after"},
    "cut": {"fault": "cut"},
    "html after": {"fault": "html", "when": "after"},
    "hang before": {"fault": "hang"},
    "hang after": {"fault": "hang", "when": "after"},
    "504, then created": {"fault": "gateway_timeout", "delay_s": 0.2},
    "created late": {"fault": "late", "delay_s": 1.2},
}


def alike(count: int) -> World:
    """Return contacts that are equal in everything, and a company before every few of them."""
    return World(
        count,
        companies=range(1, count + 1, 4),
        names=dict.fromkeys(range(1, count + 1), "Ann Lee"),
        no_email=range(1, count + 1),
    )


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_contact_whose_creation_is_not_answered_is_created_once(
    redis: ArqRedis, tmp_path: Path, loss: str
) -> None:
    faults = [Fault(**LOSSES[loss], calls=CREATIONS, call_numbers=[2, 5])]
    async with simulator.running(alike(12)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 11))
        portal.faults.rules = faults
        rows = await restore(redis, job)
        assert faults[0].struck >= 2
        assert {(row.outcome, row.reason) for row in rows.values()} == {(Outcome.CREATED, "")}
        assert made_by_calls(portal) == {row.new_id for row in rows.values()}
        assert len(made_by_calls(portal)) == 10


@pytest.mark.parametrize("loss", ["500 after", "reset after", "cut"])
async def test_calls_that_follow_do_not_double_anything_when_their_answers_are_lost(
    redis: ArqRedis, tmp_path: Path, loss: str
) -> None:
    async with simulator.running(World(30, varied=True)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 16))
        portal.faults.rules = [Fault(**LOSSES[loss], calls=["*"], rate=0.25)]
        rows = await restore(redis, job, max_attempts=20, late_commit_s=0.01)
        assert {(row.outcome, row.reason) for row in rows.values()} == {(Outcome.CREATED, "")}
        assert made_by_calls(portal) == {row.new_id for row in rows.values()}
        shown = {"created_by", "industry", "currency", "modified", "access"}
        assert set().union(*differences(job, rows).values()) <= shown


async def test_a_contact_that_appears_after_it_was_sent_again_is_reported_as_a_possible_twin(
    redis: ArqRedis, tmp_path: Path
) -> None:
    async with simulator.running(alike(12), Behaviour(base_ms=100)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 11))
        portal.faults.rules = [Fault(fault="late", delay_s=2.6, calls=CREATIONS, call_numbers=[3])]
        rows = await restore(redis, job, late_commit_s=0.05)
        twins = [row for row in rows.values() if row.reason]
        assert {row.outcome for row in rows.values()} == {Outcome.CREATED}
        # All are alike, so a later lost answer might have been taken for it; here none was.
        assert len(twins) == 1
        other = int(twins[0].reason.removeprefix("possible_twin:"))
        assert made_by_calls(portal) == {row.new_id for row in rows.values()} | {other}
        assert other in portal.world.alive
        assert await restore(redis, job) == rows


async def test_an_attempt_of_a_process_that_was_killed_is_waited_for(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(alike(4)) as portal:
        job = await deleted(redis, portal, tmp_path, [2])
        portal.faults.rules = [Fault(fault="late", delay_s=1.7, calls=CREATIONS)]
        with pytest.raises(Killed):
            await restore(redis, job, patch=killed_at(1, CREATION))
        portal.faults.rules = []
        rows = await restore(redis, job, ttl_s=2.0, late_commit_s=0.1)
        assert made_by_calls(portal) == {rows[2].new_id}


class Killed(BaseException):
    """The process is gone."""


CREATION = "contact/person"


def killed_at(number: int, part: str = "", *, before: bool = False) -> Callable[[Restorer], None]:
    """Let the process be killed at one of its calls that change something, right before it leaves or after its answer.

    What it has sent before long ago, so that the next one need not wait for it.
    """

    def patch(restorer: Restorer) -> None:
        change = restorer.caller.client.change
        seen = 0

        async def watched(method: str, target: str, *arguments: Any, **more: Any) -> Any:
            nonlocal seen
            seen += part in target
            if seen == number and before:
                raise Killed
            answer: Awaitable[Any] = change(method, target, *arguments, **more)
            done = await answer
            if seen == number:
                raise Killed
            return done

        restorer.caller.client.change = watched  # type: ignore[method-assign]
        restorer.ledger.sent_ms = min(restorer.ledger.sent_ms, 1)
        restorer.ledger.before_ms = min(restorer.ledger.before_ms, 1)

    return patch


@pytest.mark.parametrize("before", [True, False])
async def test_it_carries_on_wherever_it_was_killed(redis: ArqRedis, tmp_path: Path, before: bool) -> None:
    async with simulator.running(World(12, varied=True)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 9))
        kills = 0
        rows: dict[int, Row] = {}
        while not rows:
            try:
                rows = await restore(redis, job, patch=killed_at(kills + 1, before=before))
            except Killed:
                kills += 1
        assert kills >= 6
        assert {(row.outcome, row.reason) for row in rows.values()} == {(Outcome.CREATED, "")}
        assert made_by_calls(portal) == {row.new_id for row in rows.values()}
        shown = {"created_by", "industry", "currency", "modified", "access"}
        assert set().union(*differences(job, rows).values()) <= shown


def nameless(old_id: int) -> Callable[[Restorer], None]:
    """Let the record of a contact be one that the portal refuses."""

    def patch(restorer: Restorer) -> None:
        records = restorer.records

        async def changed() -> AsyncIterator[Record]:
            async for record in records():
                yield msgspec.structs.replace(record, name="") if record.id == old_id else record

        restorer.records = changed

    return patch


async def test_a_refused_contact_fails_alone_and_is_tried_again_by_the_next_run(
    redis: ArqRedis, tmp_path: Path
) -> None:
    async with simulator.running(World(12)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 9))
        rows = await restore(redis, job, patch=nameless(4))
        failed = [row for row in rows.values() if row.outcome is Outcome.FAILED]
        assert [row.reason for row in failed] == ["rejected"]
        assert len(made_by_calls(portal)) == 7
        again = await restore(redis, job)
        assert {row.outcome for row in again.values()} == {Outcome.CREATED}
        assert len(made_by_calls(portal)) == 8


@pytest.mark.parametrize(
    "fault",
    [
        Fault(fault="throttle", retry_after_s=1, calls=CREATIONS, call_numbers=[3]),
        Fault(fault="unavailable", retry_after_s=1, calls=CREATIONS, call_numbers=[3]),
    ],
    ids=["429", "503"],
)
async def test_when_the_portal_asks_for_a_rest_everybody_rests(redis: ArqRedis, tmp_path: Path, fault: Fault) -> None:
    async with simulator.running(World(12)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 9))
        portal.faults.rules = [fault]
        waits: list[float] = []

        async def look(wait_s: float) -> None:
            waits.append(wait_s)

        async with restoring(redis, job) as restorer:
            await restorer.plan()
            restorer.caller.tell_wait = waits.append
            assert await restorer.run(lambda _done: None)
            rows = list(restorer.rows())
        assert max(waits) > 0.8
        assert {(row.outcome, row.reason) for row in rows} == {(Outcome.CREATED, "")}
        assert len(made_by_calls(portal)) == 8


async def test_a_portal_that_is_away_ends_it_without_failing_a_contact(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(World(12)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 9))
        portal.faults.rules = [Fault(fault="unavailable", calls=CREATIONS)]
        async with restoring(redis, job, backoff_max_s=0.02) as restorer:
            await restorer.plan()
            with pytest.raises(PortalRefuses, match="push_back"):
                await restorer.run(lambda _done: None)
            outcomes = {row.outcome for row in restorer.rows()}
        assert outcomes == {Outcome.PENDING}
        turn = await reserve_turn(redis, "main", terms_of(settings_of(job), 1))
        assert isinstance(turn, Later) or turn.wait_s >= 0
        portal.faults.rules = []
        rows = await restore(redis, job, patch=killed_at(0))
        assert len(made_by_calls(portal)) == 8 == len(rows)


async def test_a_portal_that_always_fails_ends_it_after_a_few_contacts(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(World(30)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 21))
        portal.faults.rules = [Fault(fault="error", status=500, calls=CREATIONS)]
        async with restoring(redis, job, max_attempts=2) as restorer:
            await restorer.plan()
            with pytest.raises(PortalRefuses, match=r"failed to create 5 contacts in a row \(portal_error\)"):
                await restorer.run(lambda _done: None)
            outcomes = [row.outcome for row in restorer.rows()]
        assert outcomes.count(Outcome.FAILED) == 5
        portal.faults.rules = []
        rows = await restore(redis, job)
        assert {row.outcome for row in rows.values()} == {Outcome.CREATED}
        assert len(made_by_calls(portal)) == 20


async def test_an_account_that_is_refused_ends_it_without_failing_a_contact(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(World(12)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 9))
        async with restoring(redis, job) as restorer:
            await restorer.plan()
            portal.authentication.log_out_everywhere()
            with pytest.raises(PortalRefuses, match="portal_auth"):
                await restorer.run(lambda _done: None)
            assert {row.outcome for row in restorer.rows()} == {Outcome.PENDING}


async def test_a_call_that_keeps_failing_leaves_a_contact_incomplete_and_says_what_it_lacks(
    redis: ArqRedis, tmp_path: Path
) -> None:
    async with simulator.running(World(12, tagged={"vip": [2]})) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 6))
        portal.faults.rules = [Fault(fault="error", status=500, calls=["add_tag"])]
        rows = await restore(redis, job, max_attempts=2)
        assert (rows[2].outcome, rows[2].reason) == (Outcome.CREATED, "incomplete")
        assert "tags" in rows[2].lost.words
        assert {row.reason for row in rows.values() if row.old_id != 2} == {""}
