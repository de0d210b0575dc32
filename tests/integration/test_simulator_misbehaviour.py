"""Every misbehaviour as its caller sees it, and as the truth records it."""

import asyncio
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

import pytest

import simulator
from simulator import Behaviour, Fault, World
from tests.support.simulator_caller import call, control, delete


@pytest.mark.parametrize(
    ("fault", "status", "deleted"),
    [
        ({"fault": "throttle"}, 429, False),
        ({"fault": "unavailable"}, 503, False),
        ({"fault": "error", "status": 500}, 500, False),
        ({"fault": "error", "status": 500, "when": "after"}, 500, True),
        ({"fault": "error", "status": 502}, 502, False),
        ({"fault": "error", "status": 502, "when": "after"}, 502, True),
        ({"fault": "error", "status": 504, "when": "after"}, 504, True),
        ({"fault": "forbidden"}, 403, False),
        ({"fault": "forbidden", "when": "after"}, 403, True),
        ({"fault": "deadlock"}, 500, False),
        ({"fault": "html"}, 200, False),
        ({"fault": "html", "when": "after"}, 200, True),
        ({"fault": "replay"}, 200, True),
        ({"fault": "wrong_count"}, 200, True),
        ({"fault": "foreign_id"}, 200, True),
        ({"fault": "disordered"}, 200, True),
        ({"fault": "repeated"}, 200, True),
    ],
)
async def test_answers_that_mislead(fault: dict[str, Any], status: int, deleted: bool) -> None:
    async with simulator.running(World(5)) as portal:
        await control(portal, "faults", fault | {"next_calls": 1})
        reply = await delete(portal, [1, 2], "?fields=id")
        assert reply.status == status
        assert list(portal.truth.deleted) == ([1, 2] if deleted else [])
        made = portal.truth.calls[0]
        assert (made.fault, made.status, made.committed, made.delivered) == (fault["fault"], status, deleted, True)
        assert made.listed is None or not deleted
        after = await delete(portal, [1, 2], "?fields=id")
        assert after.ids == ([] if deleted else [1, 2])


@pytest.mark.parametrize(
    ("fault", "content_type"),
    [
        (Fault(fault="error", status=500), "application/json; charset=UTF-8"),
        (Fault(fault="error", status=502), "text/html"),
        (Fault(fault="html"), "text/html"),
        (Fault(fault="throttle"), None),
        (Fault(fault="unavailable"), None),
    ],
)
async def test_bodies_of_errors(fault: Fault, content_type: str | None) -> None:
    async with simulator.running(World(5), faults=[fault]) as portal:
        reply = await delete(portal, [1])
        assert reply.headers.get("content-type") == content_type
        assert bool(reply.body) == (content_type is not None)


async def test_error_numbers_tell_a_lost_commit_from_a_deadlock() -> None:
    faults = [Fault(fault="forbidden", next_calls=1), Fault(fault="deadlock", next_calls=1)]
    async with simulator.running(World(5), faults=faults) as portal:
        assert (await delete(portal, [1])).json["error"]["hresult"] == -2146233079
        deadlock = (await delete(portal, [1])).json["error"]
        assert deadlock["hresult"] == -2147467259
        assert deadlock["message"].startswith("Deadlock found")


async def test_retry_after_in_both_forms() -> None:
    faults = [
        Fault(fault="throttle", retry_after_s=7, next_calls=1),
        Fault(fault="unavailable", retry_after_s=7, retry_after_form="date", next_calls=1),
        Fault(fault="throttle", next_calls=1),
    ]
    async with simulator.running(World(5), faults=faults) as portal:
        assert (await delete(portal, [1])).headers["retry-after"] == "7"
        assert parsedate_to_datetime((await delete(portal, [1])).headers["retry-after"]).tzinfo
        assert "retry-after" not in (await delete(portal, [1])).headers


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_reset_connection(when: Any) -> None:
    async with simulator.running(World(5), faults=[Fault(fault="reset", when=when)]) as portal:
        with pytest.raises(ConnectionResetError):
            await delete(portal, [1])
        made = portal.truth.calls[0]
        assert (made.status, made.delivered, made.committed) == (None, False, when == "after")
        assert (1 in portal.truth.alive) is (when == "before")


async def test_a_body_that_ends_early() -> None:
    async with simulator.running(World(5), faults=[Fault(fault="cut")]) as portal:
        with pytest.raises(asyncio.IncompleteReadError):
            await delete(portal, [1])
        made = portal.truth.calls[0]
        assert (made.status, made.delivered, made.committed) == (200, False, True)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_call_that_is_never_answered(when: Any) -> None:
    async with simulator.running(World(5), faults=[Fault(fault="hang", when=when)]) as portal:
        given_up = asyncio.create_task(delete(portal, [1]))
        await portal.truth.until(lambda: bool(portal.truth.calls) and (when == "before" or 1 not in portal.truth.alive))
        given_up.cancel()
        await portal.truth.until(lambda: portal.truth.in_flight == 0)
        made = portal.truth.calls[0]
        assert (made.status, made.delivered, made.committed) == (None, False, when == "after")


async def test_a_client_that_gives_up_early_still_sees_a_late_commit() -> None:
    async with simulator.running(World(5), Behaviour(base_ms=1000, commit_at=0.5)) as portal:
        given_up = asyncio.create_task(delete(portal, [1]))
        await portal.truth.until(lambda: bool(portal.truth.calls))
        given_up.cancel()
        await asyncio.wait([given_up])
        await portal.truth.until(lambda: portal.truth.in_flight == 0)
        assert 1 not in portal.truth.alive
        assert not portal.truth.calls[0].delivered


async def test_a_late_call_commits_late() -> None:
    async with simulator.running(World(5), faults=[Fault(fault="late", delay_s=0.3)]) as portal:
        assert (await delete(portal, [1], "?fields=id")).ids == [1]
        made = portal.truth.calls[0]
        assert made.committed_s is not None
        assert made.committed_s - made.arrived_s >= 0.29


async def test_a_gateway_gives_up_while_the_call_goes_on() -> None:
    fault = Fault(fault="gateway_timeout", delay_s=0.2)
    async with simulator.running(World(5), faults=[fault]) as portal:
        reply = await delete(portal, [1])
        assert (reply.status, reply.headers["content-type"]) == (504, "text/html")
        made = portal.truth.calls[0]
        await portal.truth.until(lambda: made.committed)
        assert made.committed_s is not None
        assert made.committed_s - made.arrived_s >= 0.19
        assert (made.status, made.delivered, list(portal.truth.deleted)) == (504, True, [1])


async def test_stopping_ends_calls_that_go_on_without_a_caller() -> None:
    fault = Fault(fault="gateway_timeout", delay_s=600)
    async with simulator.running(World(5), faults=[fault]) as portal:
        assert (await delete(portal, [1])).status == 504
    assert not portal.truth.deleted


async def test_the_count_is_larger_than_the_list() -> None:
    async with simulator.running(World(5), faults=[Fault(fault="wrong_count")]) as portal:
        reply = await delete(portal, [1, 2], "?fields=id")
        assert (reply.json["count"], reply.ids) == (3, [1, 2])


async def test_an_id_is_listed_that_was_not_asked_for() -> None:
    async with simulator.running(World(5), faults=[Fault(fault="foreign_id")]) as portal:
        assert (await delete(portal, [1, 2], "?fields=id")).ids == [1, 2, 3]
        assert list(portal.truth.deleted) == [1, 2]
        assert (await delete(portal, [1, 2], "?fields=id")).ids == [3]


@pytest.mark.parametrize("status", [400, 500])
async def test_a_poisoned_contact_spoils_its_whole_batch(status: Any) -> None:
    async with simulator.running(World(9, poisoned=[3]), Behaviour(poison_status=status)) as portal:
        assert (await delete(portal, [1, 2, 3])).status == status
        assert len(portal.truth.alive) == 9
        assert (await delete(portal, [1, 2], "?fields=id")).ids == [1, 2]
        assert (await delete(portal, [3])).status == status


async def test_faults_can_strike_other_calls() -> None:
    faults = [Fault(fault="error", calls=["look_up", "log_in"]), Fault(fault="throttle", calls=["*"])]
    async with simulator.running(World(9), faults=faults) as portal:
        assert (await call(portal, "GET", "/api/2.0/crm/contact/mail?contactids=1")).status == 500
        assert (await call(portal, "POST", "/api/2.0/authentication", {})).status == 500
        assert (await delete(portal, [1])).status == 429


async def test_over_its_capacity_the_portal_throttles() -> None:
    behaviour = Behaviour(capacity_calls_per_s=0.01, capacity_burst=2, capacity_retry_after_s=3)
    async with simulator.running(World(9), behaviour) as portal:
        replies = [await delete(portal, [number]) for number in (1, 2, 3)]
        assert [reply.status for reply in replies] == [200, 200, 429]
        assert replies[2].headers["retry-after"] == "3"
        await control(portal, "behaviour", {"capacity_calls_per_s": 0})
        assert (await delete(portal, [3])).status == 200


async def test_capacity_changes_by_itself() -> None:
    behaviour = Behaviour(capacity_changes=[(0, 0.01)], capacity_calls=["delete"])
    async with simulator.running(World(9), behaviour) as portal:
        assert [(await delete(portal, [1])).status for _ in range(2)] == [200, 429]
        assert (await call(portal, "GET", "/api/2.0/crm/contact/2")).status == 200


async def test_over_its_capacity_the_portal_slows_down() -> None:
    behaviour = Behaviour(capacity_calls_per_s=20, capacity_mode="slow")
    async with simulator.running(World(9), behaviour) as portal:
        async with asyncio.TaskGroup() as group:
            for number in range(1, 6):
                group.create_task(delete(portal, [number]))
        commits = sorted(made.committed_s or 0 for made in portal.truth.calls)
        assert commits[-1] - portal.truth.calls[0].arrived_s >= 0.19  # four calls of 50 ms before the last one
        assert len(portal.truth.deleted) == 5


async def test_concurrency_is_bounded_and_extra_calls_wait() -> None:
    async with simulator.running(World(9), Behaviour(base_ms=50, concurrency=1, commit_at=1)) as portal:
        async with asyncio.TaskGroup() as group:
            for number in range(1, 4):
                group.create_task(delete(portal, [number]))
        commits = [made.committed_s or 0 for made in portal.truth.calls]
        assert commits == sorted(commits)
        assert all(later - earlier >= 0.045 for earlier, later in pairwise(commits))


async def test_two_overlapping_batches_may_both_claim_a_contact() -> None:
    async with simulator.running(World(9), Behaviour(base_ms=1000, commit_at=0.9)) as portal:
        async with asyncio.TaskGroup() as group:
            replies = [group.create_task(delete(portal, [1, 2], "?fields=id")) for _ in range(2)]
        assert [reply.result().ids for reply in replies] == [[1, 2], [1, 2]]
        assert sorted(len(made.deleted or ()) for made in portal.truth.calls) == [0, 2]
        assert portal.truth.peak_in_flight == 2
