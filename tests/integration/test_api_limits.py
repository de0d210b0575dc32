"""What one caller can cost the server: bodies that are too large, too slow or cut off, headers, idle connections."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

from cli.embedded import EmbeddedServer
from config.settings import Api as ApiSettings
from config.settings import Portal, Settings
from tests.conftest import settings_for
from tests.support.raw_http import TIMEOUT_S, Answer, connected, exchange, parse_answers, read_answers
from tests.support.serving import Api, serving
from web.http.limits import Limits

POST = "POST /v1/jobs?portal=main HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"


def settings_of(server: EmbeddedServer) -> Settings:
    portal = Portal(name="main", url="http://crm", token=SecretStr("secret-token"))
    return settings_for(server, portal, api=ApiSettings(max_body_mb=1))


@pytest.fixture
async def api(server: EmbeddedServer, redis: ArqRedis) -> AsyncIterator[Api]:
    """Run a server that waits as long as the real one, but reads one list at a time."""
    limits = Limits(lingering_s=0.3, submissions=1, submission_wait_s=0.1, ending_s=1.0)
    async with serving(settings_of(server), redis, limits=limits) as api:
        yield api


@pytest.fixture
async def impatient(server: EmbeddedServer, redis: ArqRedis) -> AsyncIterator[Api]:
    """Run a server that hardly waits at all."""
    limits = Limits(connection_idle_s=1.0, body_silence_s=0.3, lingering_s=0.3, ending_s=1.0)
    async with serving(settings_of(server), redis, limits=limits) as api:
        yield api


async def said(api: Api, text: str | bytes) -> Answer:
    """Send bytes, wait until the server closes the connection, and return its only answer."""
    [answer] = await exchange(api.port, text.encode() if isinstance(text, str) else text)
    return answer


async def test_a_connection_that_says_nothing_is_closed(impatient: Api) -> None:
    async with connected(impatient.port) as (reader, _):
        assert await reader.read() == b""


async def test_headers_that_never_end_are_not_waited_for(impatient: Api) -> None:
    async with connected(impatient.port) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):  # a header now and then does not buy more time
                writer.write(b"X-More: 1\r\n")
                await writer.drain()
                if reader.at_eof():
                    break
                await asyncio.sleep(0.02)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""


async def test_an_idle_connection_is_closed_after_its_answer(impatient: Api) -> None:
    async with connected(impatient.port) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        [answer] = await read_answers(reader)
    assert (answer.status, answer.headers.get("Connection"), answer.json) == (200, None, {"status": "ok"})


async def test_a_body_that_goes_silent_is_given_up(redis: ArqRedis, impatient: Api) -> None:
    answer = await said(impatient, f"{POST}Content-Length: 100\r\n\r\n1\n2\n")
    assert (answer.status, answer.word, answer.headers["Connection"]) == (408, "slow-body", "close")
    assert await redis.dbsize() == 0


@pytest.mark.parametrize("media_type", ["text/plain", "application/json"])
async def test_a_body_that_trickles_is_given_up(server: EmbeddedServer, redis: ArqRedis, media_type: str) -> None:
    """Such a body is never silent for long, and would hold its place for hours."""
    slow = Limits(body_silence_s=0.5, body_bytes_per_s=1000, lingering_s=0.3, ending_s=1.0)
    async with serving(settings_of(server), redis, limits=slow) as api, connected(api.port) as (reader, writer):
        post = POST.replace("text/plain", media_type)
        writer.write(f"{post}Content-Length: 1000000\r\n\r\n".encode())
        refused = asyncio.create_task(reader.readuntil(b"}"))
        with contextlib.suppress(ConnectionError):
            while not refused.done():
                writer.write(b"1")
                await writer.drain()
                await asyncio.wait({refused}, timeout=0.02)
        [answer] = parse_answers(await refused)
    assert (answer.status, answer.word) == (408, "slow-body")
    assert "1,000 bytes a second" in answer.json["detail"]
    assert await redis.dbsize() == 0


async def test_a_slow_body_that_keeps_the_pace_is_read(server: EmbeddedServer, redis: ArqRedis) -> None:
    slow = Limits(body_silence_s=2.0, body_bytes_per_s=10, ending_s=1.0)
    async with serving(settings_of(server), redis, limits=slow) as api:

        async def pieces() -> AsyncIterator[bytes]:
            for number in range(
                1, 31
            ):  # for longer than it may be silent, which is far longer than a busy machine will be
                yield f"{number}\n".encode()
                await asyncio.sleep(0.08)

        headers = {"Content-Type": "text/plain"}
        job = await api.json("POST", "/v1/jobs?portal=main", status=202, data=pieces(), headers=headers)
    assert job["total"] == 30


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_body_that_is_cut_off_creates_nothing(redis: ArqRedis, api: Api, framing: str) -> None:
    async with connected(api.port) as (_, writer):
        writer.write(f"{POST}{framing}\r\n\r\n4\r\n1\n2\n\r\n".encode())
        await writer.drain()
    # The place is free again as soon as the server has noticed.
    job = await in_time(api, b"7\n")
    assert job["total"] == 1
    assert [key for key in await redis.keys("crm-sweep:job:*") if key.count(b":") == 2] == [
        f"crm-sweep:job:{job['id']}".encode()
    ]


async def in_time(api: Api, body: bytes) -> dict[str, object]:
    """Submit a list as soon as the server has a place for it."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            headers = {"Content-Type": "text/plain"}
            async with api.client.post("/v1/jobs?portal=main", data=body, headers=headers) as answer:
                if answer.status == 202:
                    return dict(await answer.json())
                assert answer.status == 503


async def test_a_damaged_body_creates_nothing(redis: ArqRedis, impatient: Api) -> None:
    async with connected(impatient.port) as (reader, writer):
        writer.write(f"{POST}Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")  # the body is being read now
        writer.write(b"2\r\n1\n\r\nxyz\r\n")
        [answer] = await read_answers(reader)
    # The parser's complaint is queued behind the request that it is about, so that one ends because of its silence.
    assert (answer.status, answer.word) == (408, "slow-body")
    assert await redis.dbsize() == 0


async def test_a_length_above_the_limit_is_refused_before_the_body(api: Api) -> None:
    answer = await said(api, f"{POST}Content-Length: 1000001\r\nExpect: 100-continue\r\n\r\n")
    assert (answer.status, answer.word) == (413, "too-large")


async def test_a_stream_above_the_limit_is_refused_while_it_comes(redis: ArqRedis, api: Api) -> None:
    chunk = b"10000\r\n" + b"1\n" * 0x8000 + b"\r\n"
    answer = await said(api, f"{POST}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 17)
    assert (answer.status, answer.word) == (413, "too-large")
    assert await redis.dbsize() == 0


async def test_a_packed_list_is_measured_unpacked(redis: ArqRedis, api: Api) -> None:
    bomb = gzip.compress(b"1\n" * 600_000)
    headers = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    problem = await api.json("POST", "/v1/jobs?portal=main", status=413, data=bomb, headers=headers)
    assert problem["type"].endswith(":too-large")
    assert await redis.dbsize() == 0


async def test_the_go_ahead_is_given_once_the_request_is_right(api: Api) -> None:
    async with connected(api.port) as (reader, writer):
        writer.write(f"{POST}Content-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n".encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"5\n")
        [answer] = await read_answers(reader)
    assert (answer.status, answer.json["total"]) == (202, 1)


async def test_no_go_ahead_for_a_request_that_is_wrong(api: Api) -> None:
    wrong = POST.replace("portal=main", "portal=nobody")
    answer = await said(api, f"{wrong}Content-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
    assert (answer.status, answer.word) == (404, "unknown-portal")


async def test_another_expectation_cannot_be_met(api: Api) -> None:
    answer = await said(api, "GET /x HTTP/1.1\r\nHost: localhost\r\nExpect: cake\r\nConnection: close\r\n\r\n")
    assert (answer.status, answer.word) == (417, "expectation-failed")


async def test_one_list_too_many_is_told_to_come_back(api: Api) -> None:
    async with connected(api.port) as (_, writer):
        writer.write(f"{POST}Content-Length: 4\r\nExpect: 100-continue\r\n\r\n".encode())
        # The first one holds the only place until its body comes.
        headers = {"Content-Type": "text/plain"}
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                async with api.client.post("/v1/jobs?portal=main", data=b"9\n", headers=headers) as answer:
                    if answer.status == 503:
                        break
        assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    ("text", "status", "kind"),
    [
        ("GET /" + "x" * 9000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 431, "headers-too-large"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nX: " + "x" * 9000 + "\r\n\r\n", 431, "headers-too-large"),
        ("GET / HTTP/1.1\r\n" + "X: x\r\n" * 100 + "\r\n", 400, "bad-request"),
        ("this is no HTTP\r\n\r\n", 400, "bad-request"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400, "bad-request"),
        ("\x16\x03\x01\x02\x00", 400, "bad-request"),
    ],
    ids=["long-address", "long-header", "many-headers", "garbage", "bad-length", "tls"],
)
async def test_what_is_no_request_is_answered_with_a_problem(api: Api, text: str, status: int, kind: str) -> None:
    answer = await said(api, text)
    assert (answer.status, answer.word) == (status, kind)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "crm-sweep"
