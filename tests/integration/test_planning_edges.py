"""Plans at the edges: hardly any rights, hardly any contacts, small pages, protected contacts, a search that is cut."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.view.job import Job
from jobs.words.filters import Filter
from jobs.words.states import State
from simulator import Behaviour, World
from tests.support.changing_portal import listed
from tests.support.planning import plan_of_filter, plan_of_list, planned, true_verdicts, verdicts_of
from tests.support.sweeping import MARKS, settings_of
from worker.main import working

pytestmark = MARKS


async def plan(redis: ArqRedis, server: EmbeddedServer, portal: simulator.Portal, what: Any, **limits: Any) -> Job:
    """Plan a list, or a filter."""
    job_id = await (plan_of_filter(redis, what) if isinstance(what, Filter) else plan_of_list(redis, what))
    async with working(settings_of(server, portal, **limits)):
        return await planned(redis, job_id)


@pytest.mark.parametrize("ids", [range(1, 1001), range(1, 1001, 100)], ids=["listing", "look_ups"])
async def test_contacts_that_the_account_cannot_see_are_absent(
    redis: ArqRedis, server: EmbeddedServer, ids: range
) -> None:
    world = World(1000, invisible=range(200, 900), read_only=range(1, 150))
    async with simulator.running(world, Behaviour(page_limit=100)) as portal:
        job = await plan(redis, server, portal, ids, plan_sample=0)
        found = await verdicts_of(redis, job.id)
        everything = await plan(redis, server, portal, Filter(everything=True))
    assert found == true_verdicts(portal, ids)
    assert job.plan is not None
    assert found["absent"] == set(ids) & set(range(200, 900))
    assert everything.total == 300


async def test_an_account_without_any_rights_deletes_nothing(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(300, read_only=range(1, 301))) as portal:
        job = await plan(redis, server, portal, Filter(everything=True))
    assert job.plan is not None
    assert {name: count for name, count in job.plan.counts.items() if count} == {"read_only": 300}
    assert [warning.code for warning in job.plan.warnings] == ["nothing_deletable"]


async def test_on_an_empty_portal_a_list_is_absent_and_a_filter_matches_nothing(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(0)) as portal:
        job = await plan(redis, server, portal, range(1, 3000))
        everything = await plan(redis, server, portal, Filter(everything=True))
        assert await listed(portal, Filter(everything=True)) == []
    assert job.state is State.AWAITING_APPROVAL
    assert await verdicts_of(redis, job.id) == {"absent": set(range(1, 3000))}
    assert job.plan is not None
    assert (job.plan.portal_total, job.plan.share, job.plan.calls >= 1) == (0, 0.0, True)
    assert (everything.state, everything.total) == (State.COMPLETED, 0)


@pytest.mark.parametrize(
    "ids", [[5], [99], range(1, 200_000), [1, 2**31 - 1]], ids=["one", "one that is absent", "larger", "far apart"]
)
async def test_a_list_of_any_size_on_a_small_portal(
    redis: ArqRedis, server: EmbeddedServer, ids: Iterable[int]
) -> None:
    async with simulator.running(World(50, invoiced=[7], read_only=[8])) as portal:
        job = await plan(redis, server, portal, ids)
        assert await verdicts_of(redis, job.id) == true_verdicts(portal, ids)
    assert job.plan is not None
    assert job.plan.portal_total == 50


@pytest.mark.parametrize("page_limit", [2, 7, 100, 999])
async def test_a_portal_with_a_lower_page_limit_is_read_to_its_end(
    redis: ArqRedis, server: EmbeddedServer, page_limit: int
) -> None:
    world = World(20 * page_limit, read_only=5, missing=3, tagged={"trash": range(1, 20 * page_limit, 2)})
    selection, ids = Filter(tags=("trash",)), range(1, 25 * page_limit)
    async with simulator.running(world, Behaviour(page_limit=page_limit)) as portal:
        of_filter = await plan(redis, server, portal, selection, plan_sample=0)
        of_list = await plan(redis, server, portal, ids, plan_sample=0, lookup_url_max_chars=512)
        matching = world.select(tags=["trash"])
        assert await verdicts_of(redis, of_filter.id) == true_verdicts(portal, matching)
        assert await verdicts_of(redis, of_list.id) == true_verdicts(portal, ids)
        assert await listed(portal, selection) == list(matching)


async def test_the_way_with_fewer_calls_is_taken_whatever_the_page_limit(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    """30 look-ups are more than 3 pages of 1000, but fewer than 60 of 50."""
    used = {}
    for page_limit in (1000, 50):
        async with simulator.running(World(3000), Behaviour(page_limit=page_limit)) as portal:
            await plan(redis, server, portal, range(1, 900), plan_sample=0, lookup_url_max_chars=512)
            kinds = [call.kind for call in portal.truth.calls]
            used[page_limit] = kinds.count("listing"), kinds.count("look_up")
    assert used[1000] == (1 + 4, 0)
    assert used[50][0] == 1
    assert 20 < used[50][1] < 40


async def test_look_ups_of_more_than_the_portal_lists_are_made_smaller(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(4000, missing=range(1, 40)), Behaviour(page_limit=150)) as portal:
        job = await plan(redis, server, portal, range(1, 401), plan_sample=0)
        assert await verdicts_of(redis, job.id) == true_verdicts(portal, range(1, 401))
        assert 4 <= len(portal.truth.of_kind("look_up")) <= 8


@pytest.mark.parametrize("what", ["filter", "listing", "look_ups"])
async def test_protected_tags_count_whatever_their_case_and_so_does_the_protected_list(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path, what: str
) -> None:
    protected = tmp_path / "protected.txt"
    protected.write_text("1\n2\n3\n400\n")
    world = World(4000, tagged={"Key Account": range(10, 20), "trash": range(1, 401)}, read_only=[15, 2])
    ids = {"filter": Filter(tags=("TRASH",)), "listing": range(1, 8001), "look_ups": [1, 2, 5, 12, 15, 400]}[what]
    async with simulator.running(world) as portal:
        job = await plan(
            redis,
            server,
            portal,
            ids,
            plan_sample=0,
            protected_tags=("key account", "nobody has it"),
            protected_ids_file=str(protected),
        )
        assert bool(portal.truth.of_kind("look_up")) is (what == "look_ups")
        everything = range(1, 401) if isinstance(ids, Filter) else ids
        spared = {1, 2, 3, 400, *range(10, 20)}
        assert await verdicts_of(redis, job.id) == true_verdicts(portal, everything, protected=spared)


@pytest.mark.parametrize("others", [{}, {"tags": ("few",)}, {"without_tags": ("many",)}])
async def test_a_search_that_is_cut_makes_no_plan(
    redis: ArqRedis, server: EmbeddedServer, others: dict[str, Any]
) -> None:
    """Not even if few contacts are left once the rest of the filter has been applied."""
    tagged = {"few": range(1, 3000, 100), "many": [number for number in range(1, 3001) if number % 100 != 1]}
    async with simulator.running(World(3000, companies=[], tagged=tagged)) as portal:
        selection = Filter(text="example.com", **others)
        job = await plan(redis, server, portal, selection)
        assert not portal.truth.of_kind("delete")
    assert (job.state, job.plan) == (State.FAILED, None)
    assert job.last_error is not None
    assert "the search finds 1,000 contacts" in job.last_error
    assert "cut off" in job.last_error


async def test_a_search_that_finds_few_makes_a_plan_that_says_what_it_looks_at(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    world = World(3000, companies=[], names={5: "Zyx One", 8: "Zyx Two"}, notes={9: "knows zyx"})
    async with simulator.running(world) as portal:
        job = await plan(redis, server, portal, Filter(text="zyx"))
        assert await verdicts_of(redis, job.id) == {"deletable": {5, 8, 9}}
    assert job.plan is not None
    assert [warning.code for warning in job.plan.warnings] == ["text_search"]
