"""Spans, by OpenTelemetry: what the rest of the program calls, whether tracing is on or off.

    with span("accept job", attributes={"crm_sweep.portal": portal}) as current:
        …
        current.set_attribute("crm_sweep.job", job_id)

Off, which is the default, there is no tracer: `span` hands out a span that takes everything and keeps nothing. What is
called once per call to a portal asks `is_on` first, and makes not even that (worker/traced_ledger.py).

No span ever has the text of an error: it can quote a list, a name or an address. What went wrong is one stable word.
"""

import contextlib
from collections.abc import Iterator, Mapping

from opentelemetry.context import Context, attach
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import EventDict, WrappedLogger

__all__ = [
    "TRACEPARENT",
    "Attributes",
    "Context",
    "Span",
    "SpanKind",
    "add_trace",
    "continue_trace",
    "continued",
    "enter",
    "fail",
    "is_on",
    "is_recorded",
    "leave",
    "open_span",
    "span",
    "trace_id",
    "traceparent",
    "use",
]

Attributes = Mapping[str, str | int | float | bool]

#: The W3C's name of the header that carries a trace from one service to the next.
TRACEPARENT = "traceparent"

_W3C = TraceContextTextMapPropagator()
_NO_TRACE = Context()


class _State:
    """What this process traces with."""

    tracer: Tracer | None = None


def use(tracer: Tracer | None) -> None:
    """Make all further spans with this tracer; None turns tracing off."""
    _State.tracer = tracer


def is_on() -> bool:
    """Check whether this process makes spans."""
    return _State.tracer is not None


@contextlib.contextmanager
def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    context: Context | None = None,
) -> Iterator[Span]:
    """Make a span that lasts as long as the block; what is called in it is part of it.

    An error that leaves the block is noted by the name of its class.

    Args:
        name: a few words that are the same for every span of this kind.
        kind: how it stands to other services.
        attributes: what is known at its start.
        context: the trace to continue; by default what is going on.
    """
    tracer = _State.tracer
    if tracer is None:
        yield INVALID_SPAN
        return
    with tracer.start_as_current_span(
        name, context, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            fail(current, type(error).__name__)
            raise


def open_span(name: str, context: Context, attributes: Attributes) -> Span:
    """Start a span that the caller has to end; for what begins in one call and ends in another."""
    return _State.tracer.start_span(name, context, attributes=attributes) if _State.tracer else INVALID_SPAN


def fail(current: Span, reason: str) -> None:
    """Mark a span as failed.

    Args:
        current: the span.
        reason: a stable word, never a text that could quote something.
    """
    current.set_attribute("error.type", reason)
    current.set_status(Status(StatusCode.ERROR, reason))


def continued(parent: str | None) -> Context:
    """Return the context of a `traceparent`; one without a trace if there is none, or if it is not well formed."""
    return _W3C.extract({TRACEPARENT: parent}, _NO_TRACE) if parent else _NO_TRACE


def traceparent() -> str | None:
    """Return the span that is going on in the form of the W3C, which tells whether it is sampled; None without one."""
    if _State.tracer is None:
        return None
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get(TRACEPARENT)


def trace_id(parent: str | None) -> str | None:
    """Return the trace that a `traceparent` names, 32 hexadecimal digits."""
    return parent.split("-")[1] if parent else None


def is_recorded() -> bool:
    """Check whether what is going on is a span that is kept; if not, there is no use for a span within it."""
    return get_current_span().is_recording()


def continue_trace(parent: str | None) -> None:
    """Make what this task does from now on part of the trace of a `traceparent`, if tracing is on and there is one."""
    if is_on() and parent:
        attach(continued(parent))


def enter(current: Span) -> None:
    """Make a span the one that is going on, until this task enters another or leaves it."""
    attach(set_span_in_context(current))


def leave() -> None:
    """Make no span the one that is going on in this task."""
    attach(_NO_TRACE)


def add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add `trace_id` to a log line, and `span_id` if the span is kept; a processor of structlog."""
    if _State.tracer is None:
        return event
    context = get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
        if context.trace_flags.sampled:
            event["span_id"] = f"{context.span_id:016x}"
    return event
