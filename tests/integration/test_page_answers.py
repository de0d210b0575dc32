"""What every answer of the page keeps to: a strict policy, nothing hostile gets through, errors are a screen."""

import re

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from config.redis_url import RedisUrl
from config.settings import RedisConfig
from jobs.accept.reject import reject_job
from jobs.accept.submit import submit
from jobs.store import keys
from jobs.store.connection import connect
from jobs.words.states import State
from tests.conftest import settings_for
from tests.support.browsing import Screen, api_key, portal, settings_with, visiting
from tests.support.submitting import request
from web.page.assets import assets

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}&amp;\u202e"


async def a_job(redis: ArqRedis, **facts: object) -> str:
    submission = request(portal="main", ids=BitMap([1, 2, 3]), **facts)
    return (await submit(redis, submission)).job_id


def check_policy(screen: Screen) -> None:
    """Check a screen against what its own policy demands, and what the policy cannot demand."""
    policy = dict(part.strip().partition(" ")[::2] for part in screen.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src", "form-action")} == {"'self'"}
    assert "unsafe" not in screen.headers["Content-Security-Policy"]
    assert screen.headers["X-Content-Type-Options"] == "nosniff"
    assert screen.headers["Cache-Control"] == "no-store"
    assert screen.headers["X-Frame-Options"] == "DENY"
    assert screen.headers["Content-Type"] == "text/html; charset=utf-8"
    for tag, attributes in screen.markup.elements:
        assert tag not in {"style", "base", "iframe", "object", "embed"}
        assert tag != "script" or (attributes.get("src") or "").startswith("/static/")
        assert not [name for name in attributes if name == "style" or name.startswith("on")], (tag, attributes)
        for name in ("src", "href", "action"):
            target = attributes.get(name)
            assert target is None or target.startswith(("/", "#")), (tag, attributes)
            assert target is None or not target.startswith("//"), (tag, attributes)
    ids = [attributes["id"] for _, attributes in screen.markup.elements if attributes.get("id")]
    assert len(ids) == len(set(ids)), "each id occurs once"


async def test_every_screen_keeps_to_a_strict_policy(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_with(server, api_key("anna"))
    async with visiting(settings, redis, "anna", "") as [anna, stranger]:
        check_policy(await anna.look("/"))
        job_id = await a_job(redis, label="spring")
        draft = (await anna.upload("7\n8\n")).location
        paths = ["/", "/?state=paused", f"/jobs/{job_id}", f"/jobs/{job_id}?did=pause", f"/jobs/{job_id}/ledger"]
        paths += [f"/jobs/{job_id}/cancel", "/new", draft, "/portals", "/schedules", "/jobs/unknown", "/?cursor=x"]
        for path in paths:
            check_policy(await anna.look(path))
        check_policy(await anna.upload("no number\n"))
        check_policy(await anna.send(draft, count="wrong"))
        check_policy(await anna.send("/logout", csrf="wrong"))
        check_policy(await stranger.look("/login"))
        check_policy(await stranger.send("/login", key="wrong"))


async def test_no_screen_tells_an_address_or_a_credential(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_with(server, api_key("anna"))
    async with visiting(settings, redis, "anna") as [anna]:
        job_id = await a_job(redis)
        for path in ("/", f"/jobs/{job_id}", "/portals", "/schedules", "/new", "/jobs/unknown"):
            html = (await anna.look(path)).html
            for secret in ("hidden.example", "token-of", "secret-key", settings.api.keys[0].key_sha256, "127.0.0.1"):
                assert secret not in html, path


async def test_labels_and_errors_are_shown_as_they_are_and_do_nothing(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis, label="<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}&amp;")
    await redis.execute_command("HSET", keys.job(job_id), "last_error", HOSTILE, "state_reason", HOSTILE)
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        await anna.send(f"/jobs/{job_id}/pause")
        for path in ("/", f"/jobs/{job_id}", f"/jobs/{job_id}/cancel", f"/jobs/{job_id}/ledger"):
            screen = await anna.look(path)
            check_policy(screen)
            assert "{{7*7}}&amp;" in screen.text, path
            assert not screen.markup.all("img"), path


@pytest.mark.parametrize("job_id", ['a"b', "<b>", "a/b", "../..", "a?b#c", "ä 1", "%2e"])
async def test_an_id_that_came_from_elsewhere_leads_to_its_job(
    redis: ArqRedis, server: EmbeddedServer, job_id: str
) -> None:
    """The intake refuses such IDs; the page does not rely on it."""
    ordinary = await a_job(redis)
    await redis.rename(keys.job(ordinary), keys.job(job_id))
    await redis.zadd(keys.JOBS, {job_id: 1})
    await redis.zrem(keys.JOBS, ordinary)
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        listed = await anna.look("/")
        check_policy(listed)
        [link] = {found["href"] for found in listed.markup.all("a") if (found["href"] or "").startswith("/jobs/")}
        assert link
        assert re.fullmatch(r"/jobs/[A-Za-z0-9._~%-]+", link)
        if job_id not in {"../..", "%2e", "a/b"}:  # clients treat dots and encoded separators as something else
            shown = await anna.look(link)
            assert (shown.status, job_id in shown.text) == (200, True)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/jobs/unknown", 404),
        ("/jobs/unknown/ledger?format=csv", 404),
        ("/jobs/unknown/events", 404),
        ("/?state=sideways", 404),
        ("/?cursor=sideways", 404),
        ("/new/unknown", 404),
    ],
)
async def test_errors_are_a_screen(redis: ArqRedis, server: EmbeddedServer, path: str, status: int) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        screen = await anna.look(path)
        assert screen.status == status
        check_policy(screen)


@pytest.mark.parametrize("query", ["outcome=sideways", "format=xml", "format=", "outcome=failed&format=pickle"])
async def test_a_ledger_of_another_form_is_not_there(redis: ArqRedis, server: EmbeddedServer, query: str) -> None:
    job_id = await a_job(redis)
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        assert (await anna.look(f"/jobs/{job_id}/ledger?{query}")).status == 404


async def test_an_outage_of_redis_is_told_on_the_page(redis: ArqRedis, server: EmbeddedServer) -> None:
    nowhere = RedisUrl("redis://127.0.0.1:1/0")
    settings = settings_with(server, redis=RedisConfig(url=nowhere))
    away = connect(nowhere, patience_s=-5)
    async with visiting(settings, away, "") as [person]:
        for path in ("/", "/jobs/x", "/portals", "/schedules"):
            screen = await person.look(path)
            assert (screen.status, "Retry-After" in screen.headers) == (503, True)
            assert "cannot be reached" in screen.text
            check_policy(screen)
        assert (await person.look("/login")).status == 303
    await away.aclose(close_connection_pool=True)


async def test_a_request_that_was_wrong_says_what_was_wrong(redis: ArqRedis, server: EmbeddedServer) -> None:
    await reject_job(redis, "from-billing", "contact_ids: expected an array", by="arq")
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        for path in ("/", "/jobs/from-billing"):
            screen = await anna.look(path)
            check_policy(screen)
            assert "Job from-billing" in screen.text
            assert "contact_ids: expected an array" in screen.text
            assert "%" not in screen.text.replace(" 0 %", ""), "a share of nothing is not shown"


async def test_a_job_of_a_portal_that_is_gone_can_still_be_looked_at(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    async with visiting(settings_for(server, portal("new")), redis, "") as [person]:
        screen = await person.look(f"/jobs/{job_id}")
        assert (screen.status, "No call has been made yet" in screen.text) == (200, True)
        assert (await person.send(f"/jobs/{job_id}/cancel")).status == 303
        assert (await person.look("/?portal=main")).status == 200


async def test_a_head_request_gets_the_headers(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    async with visiting(settings_with(server, api_key("anna")), redis, "anna", "") as [anna, stranger]:
        for path in ("/", f"/jobs/{job_id}", f"/jobs/{job_id}/ledger", f"/jobs/{job_id}/events", "/portals", "/new"):
            head = await anna.ask("HEAD", path)
            assert (head.status, head.html) == (200, ""), path
        assert (await stranger.ask("HEAD", "/portals")).location == "/login?next=/portals"


async def test_the_notice_after_an_action_cannot_be_made_up(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    async with visiting(settings_with(server), redis, "") as [person]:
        assert "It pauses as soon as" in (await person.look(f"/jobs/{job_id}?did=pause")).text
        assert "visit-evil" not in (await person.look(f"/jobs/{job_id}?did=visit-evil")).html


async def test_files_are_kept_for_as_long_as_they_are_the_same(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "") as [stranger]:
        login = await stranger.look("/login")
        found = [found["src"] for found in login.markup.all("script")]
        found += [link["href"] for link in login.markup.all("link")]
        assert {(path or "").partition("?")[0] for path in found} == {f"/static/{name}" for name in assets()}
        for path in found:
            assert path
            file = await stranger.look(path)
            assert (file.status, file.headers["X-Content-Type-Options"]) == (200, "nosniff")
            assert "immutable" in file.headers["Cache-Control"]
            assert "Set-Cookie" not in file.headers
            again = await stranger.look(path, headers={"If-None-Match": file.headers["ETag"]})
            assert (again.status, again.html) == (304, "")
            stale = await stranger.look(path.partition("?")[0] + "?v=old")
            assert stale.headers["Cache-Control"] == "no-cache"
        for path in ("/static/", "/static/none.css", "/static/..%2fapp.py", "/static/%2e%2e%2fapp.py"):
            assert (await stranger.look(path)).status == 404


def test_scripts_load_nothing_and_run_no_text() -> None:
    for name, asset in assets().items():
        if name.endswith(".js"):
            code = asset.body.decode()
            assert not re.search(r"\beval\(|new Function|import |https?://", code), name
        if name.endswith(".css"):
            assert b"url(" not in asset.body
            assert b"@import" not in asset.body


async def test_a_state_has_a_label_and_a_reason_in_plain_words(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis, needs_approval=True)
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        waiting = await anna.look(f"/jobs/{job_id}")
        assert "It has to be approved first approval Press Approve to let it start." in waiting.text
        await anna.send(f"/jobs/{job_id}/approve")
        await anna.send(f"/jobs/{job_id}/pause")
        paused = await anna.look(f"/jobs/{job_id}")
        assert "anna paused it operator Press Resume to go on." in paused.text
        assert State.PAUSED in paused.text.lower()
