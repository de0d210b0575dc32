"""Who may do what: keys, scopes, portals, ceilings; and who gets in where there are no keys."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from config.settings import Api as ApiSettings
from config.settings import ApiKey, Portal, Settings
from jobs.accept.submit import submit
from jobs.store import keys
from tests.conftest import settings_for
from tests.support.raw_http import Answer, exchange
from tests.support.serving import Api, serving
from tests.support.submitting import request
from web.http.callers import find_key

PREFIX = "urn:crm-sweep:problem:"


def key(name: str, *scopes: str, **more: Any) -> ApiKey:
    """Return a key whose text is its name."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return ApiKey.model_validate({"name": name, "key_sha256": digest, "scopes": scopes, **more})


KEYS = (
    key("all", "read", "submit", "control"),
    key("reader", "read"),
    key("submitter", "submit", max_contacts=2),
    key("steerer", "control"),
    key("guest", "read", "submit", "control", portals=("other",)),
)


@pytest.fixture
def settings(server: EmbeddedServer) -> Settings:
    portals = [Portal(name=name, url="http://crm", token=SecretStr("secret-token")) for name in ("main", "other")]
    return settings_for(server, *portals, api=ApiSettings(keys=KEYS))


@pytest.fixture
async def api(settings: Settings, redis: ArqRedis) -> AsyncIterator[Api]:
    async with serving(settings, redis) as api:
        yield api


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


@pytest.fixture
async def job_id(redis: ArqRedis) -> str:
    return (await submit(redis, request(portal="main", ids=BitMap([1, 2])))).job_id


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer nobody",
        "bearer ALL",
        "Basic YTpi",
        "all",
        "Bearer \udcff",
        "Bearer all x",
    ],
)
async def test_without_a_right_key_nothing_is_told(api: Api, job_id: str, header: str | None) -> None:
    for method, path in (
        ("GET", f"/v1/jobs/{job_id}"),
        ("GET", "/v1/jobs"),
        ("POST", "/v1/jobs"),
        ("GET", "/v1/portals"),
    ):
        answer = await raw(api, method, path, header)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")
        assert f"{PREFIX}unauthorized".encode() in answer.body
        assert job_id not in str(answer)


async def raw(api: Api, method: str, path: str, authorization: str | None) -> Answer:
    """Send a request whose header may contain any bytes."""
    header = "" if authorization is None else f"Authorization: {authorization}\r\n"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n"
    [answer] = await exchange(api.port, head.encode("utf-8", "surrogateescape"))
    return answer


@pytest.mark.parametrize("pair", ["all\r\nAuthorization: Bearer nobody", "nobody\r\nAuthorization: Bearer all"])
async def test_of_two_keys_none_is_taken(api: Api, job_id: str, pair: str) -> None:
    """A proxy in front that checks keys as well might look at the other one."""
    assert (await raw(api, "GET", f"/v1/jobs/{job_id}", f"Bearer {pair}")).status == 401


async def test_a_right_key_is_taken_in_any_case_of_the_scheme(api: Api, job_id: str) -> None:
    for scheme in ("Bearer", "bearer", "BEARER "):
        assert (await raw(api, "GET", f"/v1/jobs/{job_id}", f"{scheme} all")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/jobs", "read"),
        ("GET", "/v1/jobs/{id}", "read"),
        ("GET", "/v1/jobs/{id}/results", "read"),
        ("GET", "/v1/jobs/{id}/events", "read"),
        ("GET", "/v1/jobs/{id}/why", "read"),
        ("GET", "/v1/portals", "read"),
        ("GET", "/v1/portals/main", "read"),
        ("POST", "/v1/jobs", "submit"),
        ("POST", "/v1/jobs/{id}/pause", "control"),
        ("POST", "/v1/jobs/{id}/resume", "control"),
        ("POST", "/v1/jobs/{id}/cancel", "control"),
        ("POST", "/v1/jobs/{id}/approve", "control"),
        ("POST", "/v1/jobs/{id}/retry-failed", "control"),
        ("PATCH", "/v1/jobs/{id}", "control"),
        ("PATCH", "/v1/portals/main", "control"),
    ],
)
async def test_a_key_without_the_scope_is_told_which_one_it_lacks(
    api: Api, job_id: str, method: str, path: str, scope: str
) -> None:
    others = {"reader": "read", "submitter": "submit", "steerer": "control"}
    for name in [name for name, has in others.items() if has != scope]:
        problem = await api.json(method, path.replace("{id}", job_id), status=403, headers=bearer(name))
        assert (problem["type"], problem["scope"]) == (f"{PREFIX}insufficient-scope", scope)
    assert (await api.json("GET", f"/v1/jobs/{job_id}", headers=bearer("reader")))["state"] == "queued"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
async def test_what_supervisors_ask_needs_no_key(api: Api, path: str) -> None:
    async with api.client.get(path) as answer:
        assert answer.status == 200


async def test_a_restricted_key_sees_its_portals_and_their_jobs_alone(redis: ArqRedis, api: Api, job_id: str) -> None:
    other = (await submit(redis, request(portal="other", ids=BitMap([1])))).job_id
    guest: dict[str, Any] = {"headers": bearer("guest")}
    for method, path in (
        ("GET", f"/v1/jobs/{job_id}"),
        ("GET", f"/v1/jobs/{job_id}/results"),
        ("GET", f"/v1/jobs/{job_id}/events"),
        ("GET", f"/v1/jobs/{job_id}/why"),
        ("POST", f"/v1/jobs/{job_id}/pause"),
        ("POST", f"/v1/jobs/{job_id}/retry-failed"),
    ):
        problem = await api.json(method, path, status=404, **guest)
        assert problem["type"] == f"{PREFIX}unknown-job"
    await api.json("PATCH", f"/v1/jobs/{job_id}", status=404, json={"priority": "urgent"}, **guest)
    for method, path, body in (
        ("GET", "/v1/portals/main", None),
        ("PATCH", "/v1/portals/main", {"max_concurrency": 2}),
        ("GET", "/v1/jobs?portal=main", None),
        ("POST", "/v1/jobs", {"portal": "main", "contact_ids": [1]}),
    ):
        problem = await api.json(method, path, status=404, json=body, **guest)
        assert problem["type"] == f"{PREFIX}unknown-portal"
        assert problem["detail"].endswith("(configured: other)")
    assert [job["id"] for job in (await api.json("GET", "/v1/jobs", **guest))["jobs"]] == [other]
    assert [portal["name"] for portal in (await api.json("GET", "/v1/portals", **guest))["portals"]] == ["other"]
    assert (await api.json("POST", f"/v1/jobs/{other}/pause", **guest))["actions"][-1]["by"] == "guest"
    assert (await api.json("GET", f"/v1/jobs/{job_id}", headers=bearer("all")))["state"] == "queued"


async def test_a_key_has_a_ceiling_of_contacts_per_job(redis: ArqRedis, api: Api) -> None:
    small, large = {"portal": "main", "contact_ids": [1, 1, 2]}, {"portal": "main", "contact_ids": [1, 2, 3]}
    job = await api.json("POST", "/v1/jobs", status=202, json=small, headers=bearer("submitter"))
    problem = await api.json("POST", "/v1/jobs", status=403, json=large, headers=bearer("submitter"))
    assert problem["type"] == f"{PREFIX}too-many-contacts"
    assert job["actions"][0]["by"] == "submitter"
    assert await redis.zcard(keys.JOBS) == 1


def test_a_key_is_found_by_its_digest_alone(settings: Settings) -> None:
    found = find_key(settings, "guest")
    assert found is not None
    assert (found.name, found.portals, found.max_contacts) == ("guest", frozenset({"other"}), None)
    assert found.scopes == {"read", "submit", "control"}
    assert found.sees("other")
    assert not found.sees("main")
    assert find_key(settings, "Guest") is None
    assert find_key(settings, settings.api.keys[0].key_sha256) is None
