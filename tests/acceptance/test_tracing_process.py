"""A job's trace as a collector receives it over a socket, from a command and from a worker."""

import signal
import time
from collections.abc import Callable

import pytest

from tests.support.home import Home, until
from tests.support.portal_process import Portal
from tests.support.tracing import FROM_OUTSIDE, SPAN_ID, TRACE_ID, Collector, collector
from tests.support.worker_process import COMMANDS

MakePortal = Callable[..., Portal]

ON = "[tracing]\nenabled = true\n"


def has_batch(received: Collector) -> bool:
    return any(span.name == "batch put" for span in received.spans())


def test_a_command_and_a_worker_send_one_trace_to_a_collector(
    home: Home, portal: MakePortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url}, more=ON)
    with collector() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=hush-0123456789")
        worker = home.start("worker")
        submitted = home.cli(
            "submit", home.ids(*range(1, 41)), "--portal", "main", "--yes", env={"TRACEPARENT": FROM_OUTSIDE}
        )
        assert submitted.code == 0, submitted.stderr
        job_id = submitted.stdout.strip()
        home.until_in(job_id, "completed")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    assert home.job(job_id)["trace_id"] == TRACE_ID
    spans = {span.name: span for span in received.spans()}
    assert spans.keys() == {"accept job", "batch put", "PUT", "settle"}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE_ID}
    assert spans["accept job"].parent_span_id.hex() == SPAN_ID
    assert spans["batch put"].parent_span_id == spans["accept job"].span_id
    assert spans["PUT"].parent_span_id == spans["settle"].parent_span_id == spans["batch put"].span_id
    services = {
        fact.value.string_value
        for _, request in received.requests
        for of_process in request.resource_spans
        for fact in of_process.resource.attributes
        if fact.key == "service.name"
    }
    assert services == {"crm-sweep"}
    assert {headers["x-api-key"] for headers, _ in received.requests} == {"hush-0123456789"}
    log = (home.directory / "worker.0.log").read_text()
    assert f'"trace_id":"{TRACE_ID}"' in log
    assert "hush-0123456789" not in log


def test_a_worker_of_arqs_command_line_sends_spans_too(
    home: Home, portal: MakePortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url}, more=ON)
    with collector() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        home.start_program(*COMMANDS["arq"])
        home.submit("main", *range(1, 41))
        until(lambda: has_batch(received))


def test_a_run_in_one_process_is_one_trace(home: Home, portal: MakePortal, monkeypatch: pytest.MonkeyPatch) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url}, more=ON)
    with collector() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        done = home.cli("run", home.ids(*range(1, 41)), "--portal", "main", "--yes")
    assert done.code == 0, done.stderr
    names = sorted(span.name for span in received.spans())
    assert names == ["PUT", "accept job", "batch put", "settle"]
    assert len({span.trace_id for span in received.spans()}) == 1


def test_a_command_does_its_work_without_a_collector_and_waits_for_it_only_a_moment(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"}, more=ON)
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    began_s = time.monotonic()
    submitted = home.cli("submit", home.ids(1, 2, 3), "--portal", "main", "--yes", env=env)
    assert time.monotonic() - began_s < 20, "the exporter by itself would go on for half a minute"
    assert submitted.code == 0
    assert home.state(submitted.stdout.strip()) == "queued"
    assert "error" not in submitted.stderr.lower()
