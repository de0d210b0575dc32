"""Whatever goes wrong is answered with a problem that reveals nothing about the inside."""

import errno
import io
import os
from collections.abc import AsyncIterator

import msgspec
import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

import web.api.portals
import web.page.new
from cli.embedded import EmbeddedServer
from config.settings import Portal, Settings
from tests.conftest import settings_for
from tests.support.browsing import visiting
from tests.support.serving import Api, serving
from web.http.middleware import SECURITY_HEADERS
from web.http.problems import TYPE_PREFIX, Kind, Problem
from web.ops import health

KINDS = {TYPE_PREFIX + kind.word: kind for kind in Kind}


@pytest.fixture
def settings(server: EmbeddedServer) -> Settings:
    return settings_for(server, Portal(name="main", url="http://crm", token=SecretStr("secret-token")))


@pytest.fixture
async def api(settings: Settings, redis: ArqRedis) -> AsyncIterator[Api]:
    async with serving(settings, redis) as api:
        yield api


async def problem_at(api: Api, method: str, path: str, status: int) -> tuple[Problem, dict[str, str]]:
    async with api.client.request(method, path) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        problem = msgspec.json.decode(await answer.read(), type=Problem, strict=True)
        kind = KINDS[problem.type]
        assert (problem.status, problem.title) == (status, kind.title) == (kind.status, problem.title)
        return problem, dict(answer.headers)


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v2/jobs", "/v1/jobs/", "/v1/jobs/a/b", "/v1/portals/", "/%2e%2e/x"])
async def test_an_unknown_address(api: Api, path: str) -> None:
    problem, _ = await problem_at(api, "GET", path, 404)
    assert problem.type == TYPE_PREFIX + Kind.UNKNOWN_ADDRESS.word


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/jobs/x", "GET, HEAD, PATCH"),
        ("PUT", "/v1/jobs", "GET, HEAD, POST"),
        ("GET", "/v1/jobs/x/pause", "POST"),
        ("OPTIONS", "/v1/portals/main", "GET, HEAD, PATCH"),
        ("TRACE", "/healthz", "GET, HEAD"),
        ("POST", "/v1/jobs/x/results", "GET, HEAD"),
    ],
)
async def test_a_method_that_an_address_does_not_know(api: Api, method: str, path: str, allowed: str) -> None:
    _, headers = await problem_at(api, method, path, 405)
    assert headers["Allow"] == allowed


async def test_every_answer_has_the_headers_that_keep_browsers_careful(api: Api) -> None:
    for method, path in (("GET", "/v1/jobs"), ("GET", "/nothing"), ("PUT", "/v1/jobs"), ("GET", "/metrics")):
        async with api.client.request(method, path) as answer:
            for name, value in SECURITY_HEADERS.items():
                assert answer.headers[name] == value
            assert answer.headers["Server"] == "crm-sweep"


async def test_head_is_get_without_the_body(api: Api) -> None:
    for path in ("/v1/jobs", "/healthz", "/openapi.json"):
        async with api.client.head(path) as answer, api.client.get(path) as whole:
            assert (answer.status, answer.content_type) == (200, "application/json")
            assert await answer.read() == b""
            assert answer.headers["Content-Length"] == whole.headers["Content-Length"]


async def test_a_bug_is_answered_without_its_traceback(
    settings: Settings, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("the inside")

    monkeypatch.setattr(health, "Alive", fail)
    async with serving(settings, redis) as api, api.client.get("/healthz") as answer:
        text = await answer.text()
        assert answer.status == 500
    assert msgspec.json.decode(text, type=Problem).type == TYPE_PREFIX + "internal"
    assert "inside" not in text
    assert "Zero" not in text
    assert "request_failed" in log.getvalue()
    assert "ZeroDivisionError" in log.getvalue()


async def test_an_error_of_the_operating_system_is_no_outage_of_redis(
    settings: Settings, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/var/secret/path")

    monkeypatch.setattr(web.page.new, "keep_draft", fail)
    monkeypatch.setattr(web.api.portals, "read_portals", fail)
    async with visiting(settings, redis, "") as [person]:
        screen = await person.upload("1\n2\n")
        assert screen.status == 500
        assert Kind.SYSTEM_ERROR.title in screen.text
        answer = await person.look("/v1/portals")
        assert answer.status == 500
        assert msgspec.json.decode(answer.html, type=Problem).type == TYPE_PREFIX + "system-error"
    for told in (screen.html, answer.html):
        assert "secret" not in told
        assert "Redis" not in told
    assert log.getvalue().count("request_failed") == 2
    assert "No space left" in log.getvalue()
    assert "redis_away" not in log.getvalue()


async def test_readiness_tells_what_is_missing(api: Api) -> None:
    ready = await api.json("GET", "/readyz")
    assert ready["ready"]
    assert {finding["about"]: finding["level"] for finding in ready["findings"]} == {
        "redis": "warning",
        "workers": "warning",
    }
    assert "no worker is alive" in ready["findings"][-1]["message"]


def test_the_words_of_problems_are_unique() -> None:
    # A job can be too large for a key or for a portal: the same word, and the status tells them apart.
    assert len(KINDS) == len(Kind) - 1
    assert Kind.TOO_MANY_CONTACTS.word == Kind.TOO_MANY_FOR_PORTAL.word
