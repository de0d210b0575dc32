"""A frozen Redis: whatever waits for it ends in bounded time, and no reply is taken for another one."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from bench.forwarder import exchange, forwarding, listening
from cli.embedded import EmbeddedServer
from cli.errors import explain
from cli.exit_codes import ExitCode
from config.redis_url import RedisUrl
from config.settings import Portal
from jobs.store import primary
from jobs.store.bounds import RedisStalled
from jobs.store.connection import connect
from tests.conftest import settings_for
from tests.support.cut_off import cut_off, needs_filters, reconnect
from tests.support.serving import Api, serving
from web.http.limits import Limits

PLAIN = {"Content-Type": "text/plain"}


@contextlib.asynccontextmanager
async def black_hole() -> AsyncIterator[RedisUrl]:
    """Run a server that accepts connections and never answers."""
    async with forwarding(None) as forwarder:
        yield RedisUrl(f"redis://127.0.0.1:{forwarder.port}/0")


@contextlib.contextmanager
def standing_still(server: EmbeddedServer) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_a_server_that_never_answers_is_told_in_words_for_people() -> None:
    async with black_hole() as url:
        redis = connect(url, patience_s=0, stall_s=0.2)
        try:
            with pytest.raises(RedisStalled) as caught:
                await redis.ping()
        finally:
            await redis.aclose(close_connection_pool=True)
    explained = explain(caught.value)
    assert explained is not None
    assert "Redis does not answer in time" in explained[0]
    assert explained[1] is ExitCode.UNREACHABLE


async def test_a_command_too_large_for_a_server_that_stands_still_is_given_up(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        redis = connect(server.url, patience_s=0, stall_s=0.5)
        await redis.ping()
        with standing_still(server), pytest.raises(RedisStalled):
            # More than the buffers between two processes hold, so that the writing itself does not finish.
            await redis.set("large", b"x" * 64_000_000)
        await redis.aclose(close_connection_pool=True)


async def test_the_reply_that_was_given_up_is_not_taken_for_the_next_one(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        redis = connect(server.url, patience_s=0, stall_s=0.2)
        await redis.set("first", "1")
        await redis.set("second", "2")
        with standing_still(server):
            with pytest.raises(RedisStalled):
                await redis.get("first")
            pipe = redis.pipeline(transaction=False)
            pipe.get("first")
            pipe.get("first")
            with pytest.raises(RedisStalled):
                await pipe.execute()
        assert await redis.get("second") == b"2"
        await redis.aclose(close_connection_pool=True)


@pytest.mark.parametrize("role_every_s", [0.0, 60.0])
async def test_a_patient_connection_goes_on_when_the_server_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role_every_s: float
) -> None:
    monkeypatch.setattr(primary, "ROLE_EVERY_S", role_every_s)  # what hangs is the check of the role, or the command
    with EmbeddedServer(tmp_path) as server:
        redis = connect(server.url, patience_s=60, stall_s=0.2)
        await redis.ping()
        with standing_still(server):
            waiting = asyncio.ensure_future(redis.incr("count"))
            done, _ = await asyncio.wait({waiting}, timeout=1.0)
            assert not done
        assert await asyncio.wait_for(waiting, 30) >= 1
        await redis.aclose(close_connection_pool=True)


@contextlib.asynccontextmanager
async def api_of(server: EmbeddedServer, limits: Limits) -> AsyncIterator[Api]:
    portal = Portal(name="main", url="http://crm", token=SecretStr("secret-token"))
    redis = connect(server.url, patience_s=0, stall_s=1.0)
    try:
        async with serving(settings_for(server, portal), redis, limits=limits) as api:
            yield api
    finally:
        await redis.aclose(close_connection_pool=True)


async def test_every_submission_ends_and_none_waits_for_the_places_of_those_that_hang(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        # A ninth one may wait longer for its place than the others do for Redis, and still gets one.
        async with api_of(server, Limits(submissions=8, submission_wait_s=5.0, ending_s=1.0)) as api:
            with standing_still(server):

                async def submit() -> str:
                    async with api.client.post("/v1/jobs?portal=main", data=b"1\n2\n", headers=PLAIN) as answer:
                        assert answer.status == 503
                        return str((await answer.json(content_type=None))["type"])

                async with asyncio.timeout(30):
                    kinds = await asyncio.gather(*(submit() for _ in range(9)))
            assert kinds == ["urn:crm-sweep:problem:redis-away"] * 9
            job = await api.json("POST", "/v1/jobs?portal=main", status=202, data=b"1\n2\n", headers=PLAIN)
            assert job["total"] == 2


async def test_a_list_whose_staging_meets_a_standstill_is_refused_in_time(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        async with api_of(server, Limits(ending_s=1.0)) as api:
            arrived = asyncio.Event()

            async def body() -> AsyncIterator[bytes]:
                yield b"".join(b"%d\n" % (7 * number) for number in range(1, 2_000_000))
                arrived.set()
                os.kill(server.pid, signal.SIGSTOP)  # after the first call to Redis, before the list is written to it
                yield b"1\n"

            try:
                async with asyncio.timeout(60):
                    path = "/v1/jobs?portal=main"
                    async with api.client.post(path, data=body(), headers=PLAIN) as answer:
                        assert answer.status == 503
            finally:
                os.kill(server.pid, signal.SIGCONT)
            assert arrived.is_set()
            assert (await api.json("GET", "/v1/jobs"))["jobs"] == []


@needs_filters
async def test_a_command_that_was_sent_again_does_not_arrive_once_more_later(server: EmbeddedServer) -> None:
    path = server.url.address.socket_path
    assert path is not None
    sockets: list[socket.socket] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sockets.append(writer.get_extra_info("socket"))
        await exchange(reader, writer, *await asyncio.open_unix_connection(path))

    async with listening(serve) as port:
        redis = connect(RedisUrl(f"redis://127.0.0.1:{port}/0"), patience_s=5, stall_s=0.3)
        await redis.delete("counted")
        first = sockets[0]
        cut_off(first)
        assert await redis.incr("counted") == 1
        assert len(sockets) == 2
        reconnect(first)
        # The system would send it again before long: it waits twice as long each time, from 0.2 s on.
        await asyncio.sleep(1.5)
        assert await redis.get("counted") == b"1"
        await redis.aclose(close_connection_pool=True)
