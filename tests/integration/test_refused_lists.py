"""A server that refuses in the middle of a big list: nothing of the list is revealed, and nothing of it stays."""

import asyncio
import contextlib
import functools
import io
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis as sync_redis
from arq.connections import ArqRedis
from pyroaring import BitMap

import jobs.accept.staged
import simulator
from cli.embedded import EmbeddedServer
from jobs.lanes import presence
from jobs.store import keys
from jobs.store.trouble import Reason
from jobs.view.job import read_job
from jobs.words.contact_ids import segments
from jobs.words.errors import UnknownJob
from tests.support.home import Home
from tests.support.plain_redis import plain_redis
from tests.support.serving import serving
from tests.support.sweeping import MARKS, settings_of
from tests.support.waiting import until
from worker import functions
from worker.main import working

pytestmark = MARKS

#: About two million contact IDs, scattered so that their segments take some 4 MB.
IDS = range(1_500_000_001, 1_530_000_000, 14)
LABEL = "for zebulon@quagmire.example"


@functools.cache  # not when tests are collected, which every test process does
def plain() -> str:
    """Write the list with one contact ID per line."""
    return "".join(f"{contact_id}\n" for contact_id in IDS)


@pytest.fixture
async def own_redis(private_server: EmbeddedServer) -> AsyncIterator[ArqRedis]:
    redis = plain_redis(private_server.url)
    for way in WAYS.values():  # if a test before this one has failed, the server is still refusing
        await redis.execute_command(*way.undo)
    await redis.flushall()
    yield redis
    await redis.aclose(close_connection_pool=True)


class Way(NamedTuple):
    """How a server is made to refuse, and how that is undone."""

    refuse: tuple[str, ...]
    undo: tuple[str, ...]
    reason: Reason


WAYS = {
    "out of memory": Way(
        ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), Reason.OUT_OF_MEMORY
    ),
    "a fail-over": Way(("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), Reason.READ_ONLY),
}
EACH_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))


@contextlib.asynccontextmanager
async def refusing_half(server: EmbeddedServer, redis: ArqRedis, way: Way) -> AsyncIterator[None]:
    """Make the server refuse once this process has staged half of a list."""

    def half(ids: BitMap) -> Iterator[bytes]:
        for number, segment in enumerate(segments(ids)):
            if number == 20:
                with contextlib.closing(sync_redis.Redis.from_url(server.url.get_secret_value())) as admin:
                    admin.execute_command(*way.refuse)
            yield segment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.accept.staged, "segments", half)
        yield
    await redis.execute_command(*way.undo)


def check_text(text: str) -> None:
    """Check that there is nothing of a list, plain or packed, and no Redis command."""
    assert not [number for number in re.findall(r"\d{10}", text) if int(number) in IDS]
    for part in ("\\x", "\\u00", "\ufffd", "HSET", "EVALSHA", "PSETEX", "staging", "of pipeline", "zebulon"):
        assert part not in text, text[:2000]


async def check_values(redis: ArqRedis) -> None:
    """Check that no value in Redis reveals the list, except a staged list about to expire, and the request itself."""
    for key in await redis.keys("*"):
        if key.startswith(keys.STAGING.encode()):
            assert 0 < await redis.ttl(key) <= 3600
        elif not key.startswith(b"arq:job:"):
            reads = {b"string": ("GET",), b"hash": ("HGETALL",), b"list": ("LRANGE", 0, -1), b"zset": ("ZRANGE", 0, -1)}
            kind = await redis.type(key)
            if kind == b"none":  # a mark of arq that has lapsed in the meantime
                continue
            command, *arguments = reads[kind]
            check_text(repr(await redis.execute_command(command, key, *arguments)))


@EACH_WAY
async def test_over_http(private_server: EmbeddedServer, own_redis: ArqRedis, log: io.StringIO, way: Way) -> None:
    async with (
        simulator.running(simulator.World(10)) as portal,
        serving(settings_of(private_server, portal), own_redis) as api,
    ):

        async def post(status: int) -> Any:
            query = {"portal": "main", "label": LABEL}
            headers = {"Content-Type": "text/plain"}
            data = io.BytesIO(plain().encode())
            return await api.json("POST", "/v1/jobs", params=query, data=data, headers=headers, status=status)

        async with refusing_half(private_server, own_redis, way):
            problem = await post(503)
            assert problem["reason"] == way.reason.word
            check_text(str(problem))
            await check_values(own_redis)
        check_text(log.getvalue())
        assert f'"error":"{way.reason.word}"' in log.getvalue()
        assert (await post(202))["total"] == len(IDS)


@EACH_WAY
async def test_through_plain_arq(
    private_server: EmbeddedServer, own_redis: ArqRedis, log: io.StringIO, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    monkeypatch.setattr(functions, "_PUT_BACK_S", 1)
    # If arq could not put the request back, its mark keeps other workers away for this long.
    monkeypatch.setattr(functions, "MARK_LASTS_MS", 3000)
    monkeypatch.setattr(presence, "BEAT_S", 1.0)  # the heartbeat notices a replica
    body: dict[str, Any] = {"portal": "main", "contact_ids": list(IDS), "label": LABEL}
    async with simulator.running(simulator.World(10)) as portal:
        settings = settings_of(private_server, portal, approval_above=1)
        await own_redis.enqueue_job("delete_contacts", _job_id="big", **body)
        # What the worker has begun can only end once Redis accepts it again.
        async with working(settings), refusing_half(private_server, own_redis, way):

            async def is_told() -> bool:
                lines = [json.loads(line) for line in log.getvalue().splitlines()]
                # A replica is waited for; anything else puts the request back.
                told = {(line["event"], line.get("error")) for line in lines}
                return bool(told & {("request_put_back", way.reason.word), ("redis_away", Reason.READ_ONLY.word)})

            await until(is_told, timeout_s=60)
            await check_values(own_redis)
        check_text(log.getvalue())
        async with working(settings):

            async def is_there() -> bool:
                with contextlib.suppress(UnknownJob):
                    return (await read_job(own_redis, "big")).state_reason == "approval"
                return False

            await until(is_there, timeout_s=60)
        check_text(log.getvalue())


@EACH_WAY
async def test_by_command(private_server: EmbeddedServer, own_redis: ArqRedis, tmp_path: Path, way: Way) -> None:
    (tmp_path / "ids.txt").write_text(plain())
    url = private_server.url.get_secret_value()
    (tmp_path / "crm-sweep.toml").write_text(
        f'[redis]\nurl = "{url}"\n[portals.main]\nurl = "http://crm"\ntoken = "t-t-t"\n'
    )

    async def submit() -> tuple[int, str]:
        command = ["submit", "ids.txt", "--portal", "main", "--yes", "--label", LABEL]
        result = await asyncio.to_thread(Home(tmp_path, "").cli, *command)
        return result.code, result.stdout + result.stderr

    if way.reason is Reason.OUT_OF_MEMORY:  # there is room for half of the list
        memory = await own_redis.info("memory")
        await own_redis.config_set("maxmemory", memory["used_memory"] + 2_000_000)
    else:
        await own_redis.execute_command(*way.refuse)
    code, said = await submit()
    assert (code, said.splitlines()[-1]) == (5, f"crm-sweep: Redis {way.reason.what}; {way.reason.to_do}")
    check_text(said)
    await check_values(own_redis)
    await own_redis.execute_command(*way.undo)
    code, _ = await submit()
    assert code == 0
