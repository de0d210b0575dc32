"""Plans over HTTP: asking for one, reading it, approving exactly it; and what each key may see of it."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from config.settings import Api as ApiSettings
from config.settings import ApiKey
from simulator import World
from tests.support.planning import planned
from tests.support.serving import Api, serving
from tests.support.sweeping import MARKS, ended, settings_of
from web.http.callers import Scope
from worker.main import working

pytestmark = MARKS

KEYS: dict[str, tuple[Scope, ...]] = {
    "all": ("read", "submit", "control"),
    "reader": ("read",),
    "other": ("read", "submit", "control"),
}


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}-key"}


@pytest.fixture
async def crm() -> AsyncIterator[simulator.Portal]:
    tagged: Any = {"trash": range(1, 300), "vip": range(1, 10)}
    async with simulator.running(World(1000, read_only=range(20, 25), tagged=tagged)) as portal:
        yield portal


@pytest.fixture
async def api(server: EmbeddedServer, redis: ArqRedis, crm: simulator.Portal) -> AsyncIterator[Api]:
    keys = tuple(
        ApiKey(name=name, key_sha256=hashlib.sha256(f"{name}-key".encode()).hexdigest(), scopes=scopes)
        for name, scopes in KEYS.items()
    )
    limited = ApiKey(
        name="limited",
        key_sha256=hashlib.sha256(b"limited-key").hexdigest(),
        scopes=("read", "submit", "control"),
        max_contacts=100,
    )
    settings = settings_of(server, crm, second_person_above=250)
    settings = settings.model_copy(update={"api": ApiSettings(keys=(*keys, limited))})
    async with serving(settings, redis) as api, working(settings):
        yield api


def document(**members: Any) -> dict[str, Any]:
    return {"portal": "main", **members}


async def test_a_filter_is_planned_read_and_approved(redis: ArqRedis, api: Api, crm: simulator.Portal) -> None:
    body = document(filter={"tags": ["trash"], "without_tags": ["vip"]}, label="spring")
    job = await api.json("POST", "/v1/jobs", status=202, json=body, headers=bearer("all"))
    assert (job["state"], job["intake"], job["selection"]) == (
        "planning", None, {"kind": "filter", "filter": body["filter"]}
    )  # fmt: skip
    path = f"/v1/jobs/{job['id']}"
    await planned(redis, job["id"])
    plan = (await api.json("GET", path, headers=bearer("all")))["plan"]
    assert plan["counts"] == {"deletable": 285, "read_only": 5, "has_invoice": 0, "absent": 0, "protected": 0}
    assert len(plan["sample"]) == 20
    assert (await api.json("GET", path, headers=bearer("reader")))["plan"]["sample"] is None
    listed = await api.json("GET", "/v1/jobs", headers=bearer("all"))
    assert [one["plan"]["sample"] for one in listed["jobs"]] == [None]
    async with api.client.get(f"{path}/plan?verdict=read_only&format=csv", headers=bearer("reader")) as answer:
        assert (await answer.text()).splitlines() == ["contact_id,verdict", *(f"{n},read_only" for n in range(20, 25))]
    async with api.client.get(f"{path}/plan", headers=bearer("reader")) as answer:
        assert len((await answer.text()).splitlines()) == 290
    for given, status, kind in (
        ({}, 422, "digest-needed"),
        ({"digest": "0" * 12}, 409, "plan-changed"),
        ({"digest": plan["digest"]}, 403, "second-person"),
    ):
        problem = await api.json("POST", f"{path}/approve", status=status, json=given, headers=bearer("all"))
        assert problem["type"].endswith(kind)
    assert not crm.truth.sent
    approved = await api.json(
        "POST", f"{path}/approve", status=200, json={"digest": plan["digest"][:12].upper()}, headers=bearer("other")
    )
    assert approved["state"] in {"queued", "running", "completed"}
    await ended(redis, job["id"])
    assert set(crm.truth.sent) == set(range(10, 300)) - set(range(20, 25))
    async with api.client.get(f"{path}/results?against_plan=true&format=csv", headers=bearer("reader")) as answer:
        assert (await answer.text()).splitlines() == ["contact_id,outcome,reason,http_status,attempts,at,verdict"]


@pytest.mark.parametrize("how", ["member", "query"])
async def test_a_list_is_planned_where_that_is_asked_for(redis: ArqRedis, api: Api, how: str) -> None:
    if how == "member":
        body = document(contact_ids=[1, 2, 5000], plan=True, id="one")
        job = await api.json("POST", "/v1/jobs", status=202, json=body, headers=bearer("all"))
    else:
        headers = bearer("all") | {"Content-Type": "text/plain"}
        job = await api.json(
            "POST", "/v1/jobs?portal=main&plan=true&id=one", status=202, data=b"1\n2\n5000\n", headers=headers
        )
    assert (job["state"], job["total"], job["selection"]["kind"]) == ("planning", 3, "list")
    done = await planned(redis, "one")
    assert done.plan
    assert done.plan.counts == {"deletable": 2, "read_only": 0, "has_invoice": 0, "absent": 1, "protected": 0}
    again = document(contact_ids=[5000, 2, 1, 1], plan=True, id="one")
    assert (await api.json("POST", "/v1/jobs", status=200, json=again, headers=bearer("all")))["id"] == "one"
    without = document(contact_ids=[1, 2, 5000], id="one")
    await api.json("POST", "/v1/jobs", status=409, json=without, headers=bearer("all"))


@pytest.mark.parametrize(
    ("members", "kind", "where"),
    [
        ({"filter": {"tag": ["x"]}}, "invalid-filter", "body.filter"),
        ({"filter": {}}, "invalid-filter", "body.filter"),
        ({"filter": {"view": "dogs"}}, "invalid-filter", "body.filter.view"),
        ({"filter": {"tags": []}}, "invalid-filter", "body.filter"),
        ({"filter": {"text": "Acme, Inc"}}, "invalid-filter", "body.filter.text"),
        ({"filter": 5}, "invalid-filter", "body.filter"),
        ({}, "invalid", "body"),
        ({"filter": {"tags": ["x"]}, "contact_ids": [1]}, "invalid", "body"),
        ({"filter": {"tags": ["x"]}, "plans": True}, "invalid", "body"),
    ],
)
async def test_a_bad_filter_is_told_by_name_and_nothing_is_kept(
    redis: ArqRedis, api: Api, members: dict[str, Any], kind: str, where: str
) -> None:
    problem = await api.json("POST", "/v1/jobs", status=422, json=document(**members), headers=bearer("all"))
    assert problem["type"].endswith(f":{kind}")
    assert problem["errors"][0]["where"].startswith(where)
    assert (await api.json("GET", "/v1/jobs", headers=bearer("all")))["jobs"] == []


async def test_a_job_without_a_plan_says_so(redis: ArqRedis, api: Api) -> None:
    await api.json("POST", "/v1/jobs", status=202, json=document(contact_ids=[999], id="plain"), headers=bearer("all"))
    for path in ("plan", "results?against_plan=true"):
        problem = await api.json("GET", f"/v1/jobs/plain/{path}", status=409, headers=bearer("all"))
        assert problem["type"].endswith("no-plan")
    await api.json("GET", "/v1/jobs/nobody/plan", status=404, headers=bearer("all"))


async def test_a_key_with_a_limit_gets_no_larger_plan(redis: ArqRedis, api: Api) -> None:
    body = document(filter={"tags": ["trash"]}, id="much")
    await api.json("POST", "/v1/jobs", status=202, json=body, headers=bearer("limited"))
    job = await planned(redis, "much")
    assert (job.state, job.state_reason) == ("failed", "bad_request")
    assert "allows 100 per job" in (job.last_error or "")
