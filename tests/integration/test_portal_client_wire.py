"""One call is one request on the wire, whatever happens to the connection."""

import asyncio
import gzip
import socket

import pytest
import uvloop
from pydantic import SecretStr

from config.portal import Portal
from tests.support.raw_portal import (
    Behave,
    answer,
    delete_all,
    disconnect,
    listing,
    raw_portal,
    reset,
    say_nothing,
    sending,
)
from worker.portal_answers import Deleted, Failure, Remedy
from worker.portal_client import PortalClient
from worker.token_store import LocalTokenStore

damaged_answers = pytest.mark.parametrize(
    "behave",
    [
        answer(200, listing([1]), length=10_000),
        sending(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"status":0,'),
        sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        sending(b"HTTP/1.1 200 OK\r\nContent-Le"),
        sending(b"SSH-2.0-OpenSSH_9.2\r\n"),
        sending(b"\x00\x01\x02"),
        answer(200, b"\x1f\x8b\x08garbage", {"Content-Encoding": "gzip"}),
        answer(200, gzip.compress(b'{"status":0}')[:-9], {"Content-Encoding": "gzip"}),
    ],
    ids=[
        "cut off",
        "cut off in a chunk",
        "bad chunk",
        "cut off in the head",
        "not HTTP",
        "binary",
        "gzip garbage",
        "gzip cut off",
    ],
)
broken_connections = pytest.mark.parametrize("end", [reset, disconnect])
lost_names = pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".invalid"])  # refused without any network


async def _no_pace() -> None:
    pytest.fail("a configured token needs no further request")


@broken_connections
@pytest.mark.parametrize("kept_alive", [False, True])
async def test_a_broken_connection_is_never_retried_automatically(end: Behave, kept_alive: bool) -> None:
    script = (delete_all, end, delete_all) if kept_alive else (end, delete_all)
    async with raw_portal(*script) as portal:
        client = PortalClient(portal.config(), LocalTokenStore(), _no_pace)
        if kept_alive:
            assert isinstance(await client.delete([1]), Deleted)
        failure = await client.delete([2])
        await client.close()
    assert isinstance(failure, Failure)
    assert (failure.action, failure.reason, failure.may_have_deleted) == (Remedy.RETRY, "connection_lost", True)
    assert failure.settle_s > 0
    assert [request.body for request in portal.requests].count(b'{"contactids":[2]}') == 1
    assert portal.connections == 1


@broken_connections
async def test_a_look_up_is_not_repeated_either_but_harmless(end: Behave) -> None:
    async with raw_portal(end) as portal:
        client = PortalClient(portal.config(), LocalTokenStore(), _no_pace)
        failure = await client.look_up([2])
        await client.close()
    assert isinstance(failure, Failure)
    assert (failure.may_have_deleted, failure.settle_s) == (False, 0)
    assert len(portal.requests) == 1


@damaged_answers
async def test_a_damaged_answer_leaves_everything_open(behave: Behave) -> None:
    async with raw_portal(behave) as portal:
        client = PortalClient(portal.config(), LocalTokenStore(), _no_pace)
        failure = await client.delete([1])
        await client.close()
    assert isinstance(failure, Failure)
    assert (failure.action, failure.may_have_deleted) == (Remedy.RETRY, True)
    assert failure.reason in {"answer_garbled", "connection_lost"}
    assert len(portal.requests) == 1


async def test_an_answer_packed_unasked_is_unpacked() -> None:
    packed = gzip.compress(b'{"count":1,"status":0,"statusCode":200,"response":[{"id":1}]}')
    async with raw_portal(answer(200, packed, {"Content-Encoding": "gzip"})) as portal:
        client = PortalClient(portal.config(), LocalTokenStore(), _no_pace)
        assert isinstance(await client.delete([1]), Deleted)
        await client.close()
    assert "gzip" not in portal.requests[0].headers["accept-encoding"]


async def test_a_portal_that_never_answers_times_out() -> None:
    async with raw_portal(say_nothing) as portal:
        client = PortalClient(portal.config(request_timeout_s=1.0), LocalTokenStore(), _no_pace)
        failure = await client.delete([1])
        await client.close()
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.may_have_deleted, failure.shrink) == ("timeout", True, True)
    assert failure.settle_s >= 1
    assert len(portal.requests) == 1


async def test_a_refused_connection_deleted_nothing() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: no other process can take the port
        async with raw_portal(delete_all) as portal:
            portal.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            client = PortalClient(portal.config(), LocalTokenStore(), _no_pace)
            failure = await client.delete([1])
            await client.close()
    assert isinstance(failure, Failure)
    assert (failure.action, failure.reason) == (Remedy.RETRY, "portal_unreachable")
    assert (failure.may_have_deleted, failure.sent) == (False, False)
    assert "127.0.0.1" not in failure.message


@lost_names
async def test_a_name_that_leads_nowhere_deleted_nothing(host: str) -> None:
    async with raw_portal(delete_all) as portal:
        config = portal.config().model_copy(update={"url": f"http://{host}"})
        client = PortalClient(config, LocalTokenStore(), _no_pace)
        failure = await client.delete([1])
        await client.close()
    assert isinstance(failure, Failure)
    assert not failure.may_have_deleted
    assert failure.reason in {"portal_unreachable", "portal_protocol"}


async def test_a_name_that_the_name_server_does_not_know_deleted_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    config = Portal(name="main", url="http://crm.example.com", token=SecretStr("the-token"))
    client = PortalClient(config, LocalTokenStore(), _no_pace)
    failure = await client.delete([1])
    await client.close()
    assert isinstance(failure, Failure)
    assert (failure.action, failure.reason) == (Remedy.RETRY, "portal_unreachable")
    assert (failure.may_have_deleted, failure.sent) == (False, False)
    assert "resolved" in failure.message
    assert "example" not in failure.message


async def test_speaking_tls_to_a_plain_port_deleted_nothing() -> None:
    async with raw_portal(delete_all) as portal:
        portal.url = portal.url.replace("http://", "https://")
        client = PortalClient(portal.config(request_timeout_s=2.0), LocalTokenStore(), _no_pace)
        failure = await asyncio.wait_for(client.delete([1]), 20)
        await client.close()
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.may_have_deleted) == ("portal_unreachable", False)
    assert portal.requests == []


# Workers run on uvloop where it is available, and it raises errors of its own: the same tests again, on that loop.


@broken_connections
@pytest.mark.parametrize("kept_alive", [False, True])
def test_on_uvloop_a_broken_connection_is_the_same(end: Behave, kept_alive: bool) -> None:
    uvloop.run(test_a_broken_connection_is_never_retried_automatically(end, kept_alive))


@damaged_answers
def test_on_uvloop_a_damaged_answer_is_the_same(behave: Behave) -> None:
    uvloop.run(test_a_damaged_answer_leaves_everything_open(behave))


@lost_names
def test_on_uvloop_a_lost_name_is_the_same(host: str) -> None:
    uvloop.run(test_a_name_that_leads_nowhere_deleted_nothing(host))


def test_on_uvloop_silence_refusal_and_tls_are_the_same() -> None:
    uvloop.run(test_a_portal_that_never_answers_times_out())
    uvloop.run(test_a_refused_connection_deleted_nothing())
    uvloop.run(test_speaking_tls_to_a_plain_port_deleted_nothing())
