"""What the API, the page and the metrics say of schedules, and to whom."""

from typing import Any

import pytest
from arq.connections import ArqRedis
from prometheus_client.parser import text_string_to_metric_families

from cli.embedded import EmbeddedServer
from config.settings import Api as ApiConfig
from config.settings import Settings
from jobs.schedules.keeper import Keeper
from jobs.schedules.start import start_by_hand
from jobs.steering.control import control
from jobs.store.times import unix_s
from jobs.words.states import Event
from tests.support.browsing import SECRETS, api_key, settings_with, visiting
from tests.support.scheduling import schedule
from tests.support.serving import Api, serving

SCHEDULES = (
    schedule(max_contacts=500, max_share=0.01, label="night", timezone="Europe/Berlin"),
    schedule(name="by-hand", portal="other", enabled=False, filter={"created_to": "2019-12-31"}),
)


@pytest.fixture
def settings(server: EmbeddedServer) -> Settings:
    keys = api_key("anna"), api_key("reader", "read", portals=["other"]), api_key("sender", "submit")
    return settings_with(server, *keys, schedules=SCHEDULES)


async def listed(api: Api, name: str = "anna", status: int = 200) -> Any:
    headers = {"Authorization": f"Bearer {SECRETS[name]}"}
    return await api.json("GET", "/v1/schedules", headers=headers, status=status)


async def test_the_api_lists_schedules_with_what_they_wait_for(redis: ArqRedis, settings: Settings) -> None:
    async with serving(settings, redis) as api:
        first, second = (await listed(api))["schedules"]
        assert [first["name"], second["name"]] == ["by-hand", "daily"]
        assert (first["filter"], first["next_at"], first["enabled"]) == ({"created_to": "2019-12-31"}, None, False)
        assert (second["waits_for"], second["jobs"], second["started_at"]) == ("no_worker", [], None)
        assert (second["cron"], second["timezone"]) == ("0 12 * * *", "Europe/Berlin")
        assert second["next_at"].endswith("11:00:00.000Z") or second["next_at"].endswith("10:00:00.000Z")
        assert (second["max_contacts"], second["max_share"], second["label"]) == (500, 0.01, "night")
        assert second["selects"] == "contacts tagged trash"

        await Keeper(redis, settings).look()
        job_id = await start_by_hand(redis, settings, "daily", by="cli:me")
        _, second = (await listed(api))["schedules"]
        assert [(job["id"], job["state"]) for job in second["jobs"]] == [(job_id, "planning")]
        assert second["waits_for"] == second["jobs"][0]["state_reason"] == "no_worker"
        await control(redis, job_id, Event.CANCEL, by="me")
        _, second = (await listed(api))["schedules"]
        assert (second["waits_for"], second["explanation"]) == (None, None)


async def test_a_key_sees_the_schedules_of_its_portals(redis: ArqRedis, settings: Settings) -> None:
    async with serving(settings, redis) as api:
        assert [one["name"] for one in (await listed(api, "reader"))["schedules"]] == ["by-hand"]
        assert (await listed(api, "sender", status=403))["scope"] == "read"


async def test_a_key_does_not_see_jobs_of_the_portal_that_a_schedule_had_before(
    redis: ArqRedis, settings: Settings
) -> None:
    before = settings.model_copy(update={"schedules": (schedule(name="by-hand", enabled=False),)})
    job_id = await start_by_hand(redis, before, "by-hand", by="cli:me")
    async with serving(settings, redis) as api:
        for name, jobs in (("anna", [job_id]), ("reader", [])):
            assert [job["id"] for job in (await listed(api, name))["schedules"][0]["jobs"]] == jobs
    async with visiting(settings, redis, "reader") as [reader]:
        assert job_id not in (await reader.look("/schedules")).html


async def test_the_job_says_which_schedule_started_it(redis: ArqRedis, settings: Settings) -> None:
    job_id = await start_by_hand(redis, settings, "daily", by="cli:me")
    async with serving(settings, redis, key=SECRETS["anna"]) as api:
        assert (await api.json("GET", f"/v1/jobs/{job_id}"))["schedule"] == "daily"


async def test_the_page_shows_them_with_their_jobs(redis: ArqRedis, settings: Settings) -> None:
    job_id = await start_by_hand(redis, settings, "daily", by="cli:me")
    async with visiting(settings, redis, "anna", "reader") as (anna, reader):
        screen = await anna.look("/schedules")
        assert screen.status == 200
        for text in (
            "contacts tagged trash",
            "automatically, up to 500 contacts and 1 % of",
            "by a person",
            "never",
        ):
            assert text in screen.text, text
        assert f"/jobs/{job_id}" in screen.html
        assert "No worker that has it in its configuration is running" in screen.text
        assert "the schedule daily" in (await anna.look(f"/jobs/{job_id}")).text
        others = (await reader.look("/schedules")).text
        assert "created on 2019-12-31" in others
        assert "contacts tagged trash" not in others


async def test_without_any_the_page_says_how_to_have_one(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server), redis, "") as [person]:
        assert "[[schedules]]" in (await person.look("/schedules")).text


async def test_the_metrics_say_when_they_start(redis: ArqRedis, settings: Settings) -> None:
    await Keeper(redis, settings).look()
    await start_by_hand(redis, settings, "daily", by="cli:me")
    open_to_all = settings.model_copy(update={"api": ApiConfig()})
    async with serving(open_to_all, redis) as api:
        async with api.client.get("/metrics") as answer:
            text = await answer.text()
        _, daily = (await api.json("GET", "/v1/schedules"))["schedules"]
    found = {
        (sample.name.removeprefix("crm_sweep_schedule_"), sample.labels["schedule"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "schedule" in sample.labels
    }
    assert found == {
        ("last_start_timestamp_seconds", "daily"): unix_s(daily["started_at"]),
        ("last_start_timestamp_seconds", "by-hand"): 0,
        ("next_start_timestamp_seconds", "daily"): unix_s(daily["next_at"]),
        ("next_start_timestamp_seconds", "by-hand"): 0,
        ("waits", "daily"): 1,
        ("waits", "by-hand"): 0,
        ("skipped_total", "daily"): 0,
        ("skipped_total", "by-hand"): 0,
    }
