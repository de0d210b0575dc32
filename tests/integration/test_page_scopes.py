"""What a key does not allow is neither offered by the page nor carried out by it."""

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from jobs.accept.submit import submit
from jobs.view.job import list_jobs, read_job
from jobs.words.states import State
from tests.support.browsing import api_key, settings_with, visiting
from tests.support.submitting import request


async def test_a_key_that_reads_sees_everything_and_no_button(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = (await submit(redis, request(portal="main", ids=BitMap([1]), label="spring"))).job_id
    settings = settings_with(server, api_key("reader", "read"))
    async with visiting(settings, redis, "reader") as [reader]:
        for path in ("/", f"/jobs/{job_id}", f"/jobs/{job_id}/ledger", "/portals", "/schedules"):
            screen = await reader.look(path)
            assert screen.status == 200
            assert screen.markup.actions() == {"/logout"}, path
            assert not screen.markup.all("a", href="/new"), path
            assert not screen.markup.all("a", href=f"/jobs/{job_id}/cancel"), path


@pytest.mark.parametrize(
    ("scopes", "method", "path"),
    [
        (("read", "submit"), "POST", "/jobs/JOB/pause"),
        (("read", "submit"), "POST", "/jobs/JOB/cancel"),
        (("read", "submit"), "GET", "/jobs/JOB/cancel"),
        (("read", "submit"), "POST", "/jobs/JOB/priority"),
        (("read", "submit"), "POST", "/portals/main"),
        (("read", "control"), "GET", "/new"),
        (("read", "control"), "POST", "/new"),
        (("read", "control"), "POST", "/new/x"),
        (("read", "control"), "GET", "/new/filter"),
        (("read", "control"), "POST", "/new/filter"),
        (("submit", "control"), "GET", "/jobs/JOB/plan?format=csv"),
        (("submit", "control"), "GET", "/"),
        (("submit", "control"), "GET", "/events"),
        (("submit", "control"), "GET", "/jobs/JOB"),
        (("submit", "control"), "GET", "/jobs/JOB/ledger?format=csv"),
        (("submit", "control"), "GET", "/jobs/JOB/events"),
        (("submit", "control"), "GET", "/portals"),
        (("submit", "control"), "GET", "/schedules"),
    ],
)
async def test_what_needs_another_scope_is_refused(
    redis: ArqRedis, server: EmbeddedServer, scopes: tuple[str, ...], method: str, path: str
) -> None:
    job_id = (await submit(redis, request(portal="main", ids=BitMap([1])))).job_id
    async with visiting(settings_with(server, api_key("sender", *scopes)), redis, "sender") as [sender]:
        form = {"priority": "urgent", "do": "reset", "csrf": ""}
        screen = await sender.ask(method, path.replace("JOB", job_id), data=form if method == "POST" else None)
        assert screen.status == 403
        assert "lacks the scope" in screen.text
    job = await read_job(redis, job_id)
    assert (job.state, job.actions) == (State.QUEUED, ())


async def test_other_portals_do_not_exist_for_a_key_with_portals(redis: ArqRedis, server: EmbeddedServer) -> None:
    mine = (await submit(redis, request(portal="main", ids=BitMap([1]), label="of-main"))).job_id
    hidden = (await submit(redis, request(portal="other", ids=BitMap([1]), label="of-other"))).job_id
    settings = settings_with(server, api_key("anna", portals=["main"]))
    async with visiting(settings, redis, "anna") as [anna]:
        for path in ("/", "/?portal=other", "/?state=queued", "/portals", "/new"):
            screen = await anna.look(path)
            text = screen.html
            assert "of-other" not in text, path
            assert hidden not in text, path
            assert "other" not in screen.text.split(), path
        assert "of-main" in (await anna.look("/")).text
        assert (await anna.look(f"/jobs/{mine}")).status == 200
        for path in ("", "/events", "/ledger", "/ledger?format=csv", "/ledger?against_plan=true", "/plan", "/cancel"):
            assert (await anna.look(f"/jobs/{hidden}{path}")).status == 404, path
        assert (await anna.send(f"/jobs/{hidden}/pause")).status == 404
        assert (await anna.send("/portals/other", do="reset")).status == 404
        assert (await anna.upload("5\n", portal="other")).status == 404
    assert (await read_job(redis, hidden)).state is State.QUEUED
    assert len((await list_jobs(redis)).jobs) == 2


async def test_a_key_submits_no_more_than_it_may(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_with(server, api_key("anna", max_contacts=3))
    async with visiting(settings, redis, "anna") as [anna]:
        screen = await anna.upload("1\n2\n3\n4\n")
        assert (screen.status, "4 contacts, and this key may submit at most 3" in screen.text) == (403, True)
        assert (await anna.upload("1\n2\n3\n3\n")).status == 303
    assert not (await list_jobs(redis)).jobs


async def test_a_ceiling_lowered_meanwhile_holds_for_a_list_that_waits(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        draft = (await anna.upload("1\n2\n3\n4\n")).location
    async with visiting(settings_with(server, api_key("anna", max_contacts=3)), redis, "anna") as [anna]:
        assert (await anna.send(draft, do="submit", count="4")).status == 403
    assert not (await list_jobs(redis)).jobs
