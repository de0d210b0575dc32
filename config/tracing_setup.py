"""Turning tracing on and off in a process: OpenTelemetry's SDK, and the exporter that sends spans to a collector.

The SDK is part of the extra `tracing`, so it is imported only here, and only once tracing is enabled.
"""

import os
import socket
import threading
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import unquote

from config.errors import ConfigError
from config.masking import mask_text, register_secret
from config.tracing import use
from config.tracing_config import TracingConfig

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

#: How long the end of a process waits for a collector to take the last spans.
FLUSH_S = 2.0

_NAME_VARIABLE = "OTEL_SERVICE_NAME"
#: Headers for the collector, which usually hold a key.
_HEADERS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")


class _Running:
    """What has been started in this process."""

    provider: "TracerProvider | None" = None
    exporter: "SpanExporter | None" = None


def start_tracing(tracing: TracingConfig, exporter: "SpanExporter | None" = None) -> None:
    """Begin to make spans if tracing is enabled; call it once per process, before the work begins.

    Args:
        tracing: the settings.
        exporter: where spans go; by default to the collector that the `OTEL_EXPORTER_OTLP_*` variables name.

    Raises:
        ConfigError: one of these variables cannot be used.
    """
    if not tracing.enabled or _Running.provider:
        return
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - part of the extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415

    _keep_out_of_logs(os.environ)
    try:
        exporter = exporter or _collector()
        processor = BatchSpanProcessor(exporter)
    except ValueError as error:
        raise ConfigError([f"variables of OpenTelemetry (OTEL_…): {mask_text(str(error))}"]) from None
    provider = TracerProvider(
        ParentBasedTraceIdRatio(tracing.sample_ratio),
        Resource.create(_facts(tracing, os.environ)),
        shutdown_on_exit=False,  # it would wait for a collector that is away, for half a minute
    )
    provider.add_span_processor(processor)
    _Running.provider, _Running.exporter = provider, exporter
    use(provider.get_tracer("crm_sweep", version("crm-sweep")))


def stop_tracing() -> None:
    """Send what is left, and make no more spans; does nothing if tracing is off. Takes `FLUSH_S` or a little longer."""
    provider, exporter = _Running.provider, _Running.exporter
    _Running.provider = _Running.exporter = None
    use(None)
    if provider is None or exporter is None:
        return
    # A collector that is away is tried again until the exporter is told to stop.
    patience = threading.Timer(FLUSH_S, exporter.shutdown)
    patience.daemon = True
    patience.start()
    try:
        provider.shutdown()
    finally:
        patience.cancel()


def _collector() -> "SpanExporter":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter()


def _facts(tracing: TracingConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what every span tells of this process."""
    return {
        "service.name": environ.get(_NAME_VARIABLE) or tracing.service_name,
        "service.version": version("crm-sweep"),
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
    }


def _keep_out_of_logs(environ: Mapping[str, str]) -> None:
    for name in _HEADERS:
        for pair in environ.get(name, "").split(","):
            value = pair.partition("=")[2].strip()
            register_secret(value)
            register_secret(unquote(value))
