"""The table `[tracing]` of the configuration."""

from importlib.util import find_spec
from typing import Annotated

from pydantic import Field, field_validator

from config.fields import Section, Unit, refuse

#: What the extra brings, by the modules that are needed of it.
_OF_THE_EXTRA = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


class TracingConfig(Section):
    """Traces by OpenTelemetry; where they go is said by the standard `OTEL_*` variables."""

    enabled: bool = False
    """Whether spans are made and sent to a collector; needs the extra `tracing`."""

    service_name: Annotated[str, Field(min_length=1, max_length=255)] = "crm-sweep"
    """Name of this program in the traces; `OTEL_SERVICE_NAME` wins."""

    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the submissions whose jobs are traced; where a caller sends a `traceparent`, that decides."""

    calls_per_job: Annotated[int, Field(ge=1, le=100_000), Unit("calls")] = 1000
    """About how many calls of one job get spans; of more, they are drawn at random."""

    @field_validator("enabled")
    @classmethod
    def _extra_is_installed(cls, enabled: bool) -> bool:
        if enabled and not all(map(_is_installed, _OF_THE_EXTRA)):
            refuse("the extra tracing to be installed: pip install 'crm-sweep[tracing]'", given="true")
        return enabled


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its parent is there
        return False
