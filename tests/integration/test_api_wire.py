"""What no HTTP client would send: each answer is right or a problem, and none of it is a server error."""

import gzip
import io
import json
from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

from cli.embedded import EmbeddedServer
from config.settings import Api as ApiSettings
from config.settings import Portal
from tests.conftest import settings_for
from tests.support.raw_http import Answer, exchange
from tests.support.serving import Api, serving
from web.http.limits import Limits

CLOSE = b"Host: localhost\r\nConnection: close\r\n"
GZIP = b"Content-Encoding: gzip\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def packed(text: bytes) -> bytes:
    """Compress a text, always to the same bytes."""
    return gzip.compress(text, mtime=0)


BOMB = packed(b"1\n" * 2_000_000)


@pytest.fixture
async def api(server: EmbeddedServer, redis: ArqRedis, log: io.StringIO) -> AsyncIterator[Api]:
    portal = Portal(name="main", url="http://crm", token=SecretStr("secret-token"))
    settings = settings_for(server, portal, api=ApiSettings(max_body_mb=1))
    async with serving(settings, redis, limits=Limits(lingering_s=0.3, body_silence_s=5.0, ending_s=1.0)) as api:
        yield api
    assert "request_failed" not in log.getvalue()
    assert "Traceback" not in log.getvalue()


async def ask(api: Api, method: bytes, target: bytes, headers: bytes = b"", body: bytes = b"") -> Answer:
    """Send one request exactly as it is, and return its only answer."""
    [answer] = await exchange(api.port, method + b" " + target + b" HTTP/1.1\r\n" + CLOSE + headers + b"\r\n" + body)
    return answer


async def post(api: Api, media_type: bytes, body: bytes, headers: bytes = b"", query: bytes = b"") -> Answer:
    """Submit a body with its length."""
    length = b"Content-Type: " + media_type + b"\r\nContent-Length: %d\r\n" % len(body)
    return await ask(api, b"POST", b"/v1/jobs" + query, length + headers, body)


async def submit(api: Api, framing: bytes, body: bytes) -> Answer:
    """Submit a list whose length is given in a peculiar way."""
    return await ask(api, b"POST", b"/v1/jobs?portal=main", b"Content-Type: text/plain\r\n" + framing, body)


def outcome(answer: Answer) -> tuple[int, str]:
    """Return the status, and the word of the problem if it is one."""
    return answer.status, answer.word if answer.status >= 400 else ""


@pytest.mark.parametrize(
    ("target", "status", "word"),
    [
        (b"/v1/jobs/..", 404, "unknown-job"),
        (b"/v1/jobs/.", 404, "unknown-job"),
        (b"/v1/jobs/%2e%2e", 404, "unknown-job"),
        (b"/v1/jobs/%2E%2E%2Fportals", 404, "unknown-job"),
        (b"/v1/jobs/a%2Fb", 404, "unknown-job"),
        (b"/v1/jobs/%2F", 404, "unknown-job"),
        (b"/v1/jobs/%00", 404, "unknown-job"),
        (b"/v1/jobs/a%00b/why", 404, "unknown-job"),
        (b"/v1/jobs/a\x00b", 400, "bad-request"),
        (b"/v1/jobs/a:b", 404, "unknown-job"),
        (b"/v1/jobs/a%3Ab/results", 404, "unknown-job"),
        (b"/v1/jobs/%F0%9F%98%80/events", 404, "unknown-job"),
        (b"/v1/jobs/%ED%A0%80", 404, "unknown-job"),
        (b"/v1/jobs/%FF%FE", 404, "unknown-job"),
        (b"/v1/jobs/%zz", 404, "unknown-job"),
        (b"/v1/jobs/%0d%0aSet-Cookie:x=y", 404, "unknown-job"),
        (b"/v1/jobs/\xff", 400, "bad-request"),
        (b"/v1/jobs/a b", 400, "bad-request"),
        (b"/v1/jobs/" + b"x" * 8000, 404, "unknown-job"),
        (b"/v1/portals/..", 404, "unknown-portal"),
        (b"/v1/portals/%00", 404, "unknown-portal"),
        (b"/v1/portals/" + b"x" * 8000, 404, "unknown-portal"),
        (b"//v1/jobs", 404, "unknown-address"),
        (b"/v1//jobs", 404, "unknown-address"),
        (b"/\\..\\", 404, "unknown-address"),
        (b"/static/..%2f..%2fapp.py", 404, "unknown-address"),
        (b"/static/%2e%2e/app.py", 404, "unknown-address"),
        (b"/static/../app.py", 404, "unknown-address"),
        (b"*", 400, "bad-request"),
        (b"v1/jobs", 400, "bad-request"),
        (b"http://[::1/healthz", 400, "bad-request"),
        (b"http://localhost:99999/healthz", 400, "bad-request"),
        (b"/v1/jobs?limit=99999999999999999999999", 400, "bad-parameter"),
        (b"/v1/jobs?limit=-1", 400, "bad-parameter"),
        (b"/v1/jobs?limit=NaN", 400, "bad-parameter"),
        (b"/v1/jobs?limit=%D9%A5", 400, "bad-parameter"),
        (b"/v1/jobs?limit=5&limit=5", 400, "bad-parameter"),
        (b"/v1/jobs?limit", 400, "bad-parameter"),
        (b"/v1/jobs?=", 400, "bad-parameter"),
        (b"/v1/jobs?x=" + b"y" * 8000, 400, "bad-parameter"),
        (b"/v1/jobs?" + b"y" * 8000 + b"=x", 400, "bad-parameter"),
        (b"/v1/jobs?" + b"&".join(b"x=%d" % number for number in range(900)), 400, "bad-parameter"),
        (b"/v1/jobs?" + b"x" * 9000, 431, "headers-too-large"),
        (b"/v1/jobs?state=running%00", 400, "bad-parameter"),
        (b"/v1/jobs?portal=%FF", 404, "unknown-portal"),
        (b"/v1/jobs?cursor=" + b"9" * 190 + b"-a", 400, "bad-parameter"),
        (b"/v1/jobs?cursor=1-a%00", 200, ""),
        (b"/healthz?x", 400, "bad-parameter"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)
async def test_a_peculiar_address(api: Api, target: bytes, status: int, word: str) -> None:
    answer = await ask(api, b"GET", target)
    assert outcome(answer) == (status, word)
    assert len(answer.body) < 2000  # what was sent does not come back at full length


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE", b"PUT", b"DELETE", b"PROPFIND"])
async def test_a_method_that_is_not_for_this(api: Api, method: bytes) -> None:
    answer = await ask(api, method, b"/v1/jobs")
    assert (outcome(answer), answer.headers["Allow"]) == ((405, "method-not-allowed"), "GET, HEAD, POST")


@pytest.mark.parametrize("method", [b"", b"get", b"FOO", b"PRI", b"G\x00T", b"G" * 9000])
async def test_what_is_no_method(api: Api, method: bytes) -> None:
    assert outcome(await ask(api, method, b"/v1/jobs")) == (400, "bad-request")


@pytest.mark.parametrize("target", [b"localhost:443", b"/v1/jobs"])
async def test_nobody_gets_a_tunnel(api: Api, target: bytes) -> None:
    assert (await ask(api, b"CONNECT", target)).status in {400, 404, 405}


async def test_nothing_is_sent_after_a_head(api: Api) -> None:
    for target, status in ((b"/v1/jobs", 200), (b"/nothing", 404), (b"/v1/jobs?limit=x", 400)):
        data = b"HEAD " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        [answer] = await exchange(api.port, data)
        assert (answer.status, answer.body) == (status, b"")


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "bad-json"),
        (b"null", 422, "invalid"),
        (b"[" * 200_000, 422, "invalid"),
        (b"\x00" * 100, 400, "bad-json"),
        (b'{"portal":"main","contact_ids":[1]} more', 400, "bad-json"),
        (b'{"portal":"main","contact_ids":[1,]}', 400, "bad-json"),
        (b'{"portal":"main","contact_ids":[NaN]}', 400, "bad-json"),
        (b'{"portal":"main","contact_ids":[1e400]}', 422, "invalid-list"),
        (b'{"portal":"main","contact_ids":[5.0]}', 422, "invalid-list"),
        (b'{"portal":"main","contact_ids":[-0]}', 422, "invalid-list"),
        (b'{"portal":"main","contact_ids":[' + b"9" * 5000 + b"]}", 422, "invalid-list"),
        (b'{"portal":"main","contact_ids":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "bad-json"),
        (b'{"portal":"main","contact_ids":[1],"contact_ids":[2]}', 400, "bad-json"),
        (b'{"portal":"other","contact_ids":[1],"portal":"main"}', 400, "bad-json"),
        (b'{"portal":"main","contact_ids":[{"id":1,"id":2}]}', 422, "invalid-list"),
        (b'{"portal":"main","contact_ids":[1],"' + b"k" * 100_000 + b'":1}', 422, "invalid"),
        (b'{"portal":"main","contact_ids":[1],"label":"\xff"}', 400, "bad-json"),
        (b'{"portal":"main","contact_ids":[1],"label":"\\ud800"}', 400, "bad-json"),
        (b'{"portal":"main","contact_ids":[1],"label":"\\u0000"}', 422, "invalid"),
        (b'{"portal":"main","contact_ids":[1],"id":"x\\n"}', 422, "invalid"),
        (b'{"portal":"main\\u0000","contact_ids":[1]}', 404, "unknown-portal"),
        (b'\xef\xbb\xbf{"portal":"main","contact_ids":[1]}', 202, ""),
        ('{"portal":"main","contact_ids":[1]}'.encode("utf-16"), 202, ""),
        ('{"portal":"main","contact_ids":[1]}'.encode("utf-16-le"), 400, "bad-json"),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else None,
)
async def test_a_peculiar_document(redis: ArqRedis, api: Api, body: bytes, status: int, word: str) -> None:
    answer = await post(api, b"application/json", body)
    assert outcome(answer) == (status, word)
    assert len(answer.body) < 2000
    assert bool(await redis.dbsize()) == (status == 202)


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        (b"application/json; charset=utf-8", 202),
        (b"APPLICATION/JSON;;;", 202),
        (b'application/json; x="', 202),
        (b"application/json, text/plain", 415),
        (b"application/vnd.api+json", 415),
        (b"multipart/form-data; boundary=x", 415),
        (b"application", 415),
        (b"", 415),
        (b"\xff/\xff", 415),
        (b"*/*", 415),
    ],
)
async def test_a_peculiar_media_type(api: Api, media_type: bytes, status: int) -> None:
    answer = await post(api, media_type, b'{"portal":"main","contact_ids":[1]}')
    assert outcome(answer) == (status, "unsupported-media-type" if status == 415 else "")


@pytest.mark.parametrize(
    ("media_type", "headers", "body", "status", "word"),
    [
        (b"text/plain", b"", b"", 422, "invalid-list"),
        (b"text/plain", b"", b"\xff\xfe", 422, "invalid-list"),
        (b"text/plain", b"", b"7\x00\n", 422, "invalid-list"),
        (b"text/plain", b"", b"\xef\xbb\xbf7", 202, ""),
        (b"text/plain; charset=utf-16", b"", "7\n".encode("utf-16"), 202, ""),
        (b"text/plain; charset=utf-16", b"", "7\n".encode("utf-16-be"), 422, "invalid-list"),
        (b"text/plain", b"", b"9" * 900_000, 422, "invalid-list"),
        (b"text/csv", b"", b'"' + b"a" * 900_000, 422, "invalid-list"),
        (b"application/x-ndjson", b"", b'{"id":' + b"[" * 900_000, 422, "invalid-list"),
        (b"application/x-ndjson", b"", b"\xff\n", 422, "invalid-list"),
        (b"text/plain", GZIP, packed(b"7\n") + packed(b"8\n"), 202, ""),
        (b"text/plain", GZIP, packed(b"7\n") + b"more", 400, "bad-body"),
        (b"text/plain", GZIP, packed(b"7\n")[:-5] + b"12345", 400, "bad-body"),
        (b"text/plain", GZIP, BOMB, 413, "too-large"),
        (b"text/plain", b"", BOMB, 413, "too-large"),
        (b"text/plain", b"Content-Encoding: deflate\r\n", b"7\n", 415, "unsupported-media-type"),
        (b"text/plain", b"Content-Encoding: gzip, gzip\r\n", b"7\n", 415, "unsupported-media-type"),
        (b"text/plain", b"Idempotency-Key: \xff\xfe\r\n", b"7\n", 422, "invalid"),
        (b"text/plain", b"Idempotency-Key: \r\n", b"7\n", 422, "invalid"),
        (b"text/plain", b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n", b"7\n", 422, "invalid"),
        (b"text/plain", b"X: \xff\xfe\r\n", b"7\n", 202, ""),
        (b"text/plain", b"X: a\x00b\r\n", b"7\n", 400, "bad-request"),
        (b"text/plain", b"X Y: a\r\n", b"7\n", 400, "bad-request"),
        (b"text/plain", b": a\r\n", b"7\n", 400, "bad-request"),
        (b"text/plain", b"X: a\r\n b\r\n", b"7\n", 400, "bad-request"),
        (b"text/plain", b"Expect: cake\r\n", b"7\n", 417, "expectation-failed"),
        (b"text/plain", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"7\n", 202, ""),
    ],
)
async def test_a_peculiar_list(
    redis: ArqRedis, api: Api, *, media_type: bytes, headers: bytes, body: bytes, status: int, word: str
) -> None:
    answer = await post(api, media_type, body, headers, query=b"?portal=main")
    assert outcome(answer) == (status, word)
    assert bool(await redis.dbsize()) == (status == 202)


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 2\r\n" + CHUNKED,
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Content-Length: 2, 2\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length: 0x2\r\n",
        b"Content-Length: \r\n",
        b"Content-Length: 99999999999999999999999999\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: identity\r\n",
        CHUNKED + CHUNKED,
        b"Transfer-Encoding : chunked\r\n",
        b"",  # a body that was not announced is the next request
    ],
)
async def test_a_length_that_is_in_doubt(redis: ArqRedis, api: Api, framing: bytes) -> None:
    body = b"2\r\n7\n\r\n0\r\n\r\n" if b"hunked" in framing else b"7\n"
    assert outcome(await submit(api, framing, body)) == (400, "bad-request")
    assert await redis.dbsize() == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"2;extension=yes\r\n7\n\r\n0\r\n\r\n", 202),
        (b"2\r\n7\n\r\n0\r\nTrailer: yes\r\n\r\n", 202),
        (b"2\r\n7\n\r\n0\r\n\r\nand something else\r\n\r\n", 400),
        (b"zz\r\n7\n\r\n0\r\n\r\n", 400),
        (b"-2\r\n7\n\r\n0\r\n\r\n", 400),
        (b"FFFFFFFFFFFFFFFFF\r\n7\n", 400),
        (b"2\r\n7\nXX0\r\n\r\n", 400),
        (b"2\n7\n\n0\n\n", 400),
        (b"2\r\n7\n\r\n0\r\n" + b"X: y\r\n" * 1000 + b"\r\n", 400),
    ],
)
async def test_peculiar_chunks(redis: ArqRedis, api: Api, body: bytes, status: int) -> None:
    assert outcome(await submit(api, CHUNKED, body)) == (status, "bad-request" if status == 400 else "")
    assert bool(await redis.dbsize()) == (status == 202)


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"GET /healthz HTTP/1.0\r\n\r\n", [200]),
        (b"GET /v1/jobs/x/results HTTP/1.0\r\n\r\n", [404]),
        (b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", [400]),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n", [400]),
        (b"GET /healthz HTTP/1.2\r\nHost: localhost\r\n\r\n", [400]),
        (b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n", [400]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
        (b"GET /healthz HTTP/1.1\nHost: localhost\n\n", [400]),
        (b"\x00" * 50 + b"\r\n\r\n", [400]),
        (b"\r\n\r\nGET /healthz HTTP/1.1\r\n" + CLOSE + b"\r\n", [200]),
        (b"GET /healthz HTTP/1.1\r\n" + b"X" * 9000 + b": y\r\n\r\n", [431]),
        (b"G" * 100_000 + b" / HTTP/1.1\r\n\r\n", [400]),
    ],
)
async def test_other_versions_and_other_starts(api: Api, data: bytes, statuses: list[int]) -> None:
    answers = await exchange(api.port, data)
    assert [answer.status for answer in answers] == statuses
    assert all(answer.word for answer in answers if answer.status >= 400)


async def test_requests_behind_each_other_are_answered_in_their_order(api: Api) -> None:
    host = b" HTTP/1.1\r\nHost: localhost\r\n"
    data = (
        b"GET /healthz" + host + b"\r\n"
        b"POST /v1/jobs?portal=main" + host + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n7\n"
        b"POST /v1/jobs?portal=nobody" + host + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n7\n"
        b"GET /nothing" + host + b"\r\n"
        b"GET /healthz" + host + b"Connection: close\r\n\r\n"
    )
    assert [answer.status for answer in await exchange(api.port, data)] == [200, 202, 404, 404, 200]


async def test_a_request_hidden_in_a_body_is_not_one(api: Api) -> None:
    framing = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    hidden = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    [answer] = await exchange(
        api.port, b"POST /v1/jobs/x/pause HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n" + hidden
    )
    assert outcome(answer) == (400, "bad-request")


@pytest.mark.parametrize("host", [b"evil.example", b"[", b"[::1", b"localhost:x", b"localhost@evil", b"\xff", b"a b"])
async def test_a_peculiar_host_is_not_this_machine(api: Api, host: bytes) -> None:
    [answer] = await exchange(api.port, b"GET /v1/jobs HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert outcome(answer) == (403, "foreign-origin")


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "bad-json"),
        (b"{}", 422, "invalid"),
        (b'{"requests_per_second":1e400}', 422, "invalid"),
        (b'{"requests_per_second":1e-400}', 422, "invalid"),
        (b'{"requests_per_second":NaN}', 400, "bad-json"),
        (b'{"requests_per_second":1,"requests_per_second":2}', 400, "bad-json"),
        (b'{"max_concurrency":' + b"9" * 10_000 + b"}", 422, "invalid"),
        (b'{"max_concurrency":2.0}', 200, ""),
        (b'{"max_concurrency":1e1}', 200, ""),
        (b'{"max_concurrency":2.5}', 422, "invalid"),
        (b'{"max_concurrency":true}', 422, "invalid"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)
async def test_peculiar_limits_of_a_portal(api: Api, body: bytes, status: int, word: str) -> None:
    length = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    answer = await ask(api, b"PATCH", b"/v1/portals/main", length, body)
    assert outcome(answer) == (status, word)
    if status == 200:
        assert answer.json["max_concurrency"] == json.loads(body)["max_concurrency"]


async def test_an_unwanted_body_is_not_read_without_end(api: Api) -> None:
    answer = await ask(api, b"POST", b"/v1/jobs/x/pause", b"Content-Length: 5000000\r\n", b"h" * 5_000_000)
    assert outcome(answer) == (413, "too-large")
