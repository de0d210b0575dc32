"""Forms of the page: only those that the page itself has issued change anything."""

from typing import Any

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from config.settings import Settings
from jobs.accept.submit import submit
from jobs.lanes import presence
from jobs.store import keys
from jobs.store.times import clock, iso
from jobs.view.job import Job, list_jobs, read_job
from jobs.view.portal import read_portal
from jobs.view.stops import read_stops
from jobs.words.states import Event, State
from tests.support.browsing import Person, api_key, multipart, settings_with, visiting
from tests.support.submitting import request
from web.app import make_app
from web.page.words import VERBS, path_word

VERB_WORDS = [path_word(event) for event in VERBS]


async def a_job(redis: ArqRedis, **facts: Any) -> str:
    return (await submit(redis, request(portal="main", ids=BitMap([1, 2, 3]), **facts))).job_id


async def posts(person: Person, settings: Settings, redis: ArqRedis, job_id: str) -> list[tuple[str, dict[str, str]]]:
    """Return every address of the page that takes a form, with a form that would be carried out."""
    draft = (await person.upload("7\n8\n")).location
    given = {
        "/login": {"key": "anna-secret-key"},
        "/logout": {},
        "/new": {"portal": "main"},
        "/new/filter": {"portal": "main", "tags": "trash"},
        "/new/{draft_id}": {"count": "2", "do": "submit"},
        "/portals/{name}": {"requests_per_second": "1", "max_concurrency": "2", "do": "set"},
        "/{to}": {"portal": ""},
    }
    routes = make_app(settings, redis).router.routes()
    paths = {route.resource.canonical for route in routes if route.method == "POST" and route.resource}
    found = []
    for path in sorted(path for path in paths if not path.startswith("/v1/")):
        if "{verb}" in path:
            found += [(f"/jobs/{job_id}/{verb}", {"priority": "urgent"}) for verb in [*VERB_WORDS, "priority"]]
        else:
            address = path.replace("/new/{draft_id}", draft).replace("{name}", "main").replace("{to}", "stop")
            found.append((address, given[path]))
    assert len(found) == len(given) + len(VERB_WORDS) + 1
    return found


async def as_it_was(redis: ArqRedis, settings: Settings, job: Job) -> None:
    assert await read_job(redis, job.id) == job
    assert len((await list_jobs(redis)).jobs) == 1
    portal = await read_portal(redis, settings.portals["main"])
    assert (portal.requests_per_second, portal.actions) == (portal.configured_requests_per_second, ())
    assert await read_stops(redis) == []


@pytest.mark.parametrize("token", ["", "0" * 64, "another's", "é"])
async def test_a_form_without_its_token_changes_nothing(redis: ArqRedis, server: EmbeddedServer, token: str) -> None:
    settings = settings_with(server, api_key("anna"))
    job = await read_job(redis, await a_job(redis))
    async with visiting(settings, redis, "anna", "") as [anna, stranger]:
        wrong = await stranger.csrf() if token == "another's" else token
        for path, fields in await posts(anna, settings, redis, job.id):
            data: Any = {"csrf": wrong, **fields}
            if path == "/new":
                data = multipart(data, "5\n6\n")
            screen = await anna.ask("POST", path, data=data)
            assert screen.status == 403, path
            assert "Set-Cookie" not in screen.headers
        await as_it_was(redis, settings, job)
        assert (await anna.look("/")).status == 200, "still logged in"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ],
    ids=str,
)
async def test_a_form_from_another_site_changes_nothing(
    redis: ArqRedis, server: EmbeddedServer, headers: dict[str, str]
) -> None:
    settings = settings_with(server, api_key("anna"))
    job = await read_job(redis, await a_job(redis))
    async with visiting(settings, redis, "anna") as [anna]:
        token = await anna.csrf()
        for path, fields in await posts(anna, settings, redis, job.id):
            data: Any = {"csrf": token, **fields}
            if path == "/new":
                data = multipart(data, "5\n6\n")
            screen = await anna.ask("POST", path, data=data, headers=headers)
            assert screen.status == 403, path
        await as_it_was(redis, settings, job)


async def test_without_keys_forms_are_protected_all_the_same(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_with(server)
    job = await read_job(redis, await a_job(redis))
    async with visiting(settings, redis, "") as [person]:
        assert (await person.ask("POST", f"/jobs/{job.id}/pause", data={"csrf": ""})).status == 403
        headers = {"Origin": "http://evil.example"}
        assert (await person.ask("POST", f"/jobs/{job.id}/pause", data={}, headers=headers)).status == 403
        await as_it_was(redis, settings, job)
        screen = await person.send(f"/jobs/{job.id}/pause")
        assert screen.status == 303
    paused = await read_job(redis, job.id)
    assert (paused.state, paused.actions[-1].by) == (State.PAUSED, "local")


async def test_a_form_of_ones_own_is_carried_out(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        host = anna.url.partition("//")[2]
        token = await anna.csrf()
        for verb, headers in (
            ("pause", {"Origin": f"http://{host}"}),
            ("resume", {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}),
        ):
            screen = await anna.ask("POST", f"/jobs/{job_id}/{verb}", data={"csrf": token}, headers=headers)
            assert (screen.status, screen.location) == (303, f"/jobs/{job_id}?did={verb}")
        screen = await anna.send(f"/jobs/{job_id}/priority", priority="urgent")
        assert screen.status == 303
        shown = await anna.look(screen.location)
    job = await read_job(redis, job_id)
    assert [(one.by, one.action) for one in job.actions] == [
        ("anna", "pause"),
        ("anna", "resume"),
        ("anna", "priority"),
    ]
    assert job.priority == "urgent"
    assert "anna set the priority: urgent" in shown.text


async def test_what_the_state_does_not_allow_is_told_beside_the_job(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        screen = await anna.send(f"/jobs/{job_id}/resume")
        assert screen.status == 409
        assert (
            "Nothing has changed: resume is not possible while the job is queued; possible now: pause, cancel"
            in screen.text
        )
        assert f"/jobs/{job_id}/pause" in screen.markup.actions()


async def test_of_two_simultaneous_users_one_is_told_that_the_other_was_faster(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    job_id = await a_job(redis, needs_approval=True)
    async with visiting(settings_with(server, api_key("anna")), redis, "anna", "anna") as [one, two]:
        statuses = {(await person.send(f"/jobs/{job_id}/approve")).status for person in (one, two)}
    assert statuses == {303, 409}
    assert [action.action for action in (await read_job(redis, job_id)).actions] == ["approve"]


async def test_cancelling_asks_first(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        shown = await anna.look(f"/jobs/{job_id}")
        assert f"/jobs/{job_id}/cancel" not in shown.markup.actions()
        assert shown.markup.all("a", href=f"/jobs/{job_id}/cancel")
        question = await anna.look(f"/jobs/{job_id}/cancel")
        assert "Up to 3 contacts will never be sent" in question.text
        assert f"/jobs/{job_id}/cancel" in question.markup.actions()
        assert (await read_job(redis, job_id)).state is State.QUEUED
        assert (await anna.send(f"/jobs/{job_id}/cancel")).status == 303
    assert (await read_job(redis, job_id)).state is State.CANCELLED


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"requests_per_second": "0.5", "max_concurrency": "3"}, 303),
        ({"requests_per_second": "0,5", "max_concurrency": "3"}, 303),
        ({"requests_per_second": "0", "max_concurrency": "3"}, 422),
        ({"requests_per_second": "1e9", "max_concurrency": "3"}, 422),
        ({"requests_per_second": "nan", "max_concurrency": "3"}, 422),
        ({"requests_per_second": "5", "max_concurrency": "65"}, 422),
        ({"requests_per_second": "5", "max_concurrency": "many"}, 422),
        ({}, 422),
    ],
    ids=str,
)
async def test_limits_are_set_within_their_range_or_not_at_all(
    redis: ArqRedis, server: EmbeddedServer, fields: dict[str, str], status: int
) -> None:
    settings = settings_with(server, api_key("anna"))
    async with visiting(settings, redis, "anna") as [anna]:
        assert (await anna.send("/portals/main", do="set", **fields)).status == status
        now = await read_portal(redis, settings.portals["main"])
        assert (now.requests_per_second, now.max_concurrency) == ((0.5, 3) if status == 303 else (5.0, 1))
        assert (await anna.send("/portals/main", do="reset")).status == 303
        again = await read_portal(redis, settings.portals["main"])
        assert (again.requests_per_second, again.max_concurrency) == (5.0, 1)
        assert (await anna.send("/portals/nowhere", do="reset")).status == 404


async def test_what_is_left_as_it_was_keeps_following_the_configuration(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    settings = settings_with(server, api_key("anna"))
    async with visiting(settings, redis, "anna") as [anna]:
        await anna.send("/portals/main", do="set", requests_per_second="5", max_concurrency="2")
    portal = await read_portal(redis, settings.portals["main"])
    assert [action.detail for action in portal.actions] == ["max_concurrency 2"]


@pytest.mark.parametrize(
    "body", [b"%", b"csrf=%ff&key=%ff", b"\x00\xff", b"&" * 5000, b"csrf=+2AA-", b"csrf=" + b"x" * 900_000]
)
async def test_a_damaged_form_is_refused_quietly(redis: ArqRedis, server: EmbeddedServer, body: bytes) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "") as [stranger]:
        form = "application/x-www-form-urlencoded"
        bad_charsets = (f"{form}; charset={name}" for name in ("none", "rot13", "utf-16", "utf-7"))
        for content_type in (form, *bad_charsets, "multipart/form-data; boundary=x", "text/plain", ""):
            screen = await stranger.ask("POST", "/login", data=body, headers={"Content-Type": content_type})
            assert screen.status in {400, 403, 413, 415}, screen.text
            assert "Traceback" not in screen.html


def test_every_verb_has_a_button() -> None:
    asked = {Event.PAUSE, Event.RESUME, Event.CANCEL, Event.APPROVE, Event.RETRY_FAILED}
    assert set(VERBS) == asked


async def test_resume_ends_the_rest_of_a_portal_for_a_job_that_waits(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    await presence.beat(redis, "worker", ["main"], {})
    seconds, _ = await redis.time()
    for name in ("push_back_until_ms", "asked_until_ms"):
        await redis.execute_command("HSET", keys.portal("main"), name, (seconds + 3600) * 1000)
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        shown = await anna.look(f"/jobs/{job_id}")
        assert f", until {clock(iso((seconds + 3600) * 1000))}" in shown.text
        assert f"/jobs/{job_id}/resume" in shown.markup.actions(), "there is a button"
        answer = await anna.send(f"/jobs/{job_id}/resume")
        assert answer.location.endswith("did=rest-ended")
        assert "one careful call goes first" in (await anna.look(answer.location)).text
    assert await redis.execute_command("HGET", keys.portal("main"), "push_back_until_ms") is None
