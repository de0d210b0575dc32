"""The ledger over HTTP: any size, any reader, and never a part that looks like the whole."""

import asyncio
import csv
import gzip
import io
import re
import socket
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr
from pyroaring import BitMap
from redis.exceptions import ConnectionError as RedisConnectionError

import web.api.downloads
import web.api.results
from cli.embedded import EmbeddedServer
from config.settings import Portal
from jobs.accept.reject import reject_job
from jobs.accept.submit import submit
from jobs.ledger.export import LINES_AT_ONCE, Format, read_text
from jobs.ledger.records import Record
from jobs.ledger.rows import COLUMNS
from jobs.store import keys
from jobs.store.connection import connect
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.outcomes import Code, Outcome
from tests.conftest import settings_for
from tests.support.serving import Api, serving
from tests.support.submitting import request
from tests.support.waiting import until
from web.http.limits import Limits

PORTAL = Portal(name="main", url="http://127.0.0.1:9", token=SecretStr("t"))

#: A ledger that does not fit into the buffers of the sockets on the way.
LARGE = 4 * SEGMENT_SIZE


@asynccontextmanager
async def api_of(server: EmbeddedServer, redis: ArqRedis, **limits: Any) -> AsyncIterator[Api]:
    async with serving(settings_for(server, PORTAL), redis, limits=Limits(ending_s=1.0, **limits)) as api:
        yield api


async def make_job(redis: ArqRedis, total: int, job_id: str = "job", first: int = 1) -> None:
    """Make a job that has begun: the first half of each segment is decided, every tenth contact was refused."""
    ids = BitMap(range(first, first + total))
    await submit(redis, request(portal="main", ids=ids, job_id=job_id, lanes=0, by="test"))
    pipe = redis.pipeline(transaction=False)
    for segment in range(-(-total // SEGMENT_SIZE)):
        size = min(SEGMENT_SIZE, total - segment * SEGMENT_SIZE) // 2
        for start in range(0, size, 200):
            positions = range(start, min(start + 200, size))
            codes = bytes(Code.READ_ONLY if one % 10 == 0 else Code.DELETED for one in positions)
            at_ms = 1_764_000_000_000 + segment * 3_600_000 + start * 37
            record = Record(positions=positions, codes=codes, attempts=1, http_status=200, at_ms=at_ms)
            pipe.execute_command("RPUSH", keys.ledger(job_id, segment), record.encode())
    await pipe.execute()


async def expected(redis: ArqRedis, form: Format, outcome: Outcome | None = None) -> str:
    return "".join([text async for text, _ in read_text(redis, "job", form, outcome)])


async def raw(api: Api, request: str, *, receive_buffer: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request without a client library."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", api.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    writer.write(request.replace("\n", "\r\n").encode())
    return reader, writer


@pytest.mark.parametrize("outcome", [None, Outcome.REFUSED, Outcome.PENDING, Outcome.FAILED])
@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_the_ledger_comes_as_it_is(
    server: EmbeddedServer, redis: ArqRedis, form: Format, outcome: Outcome | None, encoding: str
) -> None:
    await make_job(redis, 20_001)
    query = {"format": str(form)} | ({"outcome": str(outcome)} if outcome else {})
    async with (
        api_of(server, redis) as api,
        aiohttp.ClientSession(api.url, auto_decompress=False) as client,
        client.get("/v1/jobs/job/results", params=query, headers={"Accept-Encoding": encoding}) as answer,
    ):
        assert answer.status == 200
        body = await answer.read()
    assert answer.headers.get("Content-Encoding", "identity") == encoding
    assert "Accept-Encoding" in answer.headers["Vary"]
    text = (gzip.decompress(body) if encoding == "gzip" else body).decode()
    assert text == await expected(redis, form, outcome)
    assert (
        answer.headers["Content-Type"]
        == {
            Format.CSV: "text/csv; charset=utf-8",
            Format.NDJSON: "application/x-ndjson",
        }[form]
    )
    name = f"crm-sweep-job{f'-{outcome}' if outcome else ''}.{form}"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize("outcome", [None, Outcome.FAILED])
@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_the_ledger_of_a_request_that_was_refused_is_empty(
    server: EmbeddedServer, redis: ArqRedis, form: Format, outcome: Outcome | None, encoding: str
) -> None:
    await reject_job(redis, "job", "contact_ids[0]: given 0", by="arq", portal="main")
    query = {"format": str(form)} | ({"outcome": str(outcome)} if outcome else {})
    async with (
        api_of(server, redis) as api,
        aiohttp.ClientSession(api.url, auto_decompress=False) as client,
    ):
        for path in ("/v1/jobs/job/results", "/jobs/job/ledger"):
            async with client.get(path, params=query, headers={"Accept-Encoding": encoding}) as answer:
                body = await answer.read()
            assert answer.status == 200, body
            assert answer.headers.get("Content-Encoding", "identity") == encoding
            text = (gzip.decompress(body) if encoding == "gzip" else body).decode()
            assert text == ("contact_id,outcome,reason,http_status,attempts,at\n" if form is Format.CSV else "")
            async with client.head(path, params=query) as answer:
                assert answer.status == 200


async def test_lines_are_whole_and_in_order_over_many_segments(server: EmbeddedServer, redis: ArqRedis) -> None:
    total = 2 * SEGMENT_SIZE + 777
    await make_job(redis, total)
    async with api_of(server, redis) as api:
        async with api.client.get("/v1/jobs/job/results") as answer:
            lines = [msgspec.json.decode(line) for line in (await answer.text()).splitlines()]
        assert [line["contact_id"] for line in lines] == list(range(1, total + 1))
        assert all(tuple(line) == COLUMNS for line in lines)
        assert {line["outcome"] for line in lines} == {"deleted", "refused", "pending"}
        async with api.client.get("/v1/jobs/job/results?format=csv") as answer:
            rows = list(csv.reader(io.StringIO(await answer.text())))
        assert tuple(rows[0]) == COLUMNS
        assert [int(row[0]) for row in rows[1:]] == list(range(1, total + 1))


async def test_a_head_request_gets_the_headers_alone(server: EmbeddedServer, redis: ArqRedis) -> None:
    await make_job(redis, 100)
    async with api_of(server, redis) as api:
        async with api.client.head("/v1/jobs/job/results?format=csv&outcome=deleted") as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
            assert await answer.read() == b""
        # The connection can still be used for the next request.
        assert (await api.json("GET", "/v1/jobs/job"))["id"] == "job"
        async with api.client.head("/v1/jobs/none/results") as answer:
            assert answer.status == 404


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/v1/jobs/none/results", 404, "unknown-job"),
        ("/v1/jobs/no%20job/results", 404, "unknown-job"),
        ("/v1/jobs/job/results?format=xml", 400, "bad-parameter"),
        ("/v1/jobs/job/results?outcome=gone", 400, "bad-parameter"),
        ("/v1/jobs/job/results?outcom=deleted", 400, "bad-parameter"),
    ],
)
async def test_what_is_wrong_is_said_before_the_first_byte(
    server: EmbeddedServer, redis: ArqRedis, path: str, status: int, kind: str
) -> None:
    await make_job(redis, 10)
    async with api_of(server, redis) as api:
        problem = await api.json("GET", path, status=status)
        assert problem["type"].endswith(f":{kind}")


@pytest.mark.parametrize("step", ["jobs.ledger.export._write", "web.api.downloads._pack"])
async def test_other_requests_are_answered_while_a_part_is_made(
    server: EmbeddedServer, redis: ArqRedis, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_job(redis, 3 * LINES_AT_ONCE)
    loop, begun, answered = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    module, _, name = step.rpartition(".")
    make: Callable[..., Any] = getattr(sys.modules[module], name)

    def make_and_wait(*arguments: Any) -> Any:
        loop.call_soon_threadsafe(begun.set)
        assert answered.wait(20), "nothing else was answered in the meantime"
        return make(*arguments)

    monkeypatch.setattr(step, make_and_wait)
    async with api_of(server, redis) as api:

        async def download() -> str:
            async with api.client.get("/v1/jobs/job/results", headers={"Accept-Encoding": "gzip"}) as answer:
                return await answer.text()

        downloading = asyncio.create_task(download())
        async with asyncio.timeout(20):
            await begun.wait()
        for _ in range(3):
            assert (await api.json("GET", "/v1/jobs/job"))["id"] == "job"
        answered.set()
        assert await downloading == await expected(redis, Format.NDJSON)


async def test_a_reader_that_stalls_is_cut_off(server: EmbeddedServer, redis: ArqRedis) -> None:
    await make_job(redis, LARGE)
    async with api_of(server, redis, reader_silence_s=0.3, downloads=1) as api:
        reader, writer = await raw(api, "GET /v1/jobs/job/results HTTP/1.1\nHost: 127.0.0.1\n\n", receive_buffer=4096)
        assert (await reader.readline()).split()[1] == b"200"

        async def is_free() -> bool:
            async with api.client.get("/v1/jobs/job/results?outcome=failed") as answer:
                assert answer.status in {200, 503}
                return answer.status == 200

        assert await until(is_free)
        with pytest.raises(ConnectionError):
            await reader.read()
        writer.close()


async def test_a_reader_that_goes_away_frees_its_place(server: EmbeddedServer, redis: ArqRedis) -> None:
    await make_job(redis, LARGE)
    async with api_of(server, redis, downloads=1) as api:
        reader, writer = await raw(api, "GET /v1/jobs/job/results HTTP/1.1\nHost: 127.0.0.1\n\n")
        await reader.readline()
        problem = await api.json("GET", "/v1/jobs/job/results", status=503)
        assert problem["type"].endswith(":too-busy")
        writer.transport.abort()

        async def is_free() -> bool:
            async with api.client.get("/v1/jobs/job/results?outcome=failed") as answer:
                return answer.status == 200

        assert await until(is_free)


@pytest.mark.parametrize("head", ["HTTP/1.1", "HTTP/1.0", "HTTP/1.1\nAccept-Encoding: gzip"])
@pytest.mark.parametrize("trouble", ["forgotten", "replaced", "away", "bug"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_ledger_that_cannot_be_read_to_its_end_never_looks_complete(
    server: EmbeddedServer, redis: ArqRedis, head: str, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_job(redis, 2 * SEGMENT_SIZE)

    async def read_troubled(*arguments: Any) -> AsyncGenerator[tuple[str, int], None]:
        async with aclosing(read_text(*arguments)) as parts:
            yield await anext(parts)
            if trouble == "away":
                raise RedisConnectionError
            if trouble == "bug":
                raise ZeroDivisionError
            await redis.flushall()
            if trouble == "replaced":
                await make_job(redis, 2 * SEGMENT_SIZE, first=1000)
            async for part in parts:
                yield part

    monkeypatch.setattr(web.api.results, "read_text", read_troubled)
    async with api_of(server, redis) as api:
        reader, writer = await raw(api, f"GET /v1/jobs/job/results {head}\nHost: 127.0.0.1\n\n")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_an_outage_of_redis_is_reported_before_the_first_byte(redis: ArqRedis, tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path, fsync="no") as other:
        away = connect(other.url, patience_s=0.0)
        await make_job(away, 10)
    async with api_of(other, away) as api:
        problem = await api.json("GET", "/v1/jobs/job/results", status=503)
        assert problem["type"].endswith(":redis-away")
    await away.aclose(close_connection_pool=True)


@pytest.mark.parametrize("part", ["results", "events"])
async def test_a_key_of_another_portal_does_not_even_learn_that_there_is_such_a_job(
    server: EmbeddedServer, redis: ArqRedis, part: str
) -> None:
    await make_job(redis, 10)
    digests = {name: sha256(name.encode()).hexdigest() for name in ("main", "other", "submits")}
    keys_of = [
        {"name": "main", "key_sha256": digests["main"], "scopes": ["read"], "portals": ["main"]},
        {"name": "other", "key_sha256": digests["other"], "scopes": ["read"], "portals": ["other"]},
        {"name": "submits", "key_sha256": digests["submits"], "scopes": ["submit"]},
    ]
    settings = settings_for(server, PORTAL, PORTAL.model_copy(update={"name": "other"}), api={"keys": keys_of})
    async with serving(settings, redis, limits=Limits(ending_s=1.0)) as api:
        for key, status in (("main", 200), ("other", 404), ("submits", 403), ("nobody", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            async with api.client.get(f"/v1/jobs/job/{part}", headers=headers) as answer:
                assert answer.status == status


@pytest.mark.parametrize("job_id", ["../../etc/passwd", 'a"b\r\nSet-Cookie: c=d', "é", "x" * 200])
def test_a_file_name_holds_nothing_but_harmless_characters(job_id: str) -> None:
    value = web.api.downloads._headers(job_id, Format.CSV, Outcome.FAILED, packed=False)["Content-Disposition"]
    assert re.fullmatch(r'attachment; filename="crm-sweep-[A-Za-z0-9._-]{1,64}-failed\.csv"', value)
