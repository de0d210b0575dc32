"""Calls through a real proxy and to a portal with a certificate of a private authority."""

import contextlib
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from config.proxy import Proxy
from tests.support.authority import Authority
from tests.support.forward_proxy import ForwardProxy, forward_proxy
from tests.support.raw_portal import RawPortal, answer, delete_all, error, raw_portal
from worker.portal_answers import Deleted, Failure, Remedy
from worker.portal_client import PortalClient
from worker.token_store import LocalTokenStore

#: The two ways in which a proxy is used.
TUNNEL, PLAIN = "tunnel", "plain"
PASSWORD = "hush-proxy-9"


async def _pace() -> None:
    pass


@asynccontextmanager
async def client_of(portal: RawPortal, **settings: object) -> AsyncIterator[PortalClient]:
    client = PortalClient(portal.config(**settings), LocalTokenStore(), _pace)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def behind_a_proxy(
    way: str, directory: Path, *, credentials: str = "", tls_to_proxy: bool = False
) -> AsyncIterator[tuple[RawPortal, ForwardProxy, dict[str, object]]]:
    """Run a portal behind a proxy; yield it with the settings to get there, without the proxy's credentials."""
    authority = Authority(directory)
    async with (
        raw_portal(delete_all, tls=authority.server() if way == TUNNEL else None) as portal,
        forward_proxy(credentials, tls=authority.server() if tls_to_proxy else None) as proxy,
    ):
        yield portal, proxy, {"proxy": proxy.url, "tls_ca_file": authority.file}


async def failure_of(portal: RawPortal, **settings: object) -> Failure:
    async with client_of(portal, **settings) as client:
        failure = await client.delete([1, 2, 3])
    assert isinstance(failure, Failure)
    return failure


def closed_port() -> int:
    """Return a port on which nothing listens."""
    with contextlib.closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize("tls_to_proxy", [False, True])
@pytest.mark.parametrize("way", [TUNNEL, PLAIN])
async def test_calls_go_through_the_proxy_and_its_credentials_to_it_alone(
    tmp_path: Path, way: str, tls_to_proxy: bool
) -> None:
    async with behind_a_proxy(way, tmp_path, credentials=f"ann:{PASSWORD}", tls_to_proxy=tls_to_proxy) as (
        portal,
        proxy,
        settings,
    ):
        who = {"proxy_username": "ann", "proxy_password": PASSWORD}
        async with client_of(portal, **settings, **who) as client:
            for _ in range(2):
                outcome = await client.delete([1, 2])
                assert isinstance(outcome, Deleted)
                assert set(outcome.listed) == {1, 2}
    host = portal.url.partition("://")[2]
    first = f"CONNECT {host} HTTP/1.1" if way == TUNNEL else f"PUT {portal.url}/api/2.0/crm/contact?fields=id HTTP/1.1"
    assert set(proxy.asked) == {first}
    assert len(proxy.asked) == (1 if way == TUNNEL else 2)
    assert len(portal.requests) == 2
    for request in portal.requests:
        assert "proxy-authorization" not in request.headers
        assert request.headers["authorization"] == "the-token"
        assert request.headers.get("cache-control") == (None if way == TUNNEL else "no-cache")
    if way == TUNNEL:
        assert "the-token" not in "".join(proxy.heads)


def test_on_uvloop_tls_inside_tls_is_the_same(tmp_path: Path) -> None:
    uvloop.run(test_calls_go_through_the_proxy_and_its_credentials_to_it_alone(tmp_path, TUNNEL, tls_to_proxy=True))


async def test_without_a_setting_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with forward_proxy() as proxy, raw_portal(delete_all) as portal:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with client_of(portal) as client:
            assert isinstance(await client.delete([1]), Deleted)
    assert proxy.asked == []


@pytest.mark.parametrize("way", [TUNNEL, PLAIN])
async def test_the_proxy_of_the_environment_is_used_where_it_is_wanted(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind_a_proxy(way, tmp_path, credentials=f"ann:{PASSWORD}") as (portal, proxy, settings):
        name = "HTTPS_PROXY" if way == TUNNEL else "HTTP_PROXY"
        monkeypatch.setenv(name, proxy.url.replace("://", f"://ann:{PASSWORD}@"))
        wanted = {"tls_ca_file": settings["tls_ca_file"], "proxy_from_environment": True}
        async with client_of(portal, **wanted) as client:
            assert isinstance(await client.delete([1]), Deleted)
        assert len(proxy.asked) == 1
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
        async with client_of(portal, **wanted) as client:
            assert isinstance(await client.delete([1]), Deleted)
        assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    ("way", "given", "doubtful"), [(TUNNEL, {}, False), (PLAIN, {}, True), (TUNNEL, {"proxy_password": "wrong"}, False)]
)
async def test_a_proxy_that_does_not_know_who_calls_stops_the_job_and_says_so(
    tmp_path: Path, way: str, given: dict[str, object], doubtful: bool, log: io.StringIO
) -> None:
    async with behind_a_proxy(way, tmp_path, credentials=f"ann:{PASSWORD}") as (portal, _, settings):
        who = {"proxy_username": "ann", **given} if given else {}
        failure = await failure_of(portal, **settings, **who)
        assert portal.requests == []
    assert (failure.action, failure.reason) == (Remedy.STOP, "portal_proxy")
    assert (failure.may_have_deleted, failure.sent) == (doubtful, doubtful)
    assert "proxy_username and proxy_password_file" in failure.message
    assert PASSWORD not in failure.message + log.getvalue()


@pytest.mark.parametrize(
    ("status", "action", "reason"),
    [
        (403, Remedy.STOP, "portal_proxy"),
        (404, Remedy.STOP, "portal_proxy"),
        (302, Remedy.STOP, "portal_proxy"),
        (429, Remedy.RETRY, "portal_unreachable"),
        (500, Remedy.RETRY, "portal_unreachable"),
        (502, Remedy.RETRY, "portal_unreachable"),
        (503, Remedy.RETRY, "portal_unreachable"),
        (504, Remedy.RETRY, "portal_unreachable"),
    ],
)
async def test_a_tunnel_that_is_refused_was_no_attempt(
    tmp_path: Path, status: int, action: Remedy, reason: str
) -> None:
    async with behind_a_proxy(TUNNEL, tmp_path) as (portal, proxy, settings):
        proxy.refuses = status
        failure = await failure_of(portal, **settings)
        assert portal.requests == []
    assert (failure.action, failure.reason) == (action, reason)
    assert (failure.may_have_deleted, failure.sent) == (False, False)
    assert "proxy" in failure.message


@pytest.mark.parametrize("status", [302, 307, 400, 402, 403, 404, 405, 407, 500, 502, 503, 504])
async def test_what_a_proxy_answers_itself_says_nothing_about_what_was_deleted(tmp_path: Path, status: int) -> None:
    """By then the portal has deleted, but the proxy did not like its answer."""
    async with behind_a_proxy(PLAIN, tmp_path) as (portal, proxy, settings):
        proxy.swallows = status
        failure = await failure_of(portal, **settings)
        assert len(portal.requests) == 1
    assert failure.may_have_deleted
    assert failure.settle_s >= 1
    assert failure.sent
    assert (failure.reason == "portal_proxy") is (status in {403, 407})
    assert "maybe from the proxy" in failure.message


async def test_an_empty_503_is_the_portals_word_only_where_no_proxy_could_have_said_it() -> None:
    async with forward_proxy() as proxy, raw_portal(answer(503)) as portal:
        assert not (await failure_of(portal)).may_have_deleted
        assert (await failure_of(portal, proxy=proxy.url)).may_have_deleted


@pytest.mark.parametrize("status", [400, 402])
async def test_the_apis_own_error_is_the_portals_word_through_a_proxy_as_well(status: int) -> None:
    async with forward_proxy() as proxy, raw_portal(error(status)) as portal:
        straight = await failure_of(portal)
        assert await failure_of(portal, proxy=proxy.url) == straight
        assert not straight.may_have_deleted


@pytest.mark.parametrize("status", [413, 429])
async def test_a_call_that_was_turned_away_unread_is_not_doubted(status: int) -> None:
    async with forward_proxy() as proxy, raw_portal(answer(status, "<html></html>")) as portal:
        assert not (await failure_of(portal, proxy=proxy.url)).may_have_deleted


@pytest.mark.parametrize("way", [TUNNEL, PLAIN])
async def test_a_proxy_that_is_away_is_waited_for(tmp_path: Path, way: str) -> None:
    async with behind_a_proxy(way, tmp_path) as (portal, _, settings):
        failure = await failure_of(portal, **settings | {"proxy": f"http://127.0.0.1:{closed_port()}"})
    assert (failure.action, failure.reason) == (Remedy.RETRY, "portal_unreachable")
    assert (failure.may_have_deleted, failure.sent) == (False, False)
    assert failure.message.startswith("no connection to the proxy; ")


async def test_a_proxy_without_a_name_is_told_from_a_portal_without_one(tmp_path: Path) -> None:
    async with behind_a_proxy(PLAIN, tmp_path) as (portal, _, settings):
        failure = await failure_of(portal, **settings | {"proxy": "http://proxy.invalid:3128"})
    assert (failure.reason, failure.sent) == ("portal_unreachable", False)
    assert failure.message.startswith("the proxy's name cannot be resolved; ")


async def test_a_proxy_that_cannot_reach_the_portal_is_told_from_one_that_is_away(tmp_path: Path) -> None:
    async with behind_a_proxy(TUNNEL, tmp_path) as (portal, _, settings):
        portal.url = f"https://127.0.0.1:{closed_port()}"
        failure = await failure_of(portal, **settings)
    assert (failure.reason, failure.sent) == ("portal_unreachable", False)
    assert failure.message.startswith("the proxy cannot reach the portal; ")


async def test_a_tunnel_that_breaks_while_it_is_opened_was_no_attempt(tmp_path: Path) -> None:
    async with behind_a_proxy(TUNNEL, tmp_path) as (portal, proxy, settings):
        proxy.breaks_off = True
        failure = await failure_of(portal, **settings)
        assert len(proxy.asked) == 1
    assert (failure.action, failure.reason) == (Remedy.RETRY, "portal_unreachable")
    assert (failure.may_have_deleted, failure.sent) == (False, False)


async def test_a_plain_call_that_the_proxy_drops_may_have_deleted(tmp_path: Path) -> None:
    async with behind_a_proxy(PLAIN, tmp_path) as (portal, proxy, settings):
        proxy.breaks_off = True
        failure = await failure_of(portal, **settings)
        assert len(proxy.asked) == 1  # never sent again automatically
    assert (failure.may_have_deleted, failure.sent) == (True, True)


@pytest.mark.parametrize("through_proxy", [False, True])
async def test_a_certificate_of_an_authority_that_is_not_trusted_stops_the_job_and_says_what_to_do(
    tmp_path: Path, through_proxy: bool
) -> None:
    async with behind_a_proxy(TUNNEL, tmp_path) as (portal, _, settings):
        stranger = Authority(tmp_path, "stranger").file
        proxied = {"proxy": settings["proxy"]} if through_proxy else {}
        for trusted in ({}, {"tls_ca_file": stranger}):
            failure = await failure_of(portal, **trusted, **proxied)
            assert (failure.action, failure.reason) == (Remedy.STOP, "portal_protocol")
            assert (failure.may_have_deleted, failure.sent) == (False, False)
            assert failure.message.startswith("the portal's certificate is not trusted; ")
            assert "tls_ca_file" in failure.message
        assert portal.requests == []


async def test_the_certificate_of_the_proxy_is_told_from_that_of_the_portal(tmp_path: Path) -> None:
    async with behind_a_proxy(PLAIN, tmp_path, tls_to_proxy=True) as (portal, _, settings):
        failure = await failure_of(portal, proxy=settings["proxy"])
    assert (failure.action, failure.reason, failure.sent) == (Remedy.STOP, "portal_proxy", False)
    assert failure.message.startswith("the proxy's certificate is not trusted; ")


@pytest.mark.parametrize("way", [TUNNEL, PLAIN])
async def test_tls_spoken_to_a_proxy_that_does_not_is_told(tmp_path: Path, way: str) -> None:
    async with behind_a_proxy(way, tmp_path) as (portal, proxy, settings):
        # The proxy waits for the end of what it takes for a request: connecting is given up after half of this time.
        impatient = {"proxy": proxy.url.replace("http:", "https:"), "request_timeout_s": 2.0}
        failure = await failure_of(portal, **settings | impatient)
    assert (failure.reason, failure.may_have_deleted, failure.sent) == ("portal_unreachable", False, False)
    assert "proxy" in failure.message


async def test_a_private_authority_is_trusted_without_a_proxy_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    bundle = tmp_path / "bundle.pem"
    # As exported on another system: with a byte order mark, words in another language, and another authority first.
    other = Authority(tmp_path, "other").file.read_bytes()
    bundle.write_bytes(b"\xef\xbb\xbf" + other + "# größte Stelle\r\n".encode() + authority.file.read_bytes())
    async with (
        raw_portal(delete_all, tls=authority.server()) as portal,
        client_of(portal, tls_ca_file=bundle) as client,
    ):
        assert isinstance(await client.delete([1]), Deleted)


def test_a_proxy_does_not_show_its_password() -> None:
    proxy = Proxy("http://proxy:3128", "proxy", "ann", PASSWORD)
    assert PASSWORD not in f"{proxy} {proxy!r}"
