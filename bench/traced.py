"""This program with and without tracing. Run as `python -m bench.traced LOAD VARIANT` it is the worker process.

Spans go to an exporter that throws them away, so that the program is measured and not a collector.
"""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import structlog
import uvloop
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from pyroaring import BitMap

from bench.load import Load
from bench.measure import Measurement, measure
from bench.ours import PORTAL, settings_for
from bench.process import module
from bench.storage import ended
from config.logging import configure_logging
from config.settings import LogConfig
from config.tracing import add_trace
from config.tracing_config import TracingConfig
from config.tracing_setup import start_tracing, stop_tracing
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.lanes.lease import LaneLedger
from jobs.store.connection import connect
from worker.exchange import Exchange
from worker.main import working

_ALL = 100_000


@dataclass(frozen=True)
class Variant:
    """A way of tracing, or of not tracing."""

    summary: str
    tracing: TracingConfig


VARIANTS = {
    "without": Variant("the worker with its places for tracing taken out", TracingConfig()),
    "off": Variant("tracing is off, as by default", TracingConfig()),
    "not-sampled": Variant("on, and the job is not sampled", TracingConfig(enabled=True, sample_ratio=0)),
    "drawn": Variant("on, spans for a tenth of the calls", TracingConfig(enabled=True, calls_per_job=1)),
    "all": Variant("on, spans for every call", TracingConfig(enabled=True, calls_per_job=_ALL)),
}


class _Nowhere(SpanExporter):
    """Throws spans away."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - that is the point
        return SpanExportResult.SUCCESS


async def run(load: Load, variant: str) -> Measurement:
    """Measure one run."""
    redis = connect(settings_for(load).redis.url)
    wanted = Submission(needs_approval=False, portal=PORTAL, ids=BitMap(load.ids), lanes=load.concurrency)
    job_id = ""

    async def enqueue() -> None:
        nonlocal job_id
        with _tracing(_terms(load, variant)):  # a job is traced if its submission was
            job_id = (await submit(redis, wanted)).job_id

    try:
        async with module("bench.traced", load.as_argument(), variant) as child:
            return await measure(load, workers=[child], start=enqueue, settle=lambda: ended(redis, job_id))
    finally:
        await redis.aclose(close_connection_pool=True)


def _terms(load: Load, variant: str) -> TracingConfig:
    """Return a variant's settings; what is a number of calls in them depends on the load."""
    terms = VARIANTS[variant].tracing
    if variant == "drawn":
        return terms.model_copy(update={"calls_per_job": max(1, load.contacts // load.batch // 10)})
    return terms


@contextmanager
def _tracing(terms: TracingConfig) -> Iterator[None]:
    start_tracing(terms, _Nowhere())
    try:
        yield
    finally:
        stop_tracing()


def _bare_ledger(*facts: Any, calls_per_job: int) -> LaneLedger:  # noqa: ARG001 - the signature of `ledger_for`
    return LaneLedger(*facts)


def _take_out() -> None:
    """Take out of the worker whatever asks whether tracing is on."""
    patch.multiple("worker.fleet", ledger_for=_bare_ledger, abandon=lambda _: None).start()
    patch("worker.portal_client.exchange_for", Exchange).start()
    processors = structlog.get_config()["processors"]
    structlog.configure(processors=[one for one in processors if one is not add_trace])


async def _work(load: Load, variant: str) -> None:
    terms = _terms(load, variant)
    with _tracing(terms):
        async with working(settings_for(load).model_copy(update={"tracing": terms})):
            print("ready", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    with Path(os.devnull).open("w") as null:
        configure_logging(LogConfig(), null)
        if sys.argv[2] == "without":
            _take_out()
        uvloop.run(_work(Load.from_argument(sys.argv[1]), sys.argv[2]))
