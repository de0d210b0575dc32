"""Contacts that a job has deleted come back once each, with everything but what the docs say cannot come back."""

import asyncio
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from jobs.steering.switch import Switch, switch
from restore.errors import NothingToRestore, PortalRefuses, RestoreStopped
from restore.report import Outcome, Row
from restore.restorer import Restorer
from tests.support.restoring_job import (
    Deleted,
    deleted,
    differences,
    made_by_calls,
    restore,
    restoring,
    settings_of,
)

#: What the portal does not show with a contact, so that nobody knows whether it is lost.
HIDDEN = {"modified", "events", "type"}
#: The members of a true record that a word in the column `lost` is about.
LOST = {
    "creator": "created_by",
    "industry": "industry",
    "currency": "currency",
    "company": "company_id",
    "stage": "stage",
    "custom_fields": "custom_fields",
    "opportunities": "opportunities",
    "main_contact": "opportunities",
    "cases": "cases",
}


def assert_as_reported(job: Deleted, rows: dict[int, Row]) -> None:
    """Check that each contact has come back once, and lacks what its line says and nothing else."""
    assert made_by_calls(job.portal) == {row.new_id for row in rows.values() if row.outcome is Outcome.CREATED}
    for old_id, differ in differences(job, rows).items():
        # Who may change a contact that everybody sees is not shown either.
        hidden = HIDDEN | ({"access"} if job.truth[old_id]["share_type"] else set())
        lost = {LOST[word] for word in rows[old_id].lost.words if word != "persons"}
        assert differ <= lost | hidden, (old_id, rows[old_id])
        assert lost - {"created_by"} <= differ, (old_id, rows[old_id])


@pytest.mark.parametrize("offset", [0, 120])
async def test_contacts_of_every_kind_come_back(redis: ArqRedis, tmp_path: Path, offset: int) -> None:
    world = simulator.World(300, varied=True, types={2: [7, 8]})
    async with simulator.running(world, simulator.Behaviour(utc_offset_minutes=offset)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 251))
        rows = await restore(redis, job)
        assert {row.outcome for row in rows.values()} == {Outcome.CREATED}
        assert len({row.new_id for row in rows.values()}) == len(rows) == 250
        assert_as_reported(job, rows)
        assert await restore(redis, job) == rows
        assert len(made_by_calls(portal)) == 250


async def test_the_plan_tells_what_will_be_done_and_lost_and_creates_nothing(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(simulator.World(100, varied=True)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 61))
        async with restoring(redis, job) as restorer:
            plan = await restorer.plan()
            calls = portal.truth.calls[-1].number if portal.truth.calls else 0
            assert not made_by_calls(portal)
            assert {row.outcome for row in restorer.rows()} == {Outcome.PENDING}
            expected = {row.old_id: row.lost for row in restorer.rows()}
            assert await restorer.run(lambda _done: None)
            assert {row.old_id: row.lost for row in restorer.rows()} == expected
            spent = portal.truth.calls[-1].number - calls
        kinds = [job.truth[old_id]["kind"] for old_id in job.ids]
        assert (plan.companies, plan.persons) == (kinds.count("company"), kinds.count("person"))
        assert plan.lost["creator"] == 60
        assert plan.lost["industry"] == sum(bool(one["industry"]) for one in job.truth.values())
        # One to find out the highest ID, and one for the last check.
        assert spent == plan.calls + 2


async def test_only_some_come_back_with_a_company_that_was_never_deleted(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(simulator.World(20, employed=True)) as portal:
        job = await deleted(redis, portal, tmp_path, [4, 5, 8, 9, 10])
        rows = await restore(redis, job, only=[4, 9, 77])
        assert sorted(rows) == [4, 9]
        assert portal.world.company_of(rows[4].new_id or 0) == 3
        assert rows[9].lost.words == ["creator", "company"]
        later = await restore(redis, job)
        assert later[4] == rows[4]
        assert later[9].new_id == rows[9].new_id
        assert later[9].lost.words == ["creator"]
        for person in (9, 10):
            assert portal.world.company_of(later[person].new_id or 0) == later[8].new_id
        assert_as_reported(job, later)


async def test_a_company_whose_persons_were_not_deleted_says_so(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(simulator.World(20, employed=True)) as portal:
        job = await deleted(redis, portal, tmp_path, [3, 4, 8, 9, 10, 11, 12])
        rows = await restore(redis, job)
        assert "persons" in rows[3].lost.words
        assert "persons" not in rows[8].lost.words


async def test_what_does_not_exist_any_more_is_lost_and_told(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(simulator.World(300, varied=True)) as portal:
        world = portal.world
        job = await deleted(redis, portal, tmp_path, range(1, 41))
        number = world.attributes.custom_fields.all[0].id
        world.attributes.custom_fields.remove(number)
        for gone in list(world.participation.opportunities)[:10]:
            del world.participation.opportunities[gone]
        rows = await restore(redis, job)
        words = {word for row in rows.values() for word in row.lost.words}
        assert {"custom_fields", "opportunities"} <= words
        assert {row.outcome for row in rows.values()} == {Outcome.CREATED}
        assert not {row.reason for row in rows.values()} - {""}


async def test_a_contact_that_is_still_there_is_left_alone(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(simulator.World(20)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 11))
        portal.truth.create([5])  # as after a backup was played back
        rows = await restore(redis, job)
        assert rows[5] == Row(5, None, Outcome.STILL_THERE)
        assert len(made_by_calls(portal)) == 9


async def test_a_job_that_deleted_none_of_the_contacts_has_nothing_to_restore(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(simulator.World(20)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 11))
        async with restoring(redis, job, only=[11, 12]) as restorer:
            with pytest.raises(NothingToRestore, match="deleted none of these contacts"):
                await restorer.plan()


async def test_a_stop_ends_it_between_two_contacts_and_it_carries_on(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(simulator.World(60, varied=True)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 31))
        settings = settings_of(job)

        async with restoring(redis, job) as restorer:
            await restorer.plan()
            stops: list[asyncio.Task[object]] = []

            def show(done: int) -> None:
                if done == 10:
                    stops.append(
                        asyncio.create_task(switch(redis, Switch.STOP, [settings], of_all=False, by="cli:ann"))
                    )

            with pytest.raises(RestoreStopped, match="portal main stopped by cli:ann"):
                await restorer.run(show)
            await asyncio.gather(*stops)
            outcomes = [row.outcome for row in restorer.rows()]
        assert 10 <= outcomes.count(Outcome.CREATED) < 30
        assert outcomes.count(Outcome.CREATED) + outcomes.count(Outcome.PENDING) == 30
        with pytest.raises(RestoreStopped):
            await restore(redis, job)
        await switch(redis, Switch.START, [settings], of_all=False, by="cli:ann")
        rows = await restore(redis, job)
        assert_as_reported(job, rows)


async def test_a_wish_to_stop_finishes_the_contact_in_flight(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(simulator.World(60, varied=True)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 31))

        def stop_after(restorer: Restorer, count: int, done: int) -> None:
            if done == count:
                restorer.caller.stopping.set()

        async with restoring(redis, job) as restorer:
            await restorer.plan()
            assert not await restorer.run(lambda done: stop_after(restorer, 7, done))
            rows = list(restorer.rows())
        assert [row.outcome for row in rows].count(Outcome.CREATED) == 7 == len(made_by_calls(portal))
        assert not [row for row in rows if row.reason]
        assert_as_reported(job, await restore(redis, job))


async def test_a_contact_that_has_vanished_by_the_end_is_reported(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(simulator.World(20)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 11))

        async with restoring(redis, job) as restorer:
            await restorer.plan()

            def show(done: int) -> None:
                if done == 5:
                    portal.truth.delete_outside([max(made_by_calls(portal))])

            await restorer.run(show)
            rows = {row.old_id: row for row in restorer.rows()}
        gone = [row for row in rows.values() if row.outcome is Outcome.FAILED]
        assert [(row.reason, (row.new_id or 0) in portal.world.alive) for row in gone] == [("vanished", False)]
        assert await restore(redis, job) == rows
        assert len(made_by_calls(portal)) == 10
        assert BitMap(made_by_calls(portal)) & portal.world.alive == BitMap(
            row.new_id for row in rows.values() if row.outcome is Outcome.CREATED and row.new_id
        )


async def test_an_account_that_does_not_see_what_it_creates_stops_at_the_first_contact(
    redis: ArqRedis, tmp_path: Path
) -> None:
    world = simulator.World(
        20, private=range(1, 11), responsible={"93580c54-1132-4d6b-bf2d-da0bfaaa1a28": range(1, 11)}
    )
    async with simulator.running(world) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 11))
        portal.behaviour.administrator = False
        with pytest.raises(PortalRefuses, match="does not see contact 21, which it has just created: use the account"):
            await restore(redis, job)
        assert len(made_by_calls(portal)) == 1


async def test_the_estimate_follows_the_slower_of_the_rate_and_the_portal(redis: ArqRedis, tmp_path: Path) -> None:
    async with simulator.running(simulator.World(20, varied=True), simulator.Behaviour(base_ms=40)) as portal:
        job = await deleted(redis, portal, tmp_path, range(1, 11))
        async with restoring(redis, job, requests_per_second=1000.0) as restorer:
            by_portal = await restorer.plan()
        async with restoring(redis, job, requests_per_second=5.0, burst=10) as restorer:
            by_rate = await restorer.plan()
    assert by_portal.estimate_s >= by_portal.calls * 0.04
    assert by_rate.estimate_s >= by_rate.calls / 5.0
