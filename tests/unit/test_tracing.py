"""Spans and their helper: nothing when off, never the text of an error, and traces that go on in the next service."""

import io
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanKind, get_current_span

from config import tracing_config, tracing_setup
from config.logging import configure_logging, get_logger
from config.masking import mask_text
from config.models import LogConfig
from config.settings import ConfigError, load_settings
from config.tracing import continued, fail, is_on, is_recorded, span, trace_id, traceparent
from config.tracing_config import TracingConfig
from config.tracing_setup import start_tracing, stop_tracing
from tests.support.tracing import (
    FROM_OUTSIDE,
    SPAN_ID,
    TRACE_ID,
    attribute,
    has_failed,
    id_of,
    parent_of,
    trace_of,
    tracing,
)

NO_FILE = Path("/dev/null")

#: By the W3C; what is drawn here is never longer.
WELL_FORMED = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root, stream = logging.getLogger(), io.StringIO()
    before = root.level, list(root.handlers)
    configure_logging(LogConfig(format="json"), stream)
    yield stream
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.level, root.handlers = before


def test_off_there_is_a_span_that_keeps_nothing_and_no_trace(log: io.StringIO) -> None:
    start_tracing(TracingConfig())
    with span("anything") as current:
        current.set_attribute("a", 1)
        fail(current, "reason")
        get_logger().info("event")
        assert not current.is_recording()
        assert not is_recorded()
        assert traceparent() is None
    assert not is_on()
    assert not {"trace_id", "span_id"} & json.loads(log.getvalue()).keys()
    stop_tracing()


def test_a_span_within_another_is_its_child() -> None:
    with (
        tracing() as spans,
        span("outer", kind=SpanKind.SERVER, attributes={"crm_sweep.portal": "main"}),
        span("inner"),
    ):
        assert is_recorded()
    outer, inner = spans.one("outer"), spans.one("inner")
    assert (parent_of(inner), parent_of(outer)) == (id_of(outer), None)
    assert trace_of(inner) == trace_of(outer)
    assert (outer.kind, attribute(outer, "crm_sweep.portal")) == (SpanKind.SERVER, "main")
    assert not has_failed(outer)


def test_an_error_is_noted_by_its_class_and_never_by_its_text() -> None:
    with tracing() as spans, pytest.raises(LookupError), span("work"):
        raise LookupError("no contact named zebulon@quagmire.example")
    work = spans.one("work")
    assert has_failed(work)
    assert (work.status.description, attribute(work, "error.type")) == ("LookupError", "LookupError")
    assert not work.events
    assert "zebulon" not in work.to_json()


def test_a_trace_from_outside_is_continued_and_handed_on() -> None:
    with tracing() as spans, span("work", context=continued(FROM_OUTSIDE)):
        handed_on = traceparent()
    work = spans.one("work")
    assert (trace_of(work), parent_of(work)) == (TRACE_ID, SPAN_ID)
    assert handed_on == f"00-{TRACE_ID}-{id_of(work)}-01"
    assert trace_id(handed_on) == TRACE_ID
    assert trace_id(None) is None


@given(st.text(max_size=80) | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{30,34}-[0-9a-f]{14,18}-0[0-9]", fullmatch=True))
def test_what_is_not_a_traceparent_begins_a_trace_of_its_own(text: str) -> None:
    parent = get_current_span(continued(text)).get_span_context()
    assert parent.is_valid == bool(WELL_FORMED.match(text))


def test_what_is_not_sampled_makes_no_spans_but_its_log_lines_have_the_trace(log: io.StringIO) -> None:
    with tracing(sample_ratio=0) as spans, span("work"):
        handed_on = traceparent()
        get_logger().info("event")
    assert not spans.all()
    assert handed_on is not None
    assert int(handed_on[-2:], 16) & 1 == 0
    line = json.loads(log.getvalue())
    assert line["trace_id"] == trace_id(handed_on)
    assert "span_id" not in line


def test_a_caller_who_samples_decides(log: io.StringIO) -> None:
    with tracing(sample_ratio=0) as spans, span("work", context=continued(FROM_OUTSIDE)):
        get_logger().info("event")
    line = json.loads(log.getvalue())
    assert (line["trace_id"], line["span_id"]) == (TRACE_ID, id_of(spans.one("work")))
    with tracing(sample_ratio=1) as spans, span("work", context=continued(FROM_OUTSIDE[:-2] + "00")):
        pass
    assert not spans.all()


def test_spans_tell_which_service_made_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with tracing(service_name="sweeper") as spans, span("work"):
        pass
    assert spans.one("work").resource.attributes["service.name"] == "sweeper"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "by-environment")
    with tracing(service_name="sweeper") as spans, span("work"):
        pass
    assert spans.one("work").resource.attributes["service.name"] == "by-environment"


def test_the_keys_of_a_collector_are_kept_out_of_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=hush-123,authorization=Basic%20aHVzaDoxMjM")
    with tracing():
        pass
    assert mask_text("sent hush-123 and Basic aHVzaDoxMjM") == "sent *** and ***"


def test_without_the_extra_the_configuration_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing_config, "_OF_THE_EXTRA", ("opentelemetry.nowhere.at.all",))
    with pytest.raises(ConfigError) as caught:
        load_settings(NO_FILE, {"CRM_SWEEP_TRACING__ENABLED": "true"})
    assert str(caught.value) == (
        "configuration: tracing.enabled (environment variable CRM_SWEEP_TRACING__ENABLED): given true, expected the "
        "extra tracing to be installed: pip install 'crm-sweep[tracing]'"
    )
    assert not load_settings(NO_FILE, {}).tracing.enabled


def test_nothing_of_the_extra_is_loaded_while_tracing_is_off() -> None:
    look = "import sys, cli.main, worker.main; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60, check=True)
    loaded = done.stdout.split()
    assert "opentelemetry.trace" in loaded
    assert not [name for name in loaded if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "google"))]


def test_a_variable_that_cannot_be_used_is_an_error_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-3")
    with pytest.raises(ConfigError, match=r"variables of OpenTelemetry .*max_queue_size must be"):
        start_tracing(TracingConfig(enabled=True))
    assert not is_on()


def test_a_collector_that_is_away_holds_up_the_end_only_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(tracing_setup, "FLUSH_S", 0.1)
    start_tracing(TracingConfig(enabled=True))
    with span("work"):
        pass
    began_s = time.monotonic()
    stop_tracing()
    assert time.monotonic() - began_s < 5  # left alone, the exporter goes on for seven seconds and longer
    assert not is_on()
