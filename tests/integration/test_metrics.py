"""`/metrics` on a real server: what it says, what it costs, and that it answers even while Redis is down."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from pyroaring import BitMap

import simulator
from bench.forwarder import forwarding
from cli.embedded import EmbeddedServer
from config.settings import Portal, Settings
from jobs.accept.submit import submit
from jobs.lanes import presence
from jobs.store import keys
from jobs.store.connection import connect
from jobs.view.backlog import read_backlog
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import World
from tests.conftest import settings_for
from tests.support.planning import plan_of_filter, plan_of_list, planned
from tests.support.serving import Api, serving
from tests.support.steering import control
from tests.support.submitting import request
from tests.support.sweeping import MARKS, accept, ended, settings_of
from web.ops import metrics
from web.ops.exposition import Reading, render
from worker.main import working

pytestmark = MARKS


async def scrape(api: Api) -> str:
    async with api.client.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return await answer.text()


def values(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every sample by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def put(redis: ArqRedis, key: str, **facts: object) -> None:
    """Write fields of a hash."""
    await redis.execute_command("HSET", key, *(part for field in facts.items() for part in field))


def value(text: str, name: str, **labels: str) -> float:
    return values(text)[f"crm_sweep_{name}", frozenset(labels.items())]


def promtool_finds_nothing(text: str) -> None:
    """Check that promtool has no complaints, not even warnings."""
    checked = subprocess.run(
        ["/usr/bin/env", "promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.fixture
def settings(server: EmbeddedServer) -> Settings:
    portals = [Portal(name=name, url="http://crm", token=SecretStr("secret-token")) for name in ("main", "other")]
    return settings_for(server, *portals)


@pytest.fixture(autouse=True)
def fresh_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share no readings, and do not mistake a busy machine for an absent Redis."""
    monkeypatch.setattr(metrics, "SHARED_FOR_S", 0.0)
    monkeypatch.setattr(metrics, "PATIENCE_S", 30.0)


async def test_work_that_was_done_is_counted_as_the_job_counts_it(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(300, read_only=10)) as portal:
        settings = settings_of(server, portal)
        async with serving(settings, redis) as api, working(settings):
            job = await ended(redis, await accept(redis, range(1, 321)))
            text = await scrape(api)
    promtool_finds_nothing(text)
    assert value(text, "contacts_total", portal="main", outcome="deleted") == job.counts[Outcome.DELETED] == 290
    assert value(text, "contacts_total", portal="main", outcome="refused") == 10
    assert value(text, "contacts_total", portal="main", outcome="not_found") == 20
    calls = sum(
        value(text, "portal_requests_total", portal="main", call=call, result="ok") for call in ("put", "look_up")
    )
    assert calls == job.requests.sent
    for call in ("put", "look_up"):
        of_call = {"portal": "main", "call": call}
        count = value(text, "portal_requests_total", **of_call, result="ok")
        assert value(text, "portal_request_seconds_count", **of_call) == count > 0
        assert value(text, "portal_request_seconds_bucket", **of_call, le="+Inf") == count
        assert value(text, "portal_request_seconds_sum", **of_call) > 0
    assert value(text, "workers") == 1
    assert value(text, "jobs_ended") == 1
    assert value(text, "configured_requests_per_second", portal="main") == 1000
    assert 0 < value(text, "achieved_requests_per_second", portal="main") <= 1000


async def test_what_waits_is_shown_by_state_and_age(redis: ArqRedis, settings: Settings) -> None:
    for number, portal in enumerate(["main", "main", "other"]):
        await submit(redis, request(portal=portal, ids=BitMap(range(1, 101)), job_id=f"job-{number}"))
    await submit(redis, request(portal="main", ids=BitMap([1]), job_id="large", needs_approval=True))
    await control(redis, "job-1", Event.PAUSE, by="test")
    await redis.execute_command("HINCRBY", keys.job("job-0"), "created_ms", -60_000)
    await redis.execute_command("HINCRBY", keys.job("job-1"), "created_ms", -600_000)
    async with serving(settings, redis) as api:
        text = await scrape(api)
    promtool_finds_nothing(text)
    assert value(text, "jobs", portal="main", state="queued") == 1
    assert value(text, "jobs", portal="main", state="paused") == 1
    assert value(text, "jobs", portal="main", state="awaiting_approval") == 1
    assert value(text, "jobs", portal="other", state="queued") == 1
    assert value(text, "contacts_pending", portal="main", state="queued") == 100
    assert value(text, "contacts_pending", portal="main", state="paused") == 100
    assert 60 <= value(text, "oldest_pending_age_seconds", portal="main") < 500, "a paused job is not expected to move"
    assert value(text, "workers") == 0


async def test_ended_jobs_are_counted_without_being_read(redis: ArqRedis) -> None:
    """Only their IDs exist: reading one of them as a job would fail."""
    await redis.zadd(keys.JOBS, {f"old-{number}": number for number in range(5000)})
    await redis.zadd(keys.FINISHED, {f"old-{number}": number for number in range(5000)})
    await submit(redis, request(portal="main", ids=BitMap([1, 2]), job_id="new"))
    await presence.beat(redis, "somebody", ["main"])
    before = (await redis.info("commandstats")).get("cmdstat_hmget", {}).get("calls", 0)
    backlog = await read_backlog(redis)
    after = (await redis.info("commandstats"))["cmdstat_hmget"]["calls"]
    assert after - before == 2, "the clock, and the one job"
    assert (backlog.ended, backlog.workers) == (5000, 1)
    assert backlog.portals["main"].jobs == {State.QUEUED: 1}
    assert backlog.portals["main"].pending == {State.QUEUED: 2}


async def test_surveys_and_plans_are_shown(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(300, read_only=10, tagged={"trash": range(1, 101)})) as portal:
        settings = settings_of(server, portal)
        async with serving(settings, redis) as api:
            waiting = await plan_of_list(redis, range(1, 201))
            unread = await scrape(api)
            async with working(settings):
                plan = (await planned(redis, waiting)).plan
                expired = await plan_of_filter(redis, tags=("trash",))
                await planned(redis, expired)
            await put(redis, keys.job(expired), plan_expires_ms=1)
            under_way = await plan_of_list(redis, range(1, 301))
            await put(redis, keys.job(under_way), survey_read=120, survey_expected=300, survey_calls=2)
            await redis.execute_command("HINCRBY", keys.job(waiting), "plan_made_ms", -60_000)
            text = await scrape(api)
    promtool_finds_nothing(text)
    assert value(unread, "jobs", portal="main", state="planning") == 1
    assert value(unread, "surveys", portal="main") == 0, "no step has been taken"
    assert value(unread, "plan_expires_seconds", portal="main") == 0
    assert plan
    for verdict, contacts in plan.counts.items():
        assert value(text, "plan_contacts", portal="main", verdict=verdict) == contacts
    assert value(text, "plan_contacts", portal="main", verdict="deletable") > 100
    assert value(text, "surveys", portal="main") == 1
    assert value(text, "portal_requests_total", portal="main", call="survey", result="ok") >= 4
    assert value(text, "survey_contacts_read", portal="main") == 120
    assert value(text, "survey_contacts_expected", portal="main") == 300
    assert 60 <= value(text, "oldest_plan_age_seconds", portal="main") < 500
    assert 71 * 3600 < value(text, "plan_expires_seconds", portal="main") <= 72 * 3600


async def test_what_was_sent_today_is_shown_with_its_cap(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(300)) as portal:
        settings = settings_of(server, portal, max_contacts_per_day=500)
        async with serving(settings, redis) as api, working(settings):
            await ended(redis, await accept(redis, range(1, 101)))
            text = await scrape(api)
    assert value(text, "contacts_sent_today", portal="main") == 100
    assert value(text, "max_contacts_per_day", portal="main") == 500


async def test_faults_and_push_backs_are_shown(redis: ArqRedis, settings: Settings) -> None:
    now_ms = (await redis.time())[0] * 1000
    await put(redis, keys.faults("main"), fingerprint=f"{now_ms + 60_000} portal_auth replace the token")
    away = {"push_back_until_ms": now_ms + 60_000, "push_back_reason": "portal_unreachable"}
    await put(redis, keys.portal("other"), **away)
    async with serving(settings, redis) as api:
        text = await scrape(api)
    assert value(text, "portal_fault", portal="main", fault="portal_auth") == 1
    assert value(text, "portal_fault", portal="main", fault="portal_payment") == 0
    assert value(text, "portal_fault", portal="other", fault="portal_unreachable") == 1
    assert value(text, "push_back_seconds", portal="main") == 0
    assert 50 < value(text, "push_back_seconds", portal="other") <= 61


async def test_nothing_secret_and_no_text_from_outside_is_shown(redis: ArqRedis, settings: Settings) -> None:
    job = request(portal="main", ids=BitMap([123456789]), job_id="job-of-ann", label="Ann Lee <ann@example.com>")
    await submit(redis, job)
    await submit(redis, request(portal="elsewhere", ids=BitMap([1]), job_id="stray"))
    await put(redis, keys.stats("main"), **{'calls:put:Ann "Lee"\n# HELP x': 2, "calls:put:new_word": 3})
    await presence.beat(redis, "host-name:1:aa", ["main"])
    async with serving(settings, redis) as api:
        text = await scrape(api)
    promtool_finds_nothing(text)
    for word in ("secret-token", "http://", "Ann", "ann@", "job-of", "123456789", "elsewhere", "host-name"):
        assert word not in text
    assert value(text, "portal_requests_total", portal="main", call="put", result="other") == 2
    assert value(text, "portal_requests_total", portal="main", call="put", result="new_word") == 3


async def test_counters_that_never_counted_stand_at_zero(redis: ArqRedis, settings: Settings) -> None:
    """A counter that appears only with its first failure has no increase that an alert could see."""
    async with serving(settings, redis) as api:
        text = await scrape(api)
    promtool_finds_nothing(text)
    assert value(text, "contacts_total", portal="other", outcome="failed") == 0
    assert value(text, "portal_requests_total", portal="other", call="put", result="portal_error") == 0
    assert value(text, "throttled_total", portal="other") == 0


@pytest.fixture
async def deaf(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ArqRedis]:
    """Connect to a Redis that accepts connections but never answers; scrapes lose patience quickly."""
    monkeypatch.setattr(metrics, "PATIENCE_S", 0.05)
    async with forwarding(None) as forwarder:
        redis = connect(settings.redis.url.__class__(f"redis://127.0.0.1:{forwarder.port}/0"), patience_s=0.0)
        yield redis
        await redis.aclose(close_connection_pool=True)


async def test_a_redis_that_says_nothing_is_down_and_asked_once(
    deaf: ArqRedis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = 0

    async def counted(redis: ArqRedis) -> object:
        nonlocal begun
        begun += 1
        return await read_backlog(redis)

    monkeypatch.setattr(metrics, "read_backlog", counted)
    async with serving(settings, deaf) as api:
        texts = await asyncio.gather(*(scrape(api) for _ in range(5)))
        texts.append(await scrape(api))
    for text in texts:
        promtool_finds_nothing(text)
        assert value(text, "redis_up") == 0
        assert "crm_sweep_contacts" not in text, "what is not known is not claimed"
    assert begun == 1


async def test_a_redis_that_is_not_there_is_down(settings: Settings) -> None:
    away = connect(settings.redis.url.__class__("redis://127.0.0.1:9/0"), patience_s=0.0)
    async with serving(settings, away) as api:
        text = await scrape(api)
    await away.aclose(close_connection_pool=True)
    assert value(text, "redis_up") == 0
    assert "crm_sweep_build_info" in text


async def test_scrapes_that_come_together_share_one_reading(
    redis: ArqRedis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "SHARED_FOR_S", 3600.0)
    async with serving(settings, redis) as api:
        first = await scrape(api)
        await submit(redis, request(portal="main", ids=BitMap([1]), job_id="later"))
        second = await scrape(api)
    assert value(first, "jobs", portal="main", state="queued") == 0
    assert value(second, "jobs", portal="main", state="queued") == 0


async def test_missing_replicas_are_told_where_replicas_are_demanded(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_for(server)
    demanding = settings.model_copy(update={"redis": settings.redis.model_copy(update={"min_replicas": 1})})
    async with serving(demanding, redis) as api:
        text = await scrape(api)
    assert (value(text, "redis_replicas"), value(text, "redis_replicas_required")) == (0, 1)
    async with serving(settings, redis) as api:
        assert "redis_replicas" not in await scrape(api)


async def test_the_metrics_need_no_key(redis: ArqRedis, server: EmbeddedServer) -> None:
    api_keys = {"keys": [{"name": "billing", "key_sha256": "0" * 64, "scopes": ["read"]}]}
    async with serving(settings_for(server, api=api_keys), redis) as api:
        text = await scrape(api)
    assert "billing" not in text


async def test_what_takes_long_to_write_down_does_not_look_like_a_redis_that_is_away(
    settings: Settings, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "PATIENCE_S", 2.0)
    written = render

    def slowly(reading: Reading | None) -> bytes:
        time.sleep(2.5)
        return written(reading)

    monkeypatch.setattr("web.ops.metrics.render", slowly)
    async with serving(settings, redis) as api:
        slow = asyncio.create_task(scrape(api))
        async with api.client.get("/healthz") as answer:  # answered meanwhile
            assert answer.status == 200
        assert not slow.done()
        assert value(await slow, "redis_up") == 1
