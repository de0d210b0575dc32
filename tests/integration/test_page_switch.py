"""The stop switch on the page: it asks first, every screen says what is stopped, and each key sees what concerns it."""

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from jobs.accept.submit import submit
from jobs.steering.switch import Switch, switch
from jobs.view.stops import read_stops
from tests.support.browsing import Screen, api_key, settings_with, visiting
from tests.support.submitting import request


async def stopped(redis: ArqRedis) -> list[tuple[str | None, str]]:
    return [(stop.portal, stop.by) for stop in await read_stops(redis)]


def options(screen: Screen) -> list[str | None]:
    return [option["value"] for option in screen.markup.all("option")]


async def test_deletions_are_stopped_and_started_in_two_steps_each(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        assert (await anna.look("/")).markup.all("a", href="/stop")
        question = await anna.look("/stop")
        assert question.markup.actions() == {"/stop", "/logout"}
        assert options(question) == ["", "main", "other"]
        assert await stopped(redis) == [], "looking changes nothing"
        assert (await anna.send("/stop", portal="")).location == "/portals?did=stop"
        assert await stopped(redis) == [(None, "anna")]
        shown = await anna.look("/portals?did=stop")
        assert "No deletion leaves from the next batch on" in shown.text
        assert "Deletions are stopped at all portals by anna, since" in shown.text
        assert shown.markup.all("a", href="/start?portal=")
        assert options(await anna.look("/start")) == [""]
        assert (await anna.send("/start", portal="")).location == "/portals?did=start"
        assert await stopped(redis) == []
        assert "Nothing is stopped that this key may start" in (await anna.look("/start")).text


async def test_every_screen_says_that_deletions_are_stopped(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_with(server, api_key("anna"), api_key("reader", "read"))
    job_id = (await submit(redis, request(portal="main", ids=BitMap([1, 2])))).job_id
    async with visiting(settings, redis, "anna", "reader", "") as [anna, reader, stranger]:
        draft = (await anna.upload("7\n8\n")).location
        await switch(redis, Switch.STOP, [settings.portals["main"]], of_all=False, by="ben <b>")
        line = "Deletions are stopped at main by ben <b>, since"
        paths = ("/", f"/jobs/{job_id}", f"/jobs/{job_id}/ledger", "/portals")
        more = ("/new", "/new/filter", draft, f"/jobs/{job_id}/cancel", "/stop", "/start", "/jobs/unknown")
        for path in (*paths, *more):
            screen = await anna.look(path)
            assert line in screen.text, path
            assert "ben <b>" not in screen.html, path
            assert screen.markup.all("a", href="/start?portal=main"), path
        wrong = await anna.send(draft, do="submit", count="3")
        assert (wrong.status, line in wrong.text) == (422, True)
        for path in paths:
            screen = await reader.look(path)
            assert line in screen.text, path
            assert not screen.markup.all("a", href="/start?portal=main"), path
            assert not screen.markup.all("a", href="/stop"), path
        assert "Deletions are stopped" not in (await stranger.look("/login")).text


async def test_a_key_with_portals_sees_and_turns_only_their_switches(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_with(server, api_key("anna", portals=["main"]))
    async with visiting(settings, redis, "anna") as [anna]:
        assert options(await anna.look("/stop")) == ["main"]
        assert (await anna.send("/stop", portal="")).status == 403
        assert (await anna.send("/stop", portal="other")).status == 404
        assert await stopped(redis) == []
        await switch(redis, Switch.STOP, [settings.portals["other"]], of_all=False, by="ben")
        assert "Deletions are stopped" not in (await anna.look("/")).text
        assert (await anna.send("/stop", portal="main")).status == 303
        assert "Deletions are stopped at main by anna" in (await anna.look("/")).text
        await switch(redis, Switch.STOP, list(settings.portals.values()), of_all=True, by="ben")
        assert "Deletions are stopped at all portals by ben" in (await anna.look("/")).text
        assert options(await anna.look("/start?portal=")) == ["main"], "a stop of all is not theirs to lift"
        assert (await anna.send("/start", portal="")).status == 403
        assert (await anna.send("/start", portal="main")).status == 303
    assert await stopped(redis) == [(None, "ben"), ("other", "ben")]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/stop", "/start"])
async def test_the_switch_needs_the_scope_control(
    redis: ArqRedis, server: EmbeddedServer, method: str, path: str
) -> None:
    async with visiting(settings_with(server, api_key("sender", "read", "submit")), redis, "sender") as [sender]:
        screen = await sender.ask(method, path, data={"portal": "main"} if method == "POST" else None)
        assert (screen.status, "lacks the scope" in screen.text) == (403, True)
    assert await stopped(redis) == []
