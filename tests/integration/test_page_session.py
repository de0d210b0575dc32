"""Logging in to the page: what the cookie is, what Redis keeps of it, and how the session ends."""

import hashlib

import pytest
from arq.connections import ArqRedis

from cli.embedded import EmbeddedServer
from jobs.store.connection import connect
from tests.support.browsing import SECRETS, Screen, api_key, settings_with, visiting
from web.page.wrong_keys import TRIES, WrongKeys

SCREENS = ["/", "/jobs/x", "/jobs/x/ledger", "/jobs/x/cancel", "/new", "/new/x", "/portals", "/schedules"]


def cookie(screen: Screen) -> str:
    return screen.headers["Set-Cookie"]


@pytest.mark.parametrize("path", SCREENS)
async def test_a_stranger_is_asked_for_a_key_first(redis: ArqRedis, server: EmbeddedServer, path: str) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "") as [stranger]:
        screen = await stranger.look(path)
        assert screen.status == 303
        assert screen.location == ("/login" if path == "/" else f"/login?next={path}")


@pytest.mark.parametrize("path", ["/events", "/jobs/x/events", "/portals/events"])
async def test_a_stranger_gets_no_events(redis: ArqRedis, server: EmbeddedServer, path: str) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "") as [stranger]:
        assert (await stranger.look(path, headers={"Accept": "text/event-stream"})).status == 401


async def test_after_the_log_in_users_get_where_they_wanted_to(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "") as [anna]:
        asked = await anna.look("/login?next=/portals")
        screen = await anna.send("/login", key=f"  {SECRETS['anna']} ", next=asked.markup.value("next"))
        assert (screen.status, screen.location) == (303, "/portals")
        assert "anna" in (await anna.look("/portals")).text


@pytest.mark.parametrize(
    "goal",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "evil",
        "",
        "/\n/evil.example",
        "//[",
        "http://[",
    ],
)
async def test_nobody_is_sent_elsewhere_after_the_log_in(redis: ArqRedis, server: EmbeddedServer, goal: str) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "") as [anna]:
        asked = await anna.look("/login", params={"next": goal})
        assert asked.markup.value("next") == "/"
        screen = await anna.send("/login", key=SECRETS["anna"], next=goal)
        assert (screen.status, screen.location) == (303, "/")


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "") as [stranger]:
        plain = cookie(await stranger.look("/login"))
        secure = cookie(await stranger.look("/login", headers={"X-Forwarded-Proto": "https"}))
    attributes = {part.strip() for part in plain.split(";")[1:]}
    assert plain.startswith("crm-sweep=")
    assert attributes == {"HttpOnly", "Path=/", "SameSite=Lax"}
    assert secure.startswith("__Host-crm-sweep=")
    assert {part.strip() for part in secure.split(";")[1:]} == attributes | {"Secure"}


async def test_the_log_in_gives_a_new_token(redis: ArqRedis, server: EmbeddedServer) -> None:
    """An attacker who has planted a cookie before the log-in does not get in with it afterwards."""
    async with visiting(settings_with(server, api_key("anna")), redis, "", "") as [anna, thief]:
        planted = cookie(await anna.look("/login")).partition(";")[0]
        screen = await anna.send("/login", key=SECRETS["anna"], next="/")
        assert cookie(screen).partition(";")[0] != planted
        assert (await anna.look("/")).status == 200
        assert (await thief.look("/", headers={"Cookie": planted})).status == 303


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "é" * 64, "0" * 5000])
async def test_a_made_up_cookie_opens_nothing(redis: ArqRedis, server: EmbeddedServer, token: str) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna", "") as [_, stranger]:
        screen = await stranger.look("/", headers={"Cookie": f"crm-sweep={token}"})
        assert (screen.status, screen.location) == (303, "/login")


async def test_redis_holds_neither_key_nor_cookie(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        [kept] = [one.value for one in anna.client.cookie_jar]
        everything = b"".join([key + (await redis.dump(key) or b"") async for key in redis.scan_iter()])
    digest = hashlib.sha256(SECRETS["anna"].encode()).hexdigest()
    for secret in (SECRETS["anna"], kept, digest):
        assert secret.encode() not in everything
    assert b"anna" in everything, "the session is there"


async def test_a_wrong_key_is_told_and_tries_are_limited(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "", "") as [guesser, _]:
        for _ in range(TRIES):
            screen = await guesser.send("/login", key="<wrong>", next="/portals")
            assert (screen.status, screen.markup.value("next")) == (403, "/portals")
            assert "This key is not known" in screen.text
            assert "wrong&gt;" not in screen.html, "what was typed is not shown again"
        screen = await guesser.send("/login", key="<wrong>", next="/")
        assert screen.status == 429
        assert int(screen.headers["Retry-After"]) >= 1
        # Behind a proxy all users share one address: none may lock the others out.
        screen = await guesser.send("/login", key=SECRETS["anna"], next="/")
        assert (screen.status, screen.location) == (303, "/")


@pytest.mark.parametrize("path", ["/login", "/logout", "/jobs/x/pause", "/new"])
async def test_a_form_without_a_cookie_plants_none(redis: ArqRedis, server: EmbeddedServer, path: str) -> None:
    """Browsers do not send the cookie with requests from another site; a new one would end the existing session."""
    async with visiting(settings_with(server, api_key("anna")), redis, "") as [stranger]:
        screen = await stranger.ask("POST", path, data={"csrf": "x"})
        assert screen.status in {401, 403}
        assert "Set-Cookie" not in screen.headers


async def test_logging_out_ends_the_session_wherever_its_cookie_is(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna", "") as [anna, thief]:
        [kept] = [f"{one.key}={one.value}" for one in anna.client.cookie_jar]
        assert (await thief.look("/", headers={"Cookie": kept})).status == 200
        screen = await anna.send("/logout")
        assert (screen.status, screen.location) == (303, "/login")
        assert 'crm-sweep="";' in cookie(screen)
        assert (await thief.look("/", headers={"Cookie": kept})).status == 303
        assert (await anna.look("/")).status == 303


async def test_a_replaced_key_ends_its_sessions(redis: ArqRedis, server: EmbeddedServer) -> None:
    before = settings_with(server, api_key("anna"))
    async with visiting(before, redis, "anna") as [anna]:
        [kept] = [f"{one.key}={one.value}" for one in anna.client.cookie_jar]
    changed = api_key("anna").model_copy(update={"key_sha256": "0" * 64})
    async with visiting(settings_with(server, changed), redis, "") as [late]:
        assert (await late.look("/", headers={"Cookie": kept})).status == 303


async def test_the_cookie_means_nothing_to_the_api(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        assert (await anna.look("/")).status == 200
        for method, path in (("GET", "/v1/jobs"), ("GET", "/v1/portals"), ("POST", "/v1/jobs"), ("GET", "/v1/jobs/x")):
            assert (await anna.ask(method, path)).status == 401, path


async def test_without_keys_there_is_no_log_in(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server), redis, "") as [person]:
        screen = await person.look("/")
        assert screen.status == 200
        assert "/logout" not in screen.markup.actions()
        assert (await person.look("/login")).location == "/"


async def test_a_session_is_read_on_every_server(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_with(server, api_key("anna"))
    other_redis = connect(server.url)
    async with visiting(settings, redis, "anna") as [anna], visiting(settings, other_redis, "") as [elsewhere]:
        [kept] = [f"{one.key}={one.value}" for one in anna.client.cookie_jar]
        assert (await elsewhere.look("/", headers={"Cookie": kept})).status == 200
    await other_redis.aclose(close_connection_pool=True)


async def test_one_second_of_waiting_is_told_as_one(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WrongKeys, "wait_s", lambda *_: 0.4)
    async with visiting(settings_with(server, api_key("anna")), redis, "") as [stranger]:
        told = await stranger.send("/login", key="wrong", next="/")
        assert told.status == 429
        assert "Try again in 1 second." in told.text
