"""What API, page and metrics show of webhooks: to each caller what concerns it, and never an address or a secret."""

import pytest
from arq.connections import ArqRedis

from cli.context import redis_of
from cli.embedded import EmbeddedServer
from config.settings import Settings
from jobs.store import keys
from jobs.webhooks.outbox import Result, announce, claim, settle
from jobs.webhooks.view import read_webhooks
from tests.support.browsing import api_key, settings_with, visiting
from tests.support.lanes import accept
from tests.support.serving import serving
from tests.support.waiting import until
from tests.support.webhooks import SECRET, delivery_of, let_time_pass, webhook

HOOKS = (
    webhook("https://hooks.example.com/services/T000/B000", name="chat"),
    webhook(
        "https://other.example.com/services/T000/B000",
        name="elsewhere",
        portals=["main", "other"],
        events=["job.failed"],
    ),
)


def settings_of(server: EmbeddedServer) -> Settings:
    keys_of = api_key("anna"), api_key("reader", "read", portals=["other"]), api_key("sender", "submit")
    return settings_with(server, *keys_of, webhooks=HOOKS)


async def some_history(redis: ArqRedis) -> None:
    """Deliver an event, fail with a second one, and leave a third one waiting."""
    await announce(redis, HOOKS)
    for job_id in ("job-1", "job-2", "job-3"):
        await accept(redis, [1, 2], job_id=job_id, needs_approval=True)
    first, second, _ = await claim(redis, "chat")
    assert await settle(redis, "chat", first, delivery_of(first))
    assert await settle(redis, "chat", second, delivery_of(second, Result.FAILED), 60.0)
    await let_time_pass(redis, 100.0, "chat")


async def test_the_api_shows_what_waits_and_what_was_delivered(redis: ArqRedis, server: EmbeddedServer) -> None:
    await some_history(redis)
    async with serving(settings_of(server), redis, key="anna-secret-key") as api:
        chat, elsewhere = (await api.json("GET", "/v1/webhooks"))["webhooks"]
        assert (chat["name"], chat["host"], chat["waiting"]) == ("chat", "hooks.example.com", 2)
        assert (chat["delivered"], chat["failed"], chat["given_up"]) == (1, 1, 0)
        assert 100 <= chat["oldest_waiting_s"] < 160
        assert [one["result"] for one in chat["deliveries"]] == ["failed", "delivered"]
        assert (elsewhere["events"], elsewhere["portals"]) == (["job.failed"], ["main", "other"])
        assert elsewhere["deliveries"] == []
        async with api.client.get("/v1/webhooks") as answer:
            text = await answer.text()
        assert "T000" not in text
        assert SECRET not in text


async def test_a_key_sees_only_what_is_about_its_portals(redis: ArqRedis, server: EmbeddedServer) -> None:
    await some_history(redis)
    async with serving(settings_of(server), redis, key="reader-secret-key") as api:
        chat, elsewhere = (await api.json("GET", "/v1/webhooks"))["webhooks"]
        assert (chat["name"], chat["portals"], chat["deliveries"]) == ("chat", None, [])
        assert (elsewhere["name"], elsewhere["portals"], elsewhere["deliveries"]) == ("elsewhere", ["other"], [])
    async with serving(settings_of(server), redis, key="sender-secret-key") as api:
        await api.json("GET", "/v1/webhooks", status=403)


async def test_metrics_have_names_and_counts(redis: ArqRedis, server: EmbeddedServer) -> None:
    await some_history(redis)
    async with serving(settings_of(server), redis) as api, api.client.get("/metrics") as answer:
        text = await answer.text()
    assert 'crm_sweep_webhook_deliveries_total{result="delivered",webhook="chat"} 1.0' in text
    assert 'crm_sweep_webhook_deliveries_total{result="given_up",webhook="elsewhere"} 0.0' in text
    assert 'crm_sweep_webhook_waiting{webhook="chat"} 2.0' in text
    assert 'crm_sweep_webhook_oldest_waiting_seconds{webhook="chat"} 1' in text
    assert "example.com" not in text


async def test_the_page_has_a_screen_for_them(redis: ArqRedis, server: EmbeddedServer) -> None:
    await some_history(redis)
    async with visiting(settings_of(server), redis, "anna", "reader") as [anna, reader]:
        screen = await anna.look("/webhooks")
        assert screen.status == 200
        assert screen.markup.all("a", href="/webhooks")
        assert "chat Host hooks.example.com Events all Waiting 2" in screen.text
        assert "job.awaiting_approval" in screen.text
        assert {link["href"] for link in screen.markup.all("a")} >= {"/jobs/job-1", "/jobs/job-2"}
        assert "T000" not in screen.html
        assert "/jobs/job-1" not in (await reader.look("/webhooks")).html


@pytest.mark.parametrize("path", ["/", "/webhooks"])
async def test_without_webhooks_the_page_does_not_lead_there(
    redis: ArqRedis, server: EmbeddedServer, path: str
) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        screen = await anna.look(path)
        assert screen.status == 200
        assert not screen.markup.all("a", href="/webhooks")


async def test_the_api_announces_webhooks_before_any_worker_has_run(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with serving(settings_of(server), redis, key="anna-secret-key") as api:
        await until(lambda: redis.exists(keys.WEBHOOKS))
        await accept(redis, [1, 2], job_id="one", needs_approval=True)
        assert (await api.json("GET", "/v1/webhooks"))["webhooks"][0]["waiting"] == 1


async def test_a_redis_without_memory_can_still_be_asked(private_server: EmbeddedServer) -> None:
    async with redis_of(settings_of(private_server)) as redis:
        await redis.config_set("maxmemory", 1)
    try:
        async with redis_of(settings_of(private_server)) as redis:
            assert [view.name for view in await read_webhooks(redis, HOOKS)] == ["chat", "elsewhere"]
    finally:
        await redis.config_set("maxmemory", 0)
        await redis.aclose(close_connection_pool=True)
