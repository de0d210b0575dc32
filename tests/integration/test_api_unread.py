"""Over HTTP: a job that was submitted with plain arq and not taken yet, and a request that was refused."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

from cli.embedded import EmbeddedServer
from config.settings import Portal
from jobs.accept.reject import reject_job
from tests.conftest import settings_for
from tests.support.serving import Api, serving

PORTAL = Portal(name="main", url="http://crm", token=SecretStr("secret-token"))


@pytest.fixture
async def api(server: EmbeddedServer, redis: ArqRedis) -> AsyncIterator[Api]:
    async with serving(settings_for(server, PORTAL), redis) as api:
        yield api


async def hand_in(redis: ArqRedis, *, later_s: float | None = None, **arguments: Any) -> str:
    request = {"portal": "main", "contact_ids": [1, 2, 3]} | arguments
    assert await redis.enqueue_job("delete_contacts", _job_id="mine", _defer_by=later_s, **request)
    return "/v1/jobs/mine"


async def test_it_is_there_at_once_and_in_its_events(redis: ArqRedis, api: Api) -> None:
    path = await hand_in(redis, label="from billing")
    job = await api.json("GET", path)
    assert (job["state"], job["state_reason"], job["total"]) == ("queued", "no_worker", 3)
    assert (job["portal"], job["label"], job["counts"]["pending"]) == ("main", "from billing", 3)
    assert (await api.json("GET", f"{path}/why"))["constraint"] == "no_worker"


async def test_it_has_no_ledger_yet(redis: ArqRedis, api: Api) -> None:
    path = await hand_in(redis)
    for query in ("", "?format=csv", "?outcome=pending"):
        problem = await api.json("GET", f"{path}/results{query}", status=409)
        assert problem["detail"] == "job mine has no ledger yet: no worker has taken it"
        assert (problem["state"], problem["allowed"]) == ("queued", ["pause", "cancel"])
    await api.json("POST", f"{path}/pause")
    async with api.client.get(f"{path}/results") as answer:
        assert (await answer.text()).count('"outcome": "pending"') == 3


@pytest.mark.parametrize(("verb", "state"), [("pause", "paused"), ("cancel", "cancelled")])
async def test_it_can_be_stopped_before_a_worker_takes_it(redis: ArqRedis, api: Api, verb: str, state: str) -> None:
    path = await hand_in(redis)
    job = await api.json("POST", f"{path}/{verb}")
    assert (job["state"], job["total"]) == (state, 3)
    assert [action["by"] for action in job["actions"]] == ["arq", "local"]


async def test_its_priority_can_be_changed(redis: ArqRedis, api: Api) -> None:
    path = await hand_in(redis)
    assert (await api.json("PATCH", path, json={"priority": "urgent"}))["priority"] == "urgent"


async def test_what_its_state_does_not_allow_is_told_as_for_any_other(redis: ArqRedis, api: Api) -> None:
    path = await hand_in(redis)
    problem = await api.json("POST", f"{path}/resume", status=409)
    assert (problem["state"], problem["allowed"]) == ("queued", ["pause", "cancel"])


async def test_one_that_was_put_off_is_not_started_by_a_change(redis: ArqRedis, api: Api) -> None:
    path = await hand_in(redis, later_s=3600)
    problem = await api.json("PATCH", path, json={"priority": "urgent"}, status=422)
    assert "deferred until" in problem["detail"]


async def test_a_request_that_was_refused_is_a_job_like_others(redis: ArqRedis, api: Api) -> None:
    await reject_job(redis, "wrong", "contact_ids[0]: given 0", by="arq", portal="main")
    job = await api.json("GET", "/v1/jobs/wrong")
    assert (job["state"], job["state_reason"], job["total"]) == ("failed", "bad_request", 0)
    assert job["last_error"] == "contact_ids[0]: given 0"
    assert [one["id"] for one in (await api.json("GET", "/v1/jobs?state=failed"))["jobs"]] == ["wrong"]
    assert "contact_ids[0]" in (await api.json("GET", "/v1/jobs/wrong/why"))["explanation"]
    for verb in ("pause", "resume", "cancel", "approve", "retry-failed"):
        assert (await api.json("POST", f"/v1/jobs/wrong/{verb}", status=409))["allowed"] == []
