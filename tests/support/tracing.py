"""Tracing in this process, with the spans kept in memory; and a collector that takes them over a socket."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from config.tracing_config import TracingConfig
from config.tracing_setup import start_tracing, stop_tracing

#: What another service would send.
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
FROM_OUTSIDE = f"00-{TRACE_ID}-{SPAN_ID}-01"


@dataclass
class Spans:
    """The spans that ended; complete once the block of `tracing` is left."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def all(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        [span] = self.named(name)
        return span

    def child_names(self, parent: ReadableSpan) -> list[str]:
        """Return the names of a span's children, in the order in which they began."""
        children = [span for span in self.all() if span.parent and span.parent.span_id == parent.context.span_id]
        return [span.name for span in sorted(children, key=lambda span: span.start_time or 0)]


@contextlib.contextmanager
def tracing(**settings: Any) -> Iterator[Spans]:
    """Trace what this process does until the block ends."""
    spans = Spans()
    start_tracing(TracingConfig(enabled=True, **settings), spans.exporter)
    try:
        yield spans
    finally:
        stop_tracing()


def trace_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def parent_of(span: ReadableSpan) -> str | None:
    return f"{span.parent.span_id:016x}" if span.parent else None


def id_of(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}"


def attribute(span: ReadableSpan, name: str) -> Any:
    return (span.attributes or {}).get(name)


def has_failed(span: ReadableSpan) -> bool:
    return span.status.status_code is StatusCode.ERROR


@dataclass
class Collector:
    """A receiver of OTLP over HTTP.

    Attributes:
        url: what `OTEL_EXPORTER_OTLP_ENDPOINT` is set to.
        requests: what was received, with its headers.
    """

    url: str
    requests: list[tuple[dict[str, str], ExportTraceServiceRequest]] = field(default_factory=list)

    def spans(self) -> list[Any]:
        """Return the spans received so far, as OTLP has them."""
        return [
            span
            for _, request in self.requests
            for of_process in request.resource_spans
            for of_scope in of_process.scope_spans
            for span in of_scope.spans
        ]


@contextlib.contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector on a port of its own until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            got.requests.append((dict(self.headers), ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        got = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield got
        finally:
            server.shutdown()
            thread.join()
