"""Which requests are spans, and what a span says of an answer."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from config.settings import Settings
from tests.support.tracing import Spans, attribute, has_failed, tracing
from web.http.context import SETTINGS
from web.http.middleware import answer
from web.http.problems import Kind, Refusal
from web.http.tracing import trace_request


async def changed(_request: web.Request) -> web.Response:
    return web.Response(status=201)


async def redirected(_request: web.Request) -> web.Response:
    raise web.HTTPSeeOther("/somewhere?else=zebulon")


async def refused(_request: web.Request) -> web.Response:
    raise Refusal(Kind.UNKNOWN_JOB, "There is no job zebulon.")


async def broken(_request: web.Request) -> web.Response:
    raise RuntimeError("zebulon")


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application(middlewares=[trace_request, answer])
    app[SETTINGS] = Settings(portals={})
    for name, handler in {"{name}": changed, "a/move": redirected, "a/no": refused, "a/bug": broken}.items():
        app.router.add_post(f"/{name}", handler)
        app.router.add_get(f"/{name}", handler)
    async with TestClient(TestServer(app)) as client:
        yield client


async def spans_of(client: TestClient[web.Request, web.Application], *paths: str, method: str = "POST") -> Spans:
    with tracing() as spans:
        for path in paths:
            async with client.request(method, path, allow_redirects=False):
                pass
    return spans


async def test_a_span_has_the_template_of_the_address_and_nothing_of_the_query(
    client: TestClient[web.Request, web.Application],
) -> None:
    spans = await spans_of(client, "/zebulon?who=zebulon")
    [span] = spans.all()
    assert (span.name, attribute(span, "http.route")) == ("POST /{name}", "/{name}")
    assert attribute(span, "http.response.status_code") == 201
    assert "zebulon" not in span.to_json()


@pytest.mark.parametrize(
    ("path", "status", "word", "failed"),
    [
        ("/a/move", 303, None, False),
        ("/a/no", 404, "unknown-job", False),
        ("/no/such/address", 404, "unknown-address", False),
        ("/a/bug", 500, "internal", True),
    ],
)
async def test_what_went_wrong_is_the_word_of_the_problem(
    client: TestClient[web.Request, web.Application], path: str, status: int, word: str | None, failed: bool
) -> None:
    [span] = (await spans_of(client, path)).all()
    assert attribute(span, "http.response.status_code") == status
    assert attribute(span, "error.type") == word
    assert has_failed(span) is failed
    assert "zebulon" not in span.to_json()


async def test_reading_is_not_traced(client: TestClient[web.Request, web.Application]) -> None:
    assert not (await spans_of(client, "/a/no", "/zebulon", method="GET")).all()
