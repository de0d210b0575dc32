"""Steering jobs and portals over HTTP, and listing them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from config.settings import Portal
from jobs.accept.submit import submit
from jobs.store import keys
from jobs.store.times import clock, iso
from tests.conftest import settings_for
from tests.support.serving import Api, serving
from tests.support.submitting import request

PREFIX = "urn:crm-sweep:problem:"


@pytest.fixture
async def api(server: EmbeddedServer, redis: ArqRedis) -> AsyncIterator[Api]:
    portals = [
        Portal(name="main", url="http://crm", token=SecretStr("secret-token"), max_concurrency=2),
        Portal(name="other", url="http://crm", username="me", password=SecretStr("secret-password")),
    ]
    async with serving(settings_for(server, *portals), redis) as api:
        yield api


async def accept(redis: ArqRedis, *ids: int, **facts: Any) -> str:
    return (await submit(redis, request(ids=BitMap(ids or [1, 2, 3]), **{"portal": "main"} | facts))).job_id


async def test_a_job_is_paused_resumed_and_cancelled(redis: ArqRedis, api: Api) -> None:
    path = f"/v1/jobs/{await accept(redis)}"
    states = [(await api.json("POST", f"{path}/{verb}"))["state"] for verb in ("pause", "resume", "cancel")]
    assert states == ["paused", "queued", "cancelled"]
    job = await api.json("GET", path)
    assert job["counts"]["skipped"] == 3
    assert [(action["by"], action["action"]) for action in job["actions"]][-3:] == [
        ("local", "pause"), ("local", "resume"), ("local", "cancel")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "verb", "state", "allowed"),
    [
        ((), "resume", "queued", ["pause", "cancel"]),
        ((), "approve", "queued", ["pause", "cancel"]),
        ((), "retry-failed", "queued", ["pause", "cancel"]),
        (("pause",), "approve", "paused", ["resume", "cancel"]),
        (("cancel",), "pause", "cancelled", []),
        (("cancel",), "retry-failed", "cancelled", []),
    ],
)
async def test_a_move_that_the_state_does_not_allow_says_which_it_does(
    redis: ArqRedis, api: Api, *, before: tuple[str, ...], verb: str, state: str, allowed: list[str]
) -> None:
    path = f"/v1/jobs/{await accept(redis)}"
    for earlier in before:
        await api.json("POST", f"{path}/{earlier}")
    problem = await api.json("POST", f"{path}/{verb}", status=409)
    assert (problem["type"], problem["state"], problem["allowed"]) == (f"{PREFIX}illegal-move", state, allowed)
    assert (await api.json("GET", path))["state"] == state


@pytest.mark.parametrize(("before", "state"), [((), "queued"), (("pause",), "queued")])
async def test_a_resume_ends_the_rest_of_the_portal_and_says_what_it_had_asked_for(
    redis: ArqRedis, api: Api, *, before: tuple[str, ...], state: str
) -> None:
    path = f"/v1/jobs/{await accept(redis)}"
    seconds, _ = await redis.time()
    for name, at_s in {"push_back_until_ms": 3600, "asked_until_ms": 86_400}.items():
        await redis.execute_command("HSET", keys.portal("main"), name, (seconds + at_s) * 1000)
    view = await api.json("GET", "/v1/portals/main")
    assert (view["push_back_until"], view["rest_asked_until"]) == (
        iso((seconds + 3600) * 1000), iso((seconds + 86_400) * 1000)
    )  # fmt: skip
    for earlier in before:
        await api.json("POST", f"{path}/{earlier}")
    job = await api.json("POST", f"{path}/resume")
    assert job["state"] == state
    asked = clock(iso((seconds + 86_400) * 1000))
    assert job["actions"][-1]["detail"] == f"the portal had asked for a rest until {asked}"
    view = await api.json("GET", "/v1/portals/main")
    assert (view["push_back_until"], view["rest_asked_until"]) == (None, None)
    assert view["actions"][-1] == job["actions"][-1]
    if not before:
        await api.json("POST", f"{path}/resume", status=409)


async def test_the_priority_of_a_job_can_be_changed_until_it_has_ended(redis: ArqRedis, api: Api) -> None:
    path = f"/v1/jobs/{await accept(redis)}"
    job = await api.json("PATCH", path, json={"priority": "urgent"})
    assert (job["priority"], job["actions"][-1]["action"], job["actions"][-1]["by"]) == ("urgent", "priority", "local")
    wrong: list[Any] = [{"priority": "now"}, {"priority": None}, {}, {"priority": "normal", "label": "x"}, [], "urgent"]
    for body in wrong:
        problem = await api.json("PATCH", path, status=422, json=body)
        assert problem["type"] == f"{PREFIX}invalid"
        assert problem["errors"]
    await api.json("POST", f"{path}/cancel")
    problem = await api.json("PATCH", path, status=409, json={"priority": "normal"})
    assert (problem["state"], problem["allowed"]) == ("cancelled", [])


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "approve", "retry-failed"])
async def test_nobody_can_steer_an_unknown_job(api: Api, verb: str) -> None:
    for job_id in ("nobody", "a%3Asegments"):
        problem = await api.json("POST", f"/v1/jobs/{job_id}/{verb}", status=404)
        assert problem["type"] == f"{PREFIX}unknown-job"


async def test_what_belongs_to_a_job_is_not_a_job(redis: ArqRedis, api: Api) -> None:
    job_id = await accept(redis)
    await api.json("GET", f"/v1/jobs/{job_id}:segments", status=404)


async def test_portals_are_shown_without_address_and_credentials(api: Api) -> None:
    async with api.client.get("/v1/portals") as answer:
        text = await answer.text()
        portals = (await answer.json())["portals"]
    assert [portal["name"] for portal in portals] == ["main", "other"]
    assert (portals[0]["requests_per_second"], portals[0]["max_concurrency"], portals[0]["in_flight"]) == (5.0, 2, 0)
    assert await api.json("GET", "/v1/portals/other") == portals[1]
    for secret in ("secret", "http://crm", "me"):
        assert f'"{secret}' not in text


async def test_the_limits_of_a_portal_change_live(api: Api) -> None:
    portal = await api.json("PATCH", "/v1/portals/main", json={"requests_per_second": 0.5})
    assert (portal["requests_per_second"], portal["configured_requests_per_second"]) == (0.5, 5.0)
    assert (portal["learned_requests_per_second"], portal["max_concurrency"]) == (0.5, 2)
    assert (portal["actions"][-1]["by"], portal["actions"][-1]["action"]) == ("local", "limits")
    portal = await api.json("PATCH", "/v1/portals/main", json={"requests_per_second": None, "max_concurrency": 64})
    assert (portal["requests_per_second"], portal["max_concurrency"]) == (5.0, 64)
    assert await api.json("GET", "/v1/portals/main") == portal


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"requests_per_second": 0},
        {"requests_per_second": 1000.1},
        {"requests_per_second": "5"},
        {"requests_per_second": True},
        {"max_concurrency": 0},
        {"max_concurrency": 65},
        {"max_concurrency": 1.5},
        {"batch_size": 5},
        {"requests_per_second": 5, "url": "http://x"},
    ],
)
async def test_impossible_limits_change_nothing(api: Api, body: object) -> None:
    before = await api.json("GET", "/v1/portals/main")
    problem = await api.json("PATCH", "/v1/portals/main", status=422, json=body)
    assert problem["type"] == f"{PREFIX}invalid"
    assert await api.json("GET", "/v1/portals/main") == before


async def test_an_unknown_portal_cannot_be_looked_at_or_changed(api: Api) -> None:
    for method, body in (("GET", None), ("PATCH", {"max_concurrency": 1})):
        problem = await api.json(method, "/v1/portals/nobody", status=404, json=body)
        assert problem["type"] == f"{PREFIX}unknown-portal"


async def test_jobs_are_listed_newest_first_in_pages(redis: ArqRedis, api: Api) -> None:
    ids = [await accept(redis, number, job_id=f"job-{number}") for number in range(1, 8)]
    found: list[str] = []
    cursor: str | None = None
    pages = 0
    while cursor is not None or not pages:
        page = await api.json("GET", "/v1/jobs", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        found += [job["id"] for job in page["jobs"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert (found, pages) == (ids[::-1], 3)


async def test_jobs_are_listed_by_state_and_portal(redis: ArqRedis, api: Api) -> None:
    here, there = await accept(redis), await accept(redis, portal="other")
    await api.json("POST", f"/v1/jobs/{there}/pause")

    async def listed(query: str) -> list[str]:
        return [job["id"] for job in (await api.json("GET", f"/v1/jobs{query}"))["jobs"]]

    assert await listed("") == [there, here]
    assert await listed("?state=paused") == [there]
    assert await listed("?state=failed") == []
    assert await listed("?portal=main&state=queued&limit=1000") == [here]
    assert (await api.json("GET", "/v1/jobs?portal=nobody", status=404))["type"] == f"{PREFIX}unknown-portal"


@pytest.mark.parametrize(
    "query",
    [
        "cursor=x", "cursor=1-", "cursor=-1-a", "cursor=", f"cursor={'9' * 201}", "limit=0", "limit=1001", "limit=x",
        "limit=", "state=sleeping", "state=", "portal=", "offset=5", "limit=5&limit=6",
    ],
)  # fmt: skip
async def test_a_bad_parameter_is_named(api: Api, query: str) -> None:
    problem = await api.json("GET", f"/v1/jobs?{query}", status=400)
    assert problem["type"] == f"{PREFIX}bad-parameter"
    name = query.partition("=")[0]
    assert name in problem["errors"][0]["where"] + problem["errors"][0]["why"]
    assert name in problem["detail"]


async def test_an_operation_without_parameters_refuses_any(redis: ArqRedis, api: Api) -> None:
    job_id = await accept(redis)
    for method, path in (("GET", f"/v1/jobs/{job_id}"), ("POST", f"/v1/jobs/{job_id}/pause"), ("GET", "/healthz")):
        problem = await api.json(method, f"{path}?force=1", status=400)
        assert problem["type"] == f"{PREFIX}bad-parameter"


async def test_why_says_what_holds_a_job_back(redis: ArqRedis, api: Api) -> None:
    job_id = await accept(redis)
    assert (await api.json("GET", f"/v1/jobs/{job_id}/why"))["state_reason"] == "no_worker"
    await api.json("GET", "/v1/jobs/nobody/why", status=404)
