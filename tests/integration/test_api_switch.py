"""The stop switch, windows that are opened once, and the size of a job, over HTTP."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from arq.connections import ArqRedis

from cli.embedded import EmbeddedServer
from config.settings import Api as ApiConfig
from tests.conftest import settings_for
from tests.support.browsing import SECRETS, api_key, portal, settings_with, visiting
from tests.support.serving import Api, serving

PREFIX = "urn:crm-sweep:problem:"


@pytest.fixture
async def api(server: EmbeddedServer, redis: ArqRedis) -> AsyncIterator[Api]:
    keys = api_key("anna"), api_key("sender", portals=["main"]), api_key("reader", "read")
    async with serving(settings_with(server, *keys), redis) as api:
        yield api


def as_(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {SECRETS[name]}"}


async def ask(api: Api, verb: str, body: Any = None, *, by: str = "anna", status: int = 200) -> Any:
    return await api.json("POST", f"/v1/{verb}", status=status, json=body, headers=as_(by))


def which(answer: dict[str, Any]) -> list[tuple[str | None, str]]:
    return [(stop["portal"], stop["by"]) for stop in answer["stopped"]]


@pytest.mark.parametrize("body", [None, {}, {"portal": None}])
async def test_everything_is_stopped_without_a_name(api: Api, body: Any) -> None:
    assert which(await ask(api, "stop", body)) == [(None, "anna")]
    for name in ("main", "other"):
        shown = await api.json("GET", f"/v1/portals/{name}", headers=as_("reader"))
        assert (shown["stopped"]["portal"], shown["held_by"]) == (None, "stopped")
    assert which(await ask(api, "start", body)) == []


async def test_one_portal_is_stopped_and_started(api: Api) -> None:
    assert which(await ask(api, "stop", {"portal": "main"})) == [("main", "anna")]
    assert (await api.json("GET", "/v1/portals/other", headers=as_("anna")))["stopped"] is None
    assert which(await ask(api, "stop")) == [(None, "anna"), ("main", "anna")]
    assert which(await ask(api, "start", {"portal": "main"})) == [(None, "anna")], "the stop of all is still in force"


async def test_a_key_of_some_portals_stops_only_those(api: Api) -> None:
    refused = await ask(api, "stop", by="sender", status=403)
    assert refused["type"] == f"{PREFIX}insufficient-scope"
    assert (await ask(api, "stop", {"portal": "other"}, by="sender", status=404))["type"] == f"{PREFIX}unknown-portal"
    assert which(await ask(api, "stop", {"portal": "main"}, by="sender")) == [("main", "sender")]
    await ask(api, "stop", {"portal": "other"})
    assert which(await ask(api, "stop", {"portal": "main"}, by="sender")) == [("main", "sender")]


async def test_stopping_needs_the_scope_control(api: Api) -> None:
    assert (await ask(api, "stop", by="reader", status=403))["scope"] == "control"


@pytest.mark.parametrize("body", [{"portal": 5}, {"portals": "main"}, [], {"portal": ""}])
async def test_a_wrong_document_stops_nothing(api: Api, body: Any) -> None:
    await ask(api, "stop", body, status=422)
    assert which(await ask(api, "start")) == []


async def open_until(api: Api, value: Any, status: int = 200) -> Any:
    return await api.json("PATCH", "/v1/portals/main", status=status, json={"open_until": value}, headers=as_("anna"))


async def test_windows_are_opened_once(api: Api) -> None:
    until = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    shown = await open_until(api, until.isoformat())
    assert shown["open_until"] == until.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert shown["actions"][-1]["detail"].startswith("open_until ")
    assert (await open_until(api, None))["open_until"] is None


@pytest.mark.parametrize("value", ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "2026-11-27T06:00:00", "soon", 5])
async def test_windows_are_not_opened_for_a_time_that_makes_no_sense(api: Api, value: Any) -> None:
    assert (await open_until(api, value, 422))["type"] == f"{PREFIX}invalid"


async def test_a_job_above_the_size_of_the_portal_is_refused(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_for(server, portal("main", max_contacts_per_job=2))
    async with serving(settings, redis) as api:
        refused = await api.json("POST", "/v1/jobs", status=422, json={"portal": "main", "contact_ids": [1, 2, 3]})
        assert refused["type"] == f"{PREFIX}too-many-contacts"
        assert "at most 2 in one job" in refused["detail"]
        assert (await api.json("GET", "/v1/jobs"))["jobs"] == []
        await api.json("POST", "/v1/jobs", status=202, json={"portal": "main", "contact_ids": [1, 2, 2]})


async def test_the_page_stops_a_portal_and_says_so(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        assert (await anna.send("/stop", portal="main")).status == 303
        shown = await anna.look("/portals")
        assert "stopped by anna" in shown.text
        assert (await anna.send("/start", portal="main")).status == 303
        assert "stopped by anna" not in (await anna.look("/portals")).text


async def test_the_page_refuses_a_list_above_the_size_of_the_portal(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_for(server, portal("main", max_contacts_per_job=2), api=ApiConfig(keys=(api_key("anna"),)))
    async with visiting(settings, redis, "anna") as [anna]:
        refused = await anna.upload("1\n2\n3\n")
        assert refused.status == 422
        assert "at most 2 in one job" in refused.text
