"""A portal's answers can contain anything, including contact data and secrets: none of it is kept or logged."""

import io
import json
from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis

from cli.embedded import EmbeddedServer
from jobs.store import keys
from jobs.words.states import State
from tests.conftest import settings_for
from tests.support.raw_portal import Behave, RawPortal, answer, error, listing, raw_portal, sending
from tests.support.sweeping import EAGER, MARKS, accept
from tests.support.waiting import until
from worker.main import working
from worker.portal_answers import Failure
from worker.portal_client import PortalClient
from worker.token_store import LocalTokenStore

pytestmark = MARKS

#: What must not be passed on: a person's data, an escape sequence for a terminal, a forged line for the log.
NAME, MAIL = "Zebulon Quagmire", "zebulon@quagmire.example"
POISON = f'{NAME} <{MAIL}> \x1b[2J\r\n{{"event": "forged", "level": "info"}} \u202e'

_LONG = POISON * 20_000

HOSTILE: dict[str, Behave] = {
    "error-400": error(400, POISON),
    "error-403": error(403, POISON),
    "error-403-invalid-operation": error(403, POISON, -2146233079),
    "error-500": error(500, POISON),
    "error-500-database": error(500, f"Duplicate entry '{MAIL}' for key", -2147467259),
    "error-503": error(503, POISON),
    "error-long": error(500, _LONG),
    "error-inside-200": answer(200, {"status": 1, "statusCode": 500, "error": {"message": POISON, "hresult": POISON}}),
    "page-200": answer(200, f"<html><title>{POISON}</title></html>"),
    "page-400": answer(400, f"<html>{POISON}</html>"),
    "page-502": answer(502, f"<html>{POISON}</html>"),
    "text-404": answer(404, POISON),
    "xml": answer(500, f"<result><status>1</status><error><message>{NAME} {MAIL}</message></error></result>"),
    "xml-bomb": answer(500, f'<!DOCTYPE r [<!ENTITY a "{MAIL}">]><result>&a;</result>'),
    "contacts-of-others": answer(200, listing([1, 2, 3, 999_999])),
    "items-without-id": answer(
        200, {"status": 0, "statusCode": 200, "response": [{"displayName": NAME, "email": MAIL}]}
    ),
    "names-for-ids": answer(200, {"status": 0, "statusCode": 200, "count": 1, "response": [{"id": MAIL}]}),
    "redirect": answer(302, b"", {"Location": f"http://example.com/?user={MAIL}"}),
    "odd-headers": answer(429, b"", {"Retry-After": MAIL, "X-User": MAIL, "Set-Cookie": f"asc_auth_key={MAIL}"}),
    "status-line": sending(f"HTTP/1.1 500 {NAME} {MAIL}\r\nContent-Length: 0\r\n\r\n".encode()),
    "no-http": sending(f"{NAME} {MAIL}\r\n\r\n".encode()),
    "bad-header": sending(f"HTTP/1.1 200 OK\r\n{MAIL}\r\n\r\n".encode()),
    "bad-chunk": sending(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{MAIL}\r\n".encode()),
    "cut-off": answer(200, f'{{"response": [{{"displayName": "{NAME}', length=10_000),
}


def assert_clean(text: str, where: str, *, is_binary: bool = False) -> None:
    """Check that none of the poison is in a text; in binary data, a byte alone can look like an escape."""
    escape = "\x1b[2J" if is_binary else "\x1b"
    for word in (NAME, MAIL, "Zebulon", "quagmire", "forged", "displayName", escape, "\\u001b", "\u202e", "999999"):
        assert word not in text, f"{word!r} in {where}"


@pytest.mark.parametrize("behave", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("call", ["delete", "look_up", "log_in"])
async def test_what_a_failure_says_is_ours_and_short(behave: Behave, call: str) -> None:
    log_in = {"username": "sweeper", "password": "pass-word-1"} if call == "log_in" else {}
    async with raw_portal(behave) as portal:
        client = PortalClient(portal.config(**log_in), LocalTokenStore(), _no_pace)
        try:
            outcome = await (client.look_up([1, 2]) if call == "look_up" else client.delete([1, 2]))
        finally:
            await client.close()
    assert isinstance(outcome, Failure)
    assert_clean(repr(outcome), "the failure")
    assert 10 < len(outcome.message) <= 300
    assert outcome.message.isprintable()
    assert "127.0.0.1" not in outcome.message, "the address of the portal is not for everyone"


async def _no_pace() -> None:
    return


@pytest.fixture(
    params=["error-400", "error-500-database", "error-long", "page-200", "contacts-of-others", "bad-header"]
)
async def hostile(request: pytest.FixtureRequest) -> AsyncIterator[RawPortal]:
    """Run a portal that answers everything in one bad way."""
    async with raw_portal(HOSTILE[request.param]) as portal:
        yield portal


async def test_a_whole_sweep_keeps_and_logs_nothing_that_the_portal_wrote(
    redis: ArqRedis, server: EmbeddedServer, hostile: RawPortal, log: io.StringIO
) -> None:
    limits = {"requests_per_second": 1000.0, "burst": 100, "max_attempts": 2, "backoff_base_s": 0.01}
    portal = hostile.config(**limits, backoff_max_s=0.01, failure_threshold=1.0)
    job_id = await accept(redis, [4_000_001, 4_000_002, 4_000_003])

    async def troubled() -> bool:
        state, error = await redis.execute_command("HMGET", keys.job(job_id), "state", "last_error")
        return error is not None and (state.decode() in {State.PAUSED, State.COMPLETED} or len(hostile.requests) > 8)

    async with working(settings_for(server, portal, worker=EAGER)):
        await until(troubled)
    assert len(hostile.requests) > 0
    last_error = (await redis.execute_command("HGET", keys.job(job_id), "last_error")).decode()
    assert 10 < len(last_error) <= 300
    for key in await redis.keys("*"):
        is_binary = any(part.encode() in key for part in (keys.LEDGER, keys.ITEMS, keys.SEGMENTS, keys.CLAIMS))
        assert_clean(await everything_in(redis, key), key.decode(), is_binary=is_binary)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert any(line["event"] == "batch_failed" and line["job_id"] == job_id for line in lines)
    assert_clean(log.getvalue(), "the log")
    assert "the-token" not in log.getvalue()
    assert "4000001" not in "".join(line for line in log.getvalue().splitlines() if '"debug"' not in line)


async def everything_in(redis: ArqRedis, key: bytes) -> str:
    """Return the content of a key as text."""
    reading: dict[bytes, tuple[str | int, ...]] = {
        b"string": ("GET", key.decode()),
        b"hash": ("HGETALL", key.decode()),
        b"list": ("LRANGE", key.decode(), 0, -1),
        b"zset": ("ZRANGE", key.decode(), 0, -1),
    }
    kind = await redis.type(key)
    if kind == b"none":
        return ""
    content = await redis.execute_command(*reading[kind])
    parts = content if isinstance(content, list) else content.items() if isinstance(content, dict) else [content]
    flat = [one for part in parts for one in (part if isinstance(part, tuple) else (part,))]
    return "\n".join(one.decode("utf-8", "replace") for one in flat)
