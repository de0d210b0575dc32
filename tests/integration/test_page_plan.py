"""Plans on the page: what they show and to whom, and that only what was shown and typed is approved."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from cli.embedded import EmbeddedServer
from config.settings import Api, ApiKey, Settings, WorkerConfig
from jobs.store import keys
from jobs.view.job import Job, list_jobs, read_job
from jobs.words.outcomes import Outcome
from jobs.words.states import State
from simulator import World
from tests.conftest import settings_for
from tests.support.browsing import Person, Screen, api_key, visiting
from tests.support.planning import plan_of_filter, plan_of_list, planned
from tests.support.sweeping import EAGER, MARKS, ended, in_state, portal_settings
from worker.main import working

pytestmark = MARKS

TAG = "<b>trash</b>"


@dataclass
class Stage:
    """A portal, and who looks at its plans."""

    portal: simulator.Portal
    settings: Settings
    people: list[Person]


@contextlib.asynccontextmanager
async def stage(
    redis: ArqRedis, server: EmbeddedServer, world: World, *keys_of: ApiKey, works: bool = True, **limits: Any
) -> AsyncIterator[Stage]:
    """Run a portal with a worker and the page; everyone is logged in."""
    keys_of = keys_of or (api_key("anna"),)
    async with simulator.running(world) as portal, contextlib.AsyncExitStack() as stack:
        settings = settings_for(
            server, portal_settings(portal, **limits), api=Api(keys=keys_of), worker=WorkerConfig(**EAGER)
        )
        if works:
            await stack.enter_async_context(working(settings))
        people = await stack.enter_async_context(visiting(settings, redis, *(key.name for key in keys_of)))
        yield Stage(portal, settings, people)


async def a_plan(redis: ArqRedis, ids: range = range(1, 51), **facts: Any) -> Job:
    job = await planned(redis, await plan_of_list(redis, ids, **facts))
    assert job.state is State.AWAITING_APPROVAL, job.last_error
    return job


def digest_of(job: Job) -> str:
    assert job.plan is not None
    return job.plan.digest


async def approve(person: Person, job: Job, count: str, digest: str | None = None) -> Screen:
    return await person.send(
        f"/jobs/{job.id}/approve", count=count, digest=digest_of(job) if digest is None else digest
    )


async def test_a_plan_is_shown_with_its_numbers_and_its_sample_to_whoever_may_approve_it(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    world = World(400, read_only=range(1, 11), invoiced=range(11, 16), tagged={TAG: range(1, 101)})
    people = api_key("anna"), api_key("reader", "read"), api_key("sender", "read", "submit")
    async with stage(redis, server, world, *people) as on:
        job = await planned(redis, await plan_of_filter(redis, tags=(TAG,)))
        screens = [await person.look(f"/jobs/{job.id}") for person in on.people]
        files = [await person.look(f"/jobs/{job.id}/plan?format=csv&verdict=read_only") for person in on.people]
    anna, *others = screens
    for screen in screens:
        assert "Chosen by a filter: contacts tagged '<b>trash</b>'" in screen.text
        assert "<b>trash" not in screen.html
        assert "Deletable will be deleted 85 85 %" in screen.text
        assert "Read-only stays: the account may not change it 10 10 %" in screen.text
        assert "Has an invoice stays: the portal keeps what is on an invoice 5 5 %" in screen.text
        assert "85 of the portal's 400 contacts (21.2 %) would be deleted" in screen.text
        labels = [svg.get("aria-label") or "" for svg in screen.markup.all("svg", role="img")]
        assert any(
            label.startswith("85 contacts deletable (85\u202f%), 10 contacts read-only (10\u202f%)") for label in labels
        ), "the bar says it in words"
        assert digest_of(job)[:12] in screen.text
        assert job.plan
        assert screen.markup.all("time", datetime=job.plan.expires_at)
        assert screen.markup.all("a", href=f"/jobs/{job.id}/plan?format=csv")
    for file in files:
        assert file.html == "contact_id,verdict\n" + "".join(f"{one},read_only\n" for one in range(1, 11))
    assert "Some of the contacts" in anna.text
    assert len(anna.markup.all("th", scope="row")) > 20
    assert anna.markup.all("input", name="digest", value=digest_of(job))
    for screen in others:
        assert "Some of the contacts" not in screen.text, "personal data is for those who may approve"
        assert f"/jobs/{job.id}/approve" not in screen.markup.actions()


@pytest.mark.parametrize("typed", ["", "4", "400", "40x", "-40", "0", "\uff14\uff10"])
async def test_another_number_approves_nothing(redis: ArqRedis, server: EmbeddedServer, typed: str) -> None:
    async with stage(redis, server, World(100, read_only=range(1, 11))) as on:
        job, [anna] = await a_plan(redis), on.people
        screen = await approve(anna, job, typed)
        assert (screen.status, "That is not 40. Nothing was approved." in screen.text) == (422, True)
        assert f"/jobs/{job.id}/approve" in screen.markup.actions(), "the user can try again"
        assert (await read_job(redis, job.id)).state is State.AWAITING_APPROVAL
        assert not on.portal.truth.of_kind("delete")


async def test_the_beginning_of_a_digest_does_not_stand_for_the_number(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with stage(redis, server, World(100)) as on:
        job, [anna] = await a_plan(redis), on.people
        for digest in (digest_of(job)[:12], digest_of(job).upper()):
            screen = await approve(anna, job, "", digest)
            assert (screen.status, "Nothing was approved." in screen.text) == (422, True)
        assert (await read_job(redis, job.id)).state is State.AWAITING_APPROVAL


@pytest.mark.parametrize("typed", ["40", " 40 ", "4_0", "50"])
async def test_the_number_of_deletable_contacts_or_of_all_approves_the_plan(
    redis: ArqRedis, server: EmbeddedServer, typed: str
) -> None:
    async with stage(redis, server, World(100, read_only=range(1, 11))) as on:
        job, [anna] = await a_plan(redis), on.people
        screen = await approve(anna, job, typed)
        assert (screen.status, screen.location) == (303, f"/jobs/{job.id}?did=approve")
        job = await ended(redis, job.id)
        assert job.counts[Outcome.DELETED] == 40
        assert ("anna", "approve") in [(action.by, action.action) for action in job.actions]
        shown = await anna.look(f"/jobs/{job.id}")
        assert "Some of the contacts" not in shown.text
        assert shown.markup.all("a", href=f"/jobs/{job.id}/ledger?against_plan=true&format=csv")


@pytest.mark.parametrize(
    ("digest", "status", "told"),
    [
        ("", 422, "The approval did not say which plan it was about."),
        ("f" * 64, 409, "The plan of this job is not the one that you approved."),
        ("abc", 409, "The plan of this job is not the one that you approved."),
        ("<b>", 409, "Look at the plan below, and approve that one."),
    ],
)
async def test_another_digest_approves_nothing(
    redis: ArqRedis, server: EmbeddedServer, digest: str, status: int, told: str
) -> None:
    async with stage(redis, server, World(100)) as on:
        job, [anna] = await a_plan(redis), on.people
        screen = await approve(anna, job, "50", digest)
        assert (screen.status, told in screen.text) == (status, True)
        assert (await read_job(redis, job.id)).state is State.AWAITING_APPROVAL
        assert not on.portal.truth.of_kind("delete")


async def test_an_expired_plan_is_not_approved_and_says_what_to_do(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with stage(redis, server, World(100)) as on:
        job, [anna] = await a_plan(redis), on.people
        await redis.execute_command("HSET", keys.job(job.id), "plan_expires_ms", 1)
        shown = await anna.look(f"/jobs/{job.id}")
        assert "The plan is too old to be approved. Cancel the job, and make a new plan." in shown.text
        assert f"/jobs/{job.id}/approve" not in shown.markup.actions()
        screen = await approve(anna, job, "50")
        assert (screen.status, "The plan is too old to be approved." in screen.text) == (409, True)
        assert (await read_job(redis, job.id)).state is State.AWAITING_APPROVAL


async def test_a_plan_that_deletes_too_much_of_the_portal_says_so(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with stage(redis, server, World(100), max_share=0.2) as on:
        job, [anna] = await a_plan(redis), on.people
        shown = await anna.look(f"/jobs/{job.id}")
        assert "max_share allows 20.00%: it cannot be approved" in shown.text
        screen = await approve(anna, job, "50")
        assert (screen.status, "a larger share of the portal than max_share allows" in screen.text) == (409, True)
        assert (await read_job(redis, job.id)).state is State.AWAITING_APPROVAL


async def test_a_second_person_approves_what_the_first_one_may_not(redis: ArqRedis, server: EmbeddedServer) -> None:
    people = api_key("anna"), api_key("sender")
    async with stage(redis, server, World(100), *people, second_person_above=10) as on:
        anna, ben = on.people
        draft = (await anna.upload("\n".join(map(str, range(1, 21))), plan="yes")).location
        sent = await anna.send(draft, do="plan")
        job = await planned(redis, sent.location.removeprefix("/jobs/").partition("?")[0])
        assert "Somebody other than its submitter has to approve this job." in (await anna.look(f"/jobs/{job.id}")).text
        screen = await approve(anna, job, "20")
        assert (screen.status, "Ask a colleague to log in with a key of their own" in screen.text) == (403, True)
        assert (await read_job(redis, job.id)).state is State.AWAITING_APPROVAL
        assert (await approve(ben, job, "20")).status == 303
        assert (await ended(redis, job.id)).counts[Outcome.DELETED] == 20


async def test_of_two_who_approve_one_is_told_that_the_other_was_faster(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with stage(redis, server, World(100), cooling_off_s=3600) as on:
        job, [anna] = await a_plan(redis), on.people
        assert (await approve(anna, job, "50")).status == 303
        late = await approve(anna, job, "50")
        assert (late.status, "Nothing has changed: approve is not possible" in late.text) == (409, True)
        cooling = await anna.look(f"/jobs/{job.id}")
        assert "It is approved, and can be cancelled before its first contact is deleted, until 20" in cooling.text
        assert (await anna.send(f"/jobs/{job.id}/cancel")).status == 303
        assert (await ended(redis, job.id)).counts[Outcome.SKIPPED] == 50


async def test_a_canary_is_shown_beside_its_prediction(redis: ArqRedis, server: EmbeddedServer) -> None:
    world = World(200, read_only=range(1, 21))
    async with stage(redis, server, world, canary="20", canary_departures=0) as on:
        job, [anna] = await a_plan(redis, range(1, 101)), on.people
        world.read_only.update(range(21, 101))
        world.settle()
        assert (await approve(anna, job, "80")).status == 303
        job = await in_state(redis, job.id, State.PAUSED)
        assert job.canary is not None
        assert job.canary.departed == 16
        shown = await anna.look(f"/jobs/{job.id}")
        assert "Compare what became of it with the prediction below, then press Resume" in shown.text
        assert "16 of these ended otherwise than the plan predicted." in shown.text
        assert "Deleted 80 % 0 % (0)" in shown.text
        assert "Refused 20 % 100 % (20)" in shown.text
        assert {f"/jobs/{job.id}/resume"} <= shown.markup.actions()
        assert shown.markup.all("a", href=f"/jobs/{job.id}/cancel")
        lines = (await anna.look(f"/jobs/{job.id}/ledger?against_plan=true&format=csv")).html.splitlines()
        assert lines[0].endswith(",verdict")
        assert len(lines) == 17
        assert all(line.endswith(",deletable") for line in lines[1:])


async def test_a_job_without_a_plan_is_approved_as_ever(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with stage(redis, server, World(100), approval_above=2) as on:
        [anna] = on.people
        draft = (await anna.upload("1\n2\n3\n")).location
        await anna.send(draft, do="submit", count="3")
        [job] = (await list_jobs(redis)).jobs
        shown = await anna.look(f"/jobs/{job.id}")
        assert "Press Approve to let it start." in shown.text
        assert not shown.markup.all("input", name="digest")
        assert (await anna.send(f"/jobs/{job.id}/approve")).status == 303
        assert (await ended(redis, job.id)).counts[Outcome.DELETED] == 3


@pytest.mark.parametrize("how", ["box", "button", "plan_required", "plan_above"])
async def test_a_list_is_planned_where_that_is_asked_for_or_required(
    redis: ArqRedis, server: EmbeddedServer, how: str
) -> None:
    wanted: dict[str, dict[str, Any]] = {"plan_required": {"plan_required": True}, "plan_above": {"plan_above": 2}}
    async with stage(redis, server, World(100), works=False, **wanted.get(how, {})) as on:
        [anna] = on.people
        draft = (await anna.upload("1\n2\n3\n", **({"plan": "yes"} if how == "box" else {}))).location
        shown = await anna.look(draft)
        boxes = [attributes for attributes in shown.markup.all("input", type="checkbox") if "disabled" in attributes]
        assert ["checked" in box for box in boxes] == ([] if how == "button" else [True])
        assert ("in one job only with a plan" in shown.text) is how.startswith("plan_")
        # Nothing is deleted by a plan, so nothing has to be typed; asking for a deletion does not leave it out.
        assert (await anna.send(draft, do="plan" if how == "button" else "submit")).status == 303
    [job] = (await list_jobs(redis)).jobs
    assert (job.state, job.total) == (State.PLANNING, 3)


async def test_a_plan_that_is_required_meanwhile_is_not_left_out(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with stage(redis, server, World(100), works=False) as on:
        draft = (await on.people[0].upload("1\n2\n3\n")).location
    async with stage(redis, server, World(100), works=False, plan_required=True) as on:
        screen = await on.people[0].send(draft, do="submit", count="3")
        assert (screen.status, "in one job only with a plan" in screen.text) == (422, True)
        assert not (await list_jobs(redis)).jobs
        assert (await on.people[0].send(draft, do="plan")).status == 303


async def test_a_filter_that_selects_more_than_a_key_may_submit_fails(redis: ArqRedis, server: EmbeddedServer) -> None:
    world = World(100, tagged={"trash": range(1, 11)})
    async with stage(redis, server, world, api_key("anna", max_contacts=9)) as on:
        [anna] = on.people
        sent = await anna.send("/new/filter", portal="main", tags="trash")
        job = await planned(redis, sent.location.removeprefix("/jobs/").partition("?")[0])
        assert job.state is State.FAILED
        shown = await anna.look(f"/jobs/{job.id}")
        assert "selects 10 contacts, and the key of its submitter allows 9 per job" in shown.text


async def test_a_filter_that_selects_nothing_says_so(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with stage(redis, server, World(20)) as on:
        job = await planned(redis, await plan_of_filter(redis, tags=("nobody",)))
        shown = await on.people[0].look(f"/jobs/{job.id}")
    assert "The filter selects no contact, so nothing was deleted." in shown.text


async def test_before_a_worker_comes_the_screen_says_what_planning_waits_for(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with stage(redis, server, World(20), works=False) as on:
        [anna] = on.people
        job_id = await plan_of_list(redis, BitMap([1, 2, 3]))
        shown = await anna.look(f"/jobs/{job_id}")
        assert "No contact has been read yet" in shown.text
        assert "No worker is running" in shown.text
        assert "No worker is running" in (await anna.look("/")).text
        survey = {"read": 1200, "expected": 3000, "selected": 140, "calls": 3}
        for name, number in survey.items():
            await redis.execute_command("HSET", keys.job(job_id), f"survey_{name}", number)
        shown = await anna.look(f"/jobs/{job_id}")
        assert "1 200 of about 3 000 contacts read, 140 selected so far, 3 calls" in shown.text
        assert "40 %" in shown.text
        assert (await anna.look(f"/jobs/{job_id}/plan?format=csv")).status == 409, "there is none yet"
