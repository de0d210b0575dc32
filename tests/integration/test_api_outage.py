"""The API while Redis is down: it says so immediately, stays up, and recovers on its own."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

from cli.embedded import EmbeddedServer
from config.redis_url import RedisUrl
from config.settings import Portal, Settings
from jobs.store.connection import connect
from tests.conftest import settings_for
from tests.support.serving import Api, serving
from tests.support.waiting import until
from web.http.limits import Limits
from web.ops import health

BODY = {"portal": "main", "contact_ids": [1]}


@contextlib.asynccontextmanager
async def api_of(server: EmbeddedServer) -> AsyncIterator[Api]:
    portal = Portal(name="main", url="http://crm", token=SecretStr("secret-token"))
    redis: ArqRedis = connect(server.url, patience_s=0)
    try:
        async with serving(settings_for(server, portal), redis, limits=Limits(redis_s=1.0, ending_s=1.0)) as api:
            yield api
    finally:
        await redis.aclose(close_connection_pool=True)


async def read_in_time(api: Api, job_id: str) -> Any:
    """Read a job; on a busy machine, Redis may take longer to come back than one request waits for it."""

    async def read() -> Any:
        async with api.client.get(f"/v1/jobs/{job_id}") as answer:
            return await answer.json() if answer.status == 200 else None

    return await until(read)


async def test_an_outage_is_told_and_outlived(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        async with api_of(server) as api:
            job = await api.json("POST", "/v1/jobs", status=202, json=BODY)
            del job["intake"]
            server.stop()

            async def is_told_away(method: str, path: str, body: Any = None) -> None:
                async with api.client.request(method, path, json=body) as answer:
                    problem = await answer.json(content_type="application/problem+json")
                    assert (answer.status, problem["type"]) == (503, "urn:crm-sweep:problem:redis-away")
                    assert int(answer.headers["Retry-After"]) > 0
                    assert str(tmp_path) not in str(problem)

            # At the same time, because each of them waits for as long as a request can.
            await asyncio.gather(
                is_told_away("GET", f"/v1/jobs/{job['id']}"),
                is_told_away("GET", "/v1/jobs"),
                is_told_away("GET", "/v1/portals"),
                is_told_away("POST", "/v1/jobs", BODY),
                is_told_away("POST", f"/v1/jobs/{job['id']}/pause"),
            )
            ready = await api.json("GET", "/readyz", status=503)
            assert not ready["ready"]
            assert await api.json("GET", "/healthz") == {"status": "ok"}
            with EmbeddedServer(tmp_path):

                async def back() -> bool:
                    async with api.client.get("/readyz") as answer:
                        return answer.status == 200

                await until(back)
                assert await read_in_time(api, job["id"]) == job


async def test_a_server_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_PATIENCE_S", 0.5)
    with EmbeddedServer(tmp_path) as server:
        async with api_of(server) as api:
            job = await api.json("POST", "/v1/jobs", status=202, json=BODY)
            del job["intake"]
            os.kill(server.pid, signal.SIGSTOP)
            try:
                problem = await api.json("GET", f"/v1/jobs/{job['id']}", status=503)
                assert problem["type"] == "urn:crm-sweep:problem:redis-away"
                assert not (await api.json("GET", "/readyz", status=503))["ready"]
            finally:
                os.kill(server.pid, signal.SIGCONT)
            assert await read_in_time(api, job["id"]) == job


async def _hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(16)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("way", ["refused", "nameless", "no-socket", "hangs-up", "resets"])
async def test_every_way_of_being_out_of_reach_is_told_as_an_outage(way: str, tmp_path: Path) -> None:
    answers = {"refused": _hang_up, "hangs-up": _hang_up, "resets": _reset}
    url = {"nameless": "redis://nowhere.invalid:6379/0", "no-socket": f"unix://{tmp_path}/none.sock"}.get(way, "")
    async with contextlib.AsyncExitStack() as stack:
        if way in answers:
            listener = await asyncio.start_server(answers[way], "127.0.0.1", 0)
            url = f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"
            stack.callback(listener.close)
            if way == "refused":
                listener.close()
        redis = connect(RedisUrl(url), patience_s=0)
        stack.push_async_callback(redis.aclose, close_connection_pool=True)
        api = await stack.enter_async_context(
            serving(Settings(portals={}), redis, limits=Limits(redis_s=10.0, ending_s=1.0))
        )
        problem = await api.json("GET", "/v1/jobs", status=503)
        assert (problem["type"], problem["reason"]) == ("urn:crm-sweep:problem:redis-away", "unreachable")
        assert not (await api.json("GET", "/readyz", status=503))["ready"]
