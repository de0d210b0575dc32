"""The server as a whole: how it ends, and what it logs."""

import asyncio
import hashlib
import io
import json

import aiohttp
import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from config.settings import Api as ApiSettings
from config.settings import ApiKey, Portal, Settings
from jobs.accept.submit import submit
from tests.conftest import settings_for
from tests.support.serving import serving
from tests.support.submitting import request
from web.app import make_app
from web.http.limits import Limits
from web.server import listening

KEY = "the-text-of-the-key"


@pytest.fixture
def settings(server: EmbeddedServer) -> Settings:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    key = ApiKey.model_validate({"name": "billing", "key_sha256": digest, "scopes": ["read", "submit", "control"]})
    portal = Portal(name="main", url="http://crm", token=SecretStr("secret-token"))
    return settings_for(server, portal, api=ApiSettings(keys=(key,)))


async def test_a_request_in_progress_may_finish_when_the_server_ends(settings: Settings, redis: ArqRedis) -> None:
    sending, go_on = asyncio.Event(), asyncio.Event()

    async def lines() -> object:
        yield b"1\n"
        sending.set()
        await go_on.wait()
        yield b"2\n"

    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "text/plain"}
    async with aiohttp.ClientSession(headers=headers) as client:

        async def send(url: str) -> tuple[int, int]:
            async with client.post(f"{url}/v1/jobs?portal=main", data=lines(), expect100=True) as answer:
                return answer.status, (await answer.json())["total"]

        async with asyncio.timeout(30), listening(make_app(settings, redis), "127.0.0.1", 0) as url:
            sent = asyncio.create_task(send(url))
            await sending.wait()
            asyncio.get_running_loop().call_later(0.1, go_on.set)  # while the server is ending
        assert await sent == (202, 2)
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get(f"{url}/healthz")


async def test_a_stream_of_events_does_not_hold_up_the_end(settings: Settings, redis: ArqRedis) -> None:
    job_id = (await submit(redis, request(portal="main", ids=BitMap([1])))).job_id
    ended = asyncio.Event()
    app = make_app(settings, redis, Limits(ending_s=20.0))
    headers = {"Authorization": f"Bearer {KEY}"}
    async with asyncio.timeout(15), aiohttp.ClientSession(headers=headers) as client:
        async with listening(app, "127.0.0.1", 0) as url:
            answer = await client.get(f"{url}/v1/jobs/{job_id}/events")
            assert await answer.content.readline()
        ended.set()
        answer.close()
    assert ended.is_set()


async def test_each_request_is_written_down_without_its_key(
    settings: Settings, redis: ArqRedis, log: io.StringIO
) -> None:
    job_id = (await submit(redis, request(portal="main", ids=BitMap([1])))).job_id
    async with serving(settings, redis, key=KEY) as api:
        await api.json("POST", f"/v1/jobs/{job_id}/pause")
        await api.json("GET", f"/v1/jobs/{job_id}")
        await api.json("GET", "/nothing?token=secret", status=404, headers={"Authorization": "Bearer wrong-key"})
    text = log.getvalue()
    lines = [line for line in map(json.loads, text.splitlines()) if line["event"] == "request"]
    told = [(line["level"], line["method"], line["route"], line["status"], line["key"]) for line in lines]
    assert told == [
        ("info", "POST", "/v1/jobs/{job_id}/pause", 200, "billing"),
        ("debug", "GET", "/v1/jobs/{job_id}", 200, "billing"),
        ("debug", "GET", "", 404, None),
    ]
    assert all(line["took_ms"] >= 0 for line in lines)
    for secret in (KEY, "wrong-key", "token=secret"):
        assert secret not in text
