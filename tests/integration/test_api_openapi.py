"""The OpenAPI document: whole, unambiguous, and what answers really look like."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import web
from arq.connections import ArqRedis
from pydantic import SecretStr
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from config.settings import Portal, Settings
from jobs.accept.submit import submit
from jobs.intake.parser import IntakeParser
from jobs.intake.tally import IntakeError
from tests.conftest import settings_for
from tests.support.serving import serving
from tests.support.submitting import request
from web.api.openapi import document
from web.api.operations import OPERATIONS
from web.api.submission import STREAMED
from web.app import make_app


@pytest.fixture
def settings(server: EmbeddedServer) -> Settings:
    return settings_for(server, Portal(name="main", url="http://crm", token=SecretStr("secret-token")))


@pytest.fixture(scope="module", params=[True, False], ids=["keys", "no-keys"])
def made(request: pytest.FixtureRequest) -> dict[str, Any]:
    return document(OPERATIONS, keys=request.param)


@pytest.fixture(scope="module")
def lists() -> dict[str, Any]:
    """Describe the lists that can be posted, by their type."""
    content = document(OPERATIONS, keys=False)["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    return {form: described["schema"] for form, described in content.items()}


def values(node: Any, name: str) -> Iterator[Any]:
    """Yield all values under a name, at any depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield value
            yield from values(value, name)
    elif isinstance(node, list):
        for item in node:
            yield from values(item, name)


def test_every_reference_leads_somewhere(made: dict[str, Any]) -> None:
    for reference in values(made, "$ref"):
        assert reference.removeprefix("#/components/schemas/") in made["components"]["schemas"]
    names = [operation["operationId"] for methods in made["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)
    for links in values(made["paths"], "links"):
        assert {link["operationId"] for link in links.values()} <= set(names)


def test_every_schema_is_one(made: dict[str, Any]) -> None:
    for schema in made["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema | {"$schema": "https://json-schema.org/draft/2020-12/schema"})


#: Contact IDs, and what is nearly one.
_WRITTEN = [
    *("1", "9", "10", "007", "0" * 30 + "7", "999999999", "1000000000", "1999999999", "2147483639", "2147483646"),
    *("2147483647", "02147483647", "0", "000", "2147483648", "2147483700", "2200000000", "3000000000", "9999999999"),
    *("10000000000", "21474836470", "-1", "+1", "1.0", "1e3", "x", ""),
]


@pytest.mark.parametrize("form", ["text/plain", "text/csv", "application/x-ndjson"])
@pytest.mark.parametrize("written", _WRITTEN)
def test_a_list_is_described_as_it_is_read(lists: dict[str, Any], form: str, written: str) -> None:
    text = ("contact_id\n" if form == "text/csv" else "") + f"{written}\n101\n"
    if not written:
        text = text.removesuffix("101\n")  # an empty line among others is skipped
    parser = IntakeParser(form=STREAMED[form])
    try:
        parser.feed(text.encode())
        parser.close()
        is_read = True
    except IntakeError:
        is_read = False
    assert jsonschema_rs.is_valid(lists[form], text) is is_read


def test_security_is_told_where_there_is_any() -> None:
    with_keys, without = document(OPERATIONS, keys=True), document(OPERATIONS, keys=False)
    assert with_keys["paths"]["/v1/jobs"]["post"]["security"] == [{"key": ["submit"]}]
    assert with_keys["paths"]["/healthz"]["get"]["security"] == []
    assert not list(values(without, "security"))
    assert "401" not in without["paths"]["/v1/jobs"]["get"]["responses"]


async def test_what_is_served_under_v1_is_what_is_described(settings: Settings, redis: ArqRedis) -> None:
    app = make_app(settings, redis)
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD" and route.resource.canonical.startswith("/v1")
    }
    described = {(operation.method, operation.path) for operation in OPERATIONS if operation.path.startswith("/v1")}
    assert served == described
    assert isinstance(app, web.Application)


async def test_answers_are_as_described(settings: Settings, redis: ArqRedis) -> None:
    job_id = (await submit(redis, request(portal="main", ids=BitMap([1, 2, 3]), by="me"))).job_id
    body = json.dumps({"portal": "main", "contact_ids": [4]})
    calls: list[tuple[str, str, str, str | None]] = [
        ("POST", "/v1/jobs", "/v1/jobs", body),
        ("POST", "/v1/jobs", "/v1/jobs", "{}"),
        ("POST", "/v1/jobs", "/v1/jobs", '{"portal": "main", "contact_ids": ["x"]}'),
        ("GET", "/v1/jobs", "/v1/jobs", None),
        ("GET", "/v1/jobs", "/v1/jobs?limit=x", None),
        ("GET", "/v1/jobs/{job_id}", f"/v1/jobs/{job_id}", None),
        ("GET", "/v1/jobs/{job_id}", "/v1/jobs/nobody", None),
        ("GET", "/v1/jobs/{job_id}/why", f"/v1/jobs/{job_id}/why", None),
        ("PATCH", "/v1/jobs/{job_id}", f"/v1/jobs/{job_id}", '{"priority": "urgent"}'),
        ("POST", "/v1/jobs/{job_id}/pause", f"/v1/jobs/{job_id}/pause", None),
        ("POST", "/v1/jobs/{job_id}/approve", f"/v1/jobs/{job_id}/approve", None),
        ("GET", "/v1/portals", "/v1/portals", None),
        ("GET", "/v1/portals/{name}", "/v1/portals/main", None),
        ("PATCH", "/v1/portals/{name}", "/v1/portals/main", '{"max_concurrency": 2.0}'),
        ("PATCH", "/v1/portals/{name}", "/v1/portals/main", "{"),
        ("GET", "/healthz", "/healthz", None),
        ("GET", "/readyz", "/readyz", None),
    ]
    async with serving(settings, redis) as api:
        made = await api.json("GET", "/openapi.json")
        assert made["openapi"].startswith("3.1")
        for method, path, address, data in calls:
            headers = {"Content-Type": "application/json"}
            async with api.client.request(method, address, data=data, headers=headers) as answer:
                described = made["paths"][path][method.lower()]["responses"][str(answer.status)]
                schema = described["content"][answer.content_type]["schema"] | {"components": made["components"]}
                jsonschema_rs.validate(schema, await answer.json(content_type=None))
