"""A job's trace: from the request that submits it to its calls, and to the recording of what became of them."""

import io
import json
import math
import re
from typing import Any

import pytest
from arq.connections import ArqRedis
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

import simulator
from cli.embedded import EmbeddedServer
from config.tracing import is_on
from jobs.lanes.lease import LaneLedger
from jobs.view.job import read_job
from jobs.words.outcomes import Outcome
from jobs.words.states import State
from simulator import World
from tests.support.documents import ROOT
from tests.support.lanes import PORTAL, answer, lapse, terms
from tests.support.lanes import accept as accept_quietly
from tests.support.planning import plan_of_filter, planned
from tests.support.serving import serving
from tests.support.sweeping import MARKS, accept, ended, settings_of
from tests.support.tracing import (
    FROM_OUTSIDE,
    SPAN_ID,
    TRACE_ID,
    Spans,
    attribute,
    has_failed,
    id_of,
    parent_of,
    trace_of,
    tracing,
)
from tests.support.waiting import until
from worker.main import working
from worker.traced_ledger import TracedLaneLedger, abandon, ledger_for

pytestmark = MARKS


#: Every span that docs/tracing.md lists, with its kind and its attributes.
DOCUMENTED = {
    name: (kind, set(re.findall(r"`([a-z_.]+)`", attributes)))
    for name, kind, attributes in re.findall(
        r"^\| `([^`]+)` \| (\w+) \|[^|]*\|([^|]*)\|$",
        (ROOT / "docs" / "tracing.md").read_text().partition("\n## All spans\n")[2].partition("\n## ")[0],
        re.MULTILINE,
    )
}
DOCUMENTED["batch CALL"][1].update(f"crm_sweep.{outcome.value}" for outcome in Outcome)


def row_of(span: ReadableSpan) -> str:
    """Return the name under which a span is listed."""
    if span.kind is SpanKind.CLIENT:
        return "METHOD"
    if span.kind is SpanKind.SERVER:
        return "METHOD ROUTE"
    return "batch CALL" if span.name.startswith("batch ") else span.name


def check_documented(spans: Spans) -> None:
    for span in spans.all():
        kind, attributes = DOCUMENTED[row_of(span)]
        assert span.kind.name.lower() == kind, span.name
        assert set(span.attributes or {}) <= attributes, span.name


def lines_of(log: io.StringIO, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, log.getvalue().splitlines()) if line["event"] == event]


def everything_in(spans: Spans) -> str:
    """Return all that would leave the process, apart from numbers that are drawn and times."""
    shown = [(span.name, dict(span.attributes or {}), span.status.description, span.events) for span in spans.all()]
    return f"{shown} {dict(spans.all()[0].resource.attributes)}"


async def test_a_job_is_one_trace_from_the_request_to_the_ledger(
    redis: ArqRedis, server: EmbeddedServer, log: io.StringIO
) -> None:
    body = {"portal": PORTAL, "contact_ids": list(range(1, 121))}
    with tracing() as spans:
        async with simulator.running(World(200)) as portal:
            settings = settings_of(server, portal)
            async with serving(settings, redis) as api, working(settings):
                headers = {"traceparent": FROM_OUTSIDE}
                job = await api.json("POST", "/v1/jobs", json=body, headers=headers, status=202)
                assert job["trace_id"] == TRACE_ID
                last = await ended(redis, job["id"])
                assert (await api.json("GET", f"/v1/jobs/{job['id']}"))["trace_id"] == TRACE_ID
    assert {trace_of(span) for span in spans.all()} == {TRACE_ID}

    request = spans.one("POST /v1/jobs")
    assert (parent_of(request), request.kind) == (SPAN_ID, SpanKind.SERVER)
    assert attribute(request, "http.route") == "/v1/jobs"
    assert attribute(request, "http.response.status_code") == 202
    accepted = spans.one("accept job")
    assert (parent_of(accepted), accepted.kind) == (id_of(request), SpanKind.PRODUCER)
    assert (attribute(accepted, "crm_sweep.job"), attribute(accepted, "crm_sweep.contacts")) == (job["id"], 120)

    batches = spans.named("batch put")
    assert len(batches) == last.requests.sent == 3
    for batch in batches:
        assert parent_of(batch) == id_of(accepted)
        assert spans.child_names(batch) == ["PUT", "settle"]
        assert attribute(batch, "crm_sweep.job") == job["id"]
        assert attribute(batch, "crm_sweep.portal") == PORTAL
        assert attribute(batch, "crm_sweep.deleted") == attribute(batch, "crm_sweep.contacts")
        assert not has_failed(batch)
    assert sum(attribute(batch, "crm_sweep.deleted") for batch in batches) == 120
    for call in spans.named("PUT"):
        assert call.kind is SpanKind.CLIENT
        assert (attribute(call, "http.request.method"), attribute(call, "http.response.status_code")) == ("PUT", 200)

    logged = lines_of(log, "batch")
    assert {(line["trace_id"], line["span_id"]) for line in logged} == {(TRACE_ID, id_of(batch)) for batch in batches}
    [told] = [line for line in lines_of(log, "request") if line["method"] == "POST"]
    assert (told["trace_id"], told["span_id"]) == (TRACE_ID, id_of(request))
    assert all("trace_id" not in line for line in lines_of(log, "lane_ended"))


async def test_each_job_has_a_trace_of_its_own_without_one_from_outside(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    with tracing() as spans:
        async with simulator.running(World(200)) as portal, working(settings_of(server, portal)):
            jobs = [await ended(redis, await accept(redis, range(n, n + 50))) for n in (1, 51)]
    assert len({job.trace_id for job in jobs}) == 2
    for job in jobs:
        own = [span for span in spans.all() if trace_of(span) == job.trace_id]
        assert sorted(span.name for span in own) == ["PUT", "accept job", "batch put", "settle"]
        assert [parent_of(span) for span in own if span.name == "accept job"] == [None]


async def test_a_portal_that_fails_marks_the_call_and_the_batch_with_the_reason(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    with tracing() as spans:
        async with simulator.running(World(40)) as portal:
            portal.faults.rules.append(simulator.Fault(fault="error", when="after", next_calls=1))
            async with working(settings_of(server, portal, max_concurrency=1)):
                await ended(redis, await accept(redis, range(1, 41)))
    check_documented(spans)
    [failed] = [span for span in spans.named("batch put") if has_failed(span)]
    assert (failed.status.description, attribute(failed, "error.type")) == ("portal_error", "portal_error")
    [call] = [span for span in spans.named("PUT") if has_failed(span)]
    assert parent_of(call) == id_of(failed)
    assert (attribute(call, "http.response.status_code"), attribute(call, "error.type")) == (500, "500")
    looked_up = spans.one("batch look_up")
    assert attribute(looked_up, "crm_sweep.presumed_deleted") == 40
    assert spans.child_names(looked_up) == ["GET", "settle"]
    assert not has_failed(looked_up)


async def test_a_portal_that_is_away_and_credentials_that_are_refused_are_reasons_too(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    with tracing() as spans:
        async with simulator.running(World(40)) as portal:
            settings = settings_of(server, portal, token="wrong-token-4711")
            async with working(settings):
                job_id = await accept(redis, range(1, 41))

                async def stopped() -> bool:
                    return (await read_job(redis, job_id)).state is State.PAUSED

                await until(stopped)
    assert {attribute(span, "error.type") for span in spans.named("batch put")} == {"portal_auth"}
    assert {attribute(span, "error.type") for span in spans.named("PUT")} == {"401"}
    assert "wrong-token-4711" not in everything_in(spans)


async def test_no_span_has_contacts_names_secrets_or_addresses(redis: ArqRedis, server: EmbeddedServer) -> None:
    body: dict[str, Any] = {"portal": PORTAL, "label": "for zebulon@quagmire.example"}
    with tracing() as spans:
        async with simulator.running(World(10)) as portal:
            portal.faults.rules.append(simulator.Fault(fault="error", when="after", next_calls=1))
            settings = settings_of(server, portal)
            async with serving(settings, redis) as api, working(settings):
                good = body | {"contact_ids": [4_000_001, 4_000_002]}
                job = await api.json("POST", "/v1/jobs?label=", json=good | {"label": ""}, status=202)
                await ended(redis, job["id"])
                bad = body | {"contact_ids": ["zebulon@quagmire.example", 4_000_003]}
                await api.json("POST", "/v1/jobs", json=bad, status=422)
                await redis.enqueue_job("delete_contacts", _job_id="bad-by-arq", **bad)
                selection = {"text": "zebulon quagmire"}
                plan = await api.json("POST", "/v1/jobs", json=body | {"filter": selection}, status=202)
                await planned(redis, plan["id"])
                await ended(redis, "bad-by-arq")
            port = portal.url.rpartition(":")[2]
    told = everything_in(spans)
    check_documented(spans)
    assert {row_of(span) for span in spans.all()} == DOCUMENTED.keys()
    assert {"POST /v1/jobs", "process delete_contacts", "batch put", "batch look_up", "batch survey", "GET"} <= {
        span.name for span in spans.all()
    }
    for hidden in ("zebulon", "quagmire", "400000", portal.behaviour.token, "127.0.0.1", port, "crm/contact"):
        assert hidden not in told, hidden
    [refused] = [span for span in spans.named("POST /v1/jobs") if attribute(span, "http.response.status_code") == 422]
    assert attribute(refused, "error.type") == "invalid-list"
    assert not has_failed(refused), "a caller's mistake is no failure of the server"


async def test_a_request_of_another_service_begins_a_trace(redis: ArqRedis, server: EmbeddedServer) -> None:
    with tracing() as spans:
        async with simulator.running(World(50)) as portal, working(settings_of(server, portal)):
            await redis.enqueue_job("delete_contacts", _job_id="good", portal=PORTAL, contact_ids=[1, 2])
            await redis.enqueue_job("delete_contacts", _job_id="bad", portal="nowhere", contact_ids=[1, 2])
            good, bad = await ended(redis, "good"), await ended(redis, "bad")
    check_documented(spans)
    messages = {trace_of(span): span for span in spans.named("process delete_contacts")}
    assert messages.keys() == {good.trace_id, bad.trace_id}
    message = messages[good.trace_id or ""]
    assert (message.kind, parent_of(message), has_failed(message)) == (SpanKind.CONSUMER, None, False)
    assert parent_of(spans.one("accept job")) == id_of(message)
    assert trace_of(spans.one("batch put")) == good.trace_id
    refused = messages[bad.trace_id or ""]
    assert (has_failed(refused), attribute(refused, "error.type")) == (True, "BadSubmission")


async def test_the_steps_of_a_plan_are_part_of_the_jobs_trace(redis: ArqRedis, server: EmbeddedServer) -> None:
    with tracing() as spans:
        async with simulator.running(World(100)) as portal, working(settings_of(server, portal)):
            job = await planned(redis, await plan_of_filter(redis, everything=True))
    accepted = spans.one("accept job")
    steps = spans.named("batch survey")
    assert {parent_of(step) for step in steps} == {id_of(accepted)}
    assert {trace_of(step) for step in steps} == {job.trace_id}
    assert len(spans.named("GET")) == job.requests.sent
    assert not any(map(has_failed, steps))


async def test_of_a_large_job_some_calls_are_drawn_and_all_log_lines_have_the_trace(
    redis: ArqRedis, server: EmbeddedServer, log: io.StringIO
) -> None:
    with tracing(calls_per_job=20) as spans:
        async with simulator.running(World(2000)) as portal:
            settings = settings_of(server, portal, batch_size_start=10, batch_size_max=10)
            few = settings.tracing.model_copy(update={"calls_per_job": 20})
            async with working(settings.model_copy(update={"tracing": few})):
                job = await ended(redis, await accept(redis, range(1, 2001)))
    assert job.requests.sent == 200
    drawn = len(spans.named("batch put"))
    # Binomial with 200 calls and a share of a tenth: six standard deviations around the 20 that are expected.
    assert abs(drawn - 20) < 6 * math.sqrt(200 * 0.1 * 0.9)
    assert len(spans.named("PUT")) == len(spans.named("settle")) == drawn
    logged = lines_of(log, "batch")
    assert [line["trace_id"] for line in logged] == [job.trace_id] * 200
    assert sum("span_id" in line for line in logged) == drawn


async def test_off_nothing_is_traced(redis: ArqRedis, server: EmbeddedServer, log: io.StringIO) -> None:
    assert not is_on()
    async with simulator.running(World(50)) as portal:
        settings = settings_of(server, portal)
        async with serving(settings, redis) as api, working(settings):
            headers = {"traceparent": FROM_OUTSIDE}
            body = {"portal": PORTAL, "contact_ids": [1, 2, 3]}
            job = await api.json("POST", "/v1/jobs", json=body, headers=headers, status=202)
            assert job["trace_id"] is None
            await ended(redis, job["id"])
    assert "trace_id" not in log.getvalue()
    assert type(ledger_for(redis, PORTAL, "lane", 5.0, "", calls_per_job=1000)) is LaneLedger


async def test_a_job_submitted_while_tracing_was_off_gets_no_spans(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await accept(redis, range(1, 51))
    with tracing() as spans:
        async with simulator.running(World(50)) as portal, working(settings_of(server, portal)):
            job = await ended(redis, job_id)
    assert job.trace_id is None
    assert not spans.all()


async def traced_lane(redis: ArqRedis, name: str = "lane") -> TracedLaneLedger:
    ledger = ledger_for(redis, PORTAL, name, 600.0, "", calls_per_job=1000)
    assert isinstance(ledger, TracedLaneLedger)
    assert await ledger.acquire(10)
    return ledger


async def test_the_span_of_a_batch_that_was_lost_says_so(redis: ArqRedis) -> None:
    with tracing() as spans:
        await accept_quietly(redis, range(1, 11))
        ledger = await traced_lane(redis)
        batch = await ledger.next_batch(terms())
        await redis.delete("crm-sweep:portal:main:claims")  # as when it was rescued
        with pytest.raises(AssertionError):
            await answer(redis, ledger, batch)  # type: ignore[arg-type]  # it is one
    lost = spans.one("batch put")
    assert (has_failed(lost), attribute(lost, "error.type")) == (True, "lost")


async def test_a_lane_that_breaks_off_leaves_no_span_open(redis: ArqRedis) -> None:
    with tracing() as spans:
        await accept_quietly(redis, range(1, 11))
        ledger = await traced_lane(redis)
        await ledger.next_batch(terms())
        abandon(ledger)
        await lapse(redis, "lane")
    broken = spans.one("batch put")
    assert (has_failed(broken), attribute(broken, "error.type")) == (True, "abandoned")
