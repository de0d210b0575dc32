"""Contacts of a settled batch that did not end as expected, which decide whether a job goes on after its canary."""

from collections.abc import Mapping

from msgspec.structs import replace

from jobs.lanes.settlement import Settlement
from jobs.plan.export import departs
from jobs.words.outcomes import Code, Outcome
from worker.forecast import Forecast


def with_departures(settlement: Settlement, forecasts: Mapping[int, Forecast]) -> Settlement:
    """Return a settlement with the number of contact IDs that did not end as expected.

    Args:
        settlement: what became of a batch.
        forecasts: what the job's plan says of each of its segments; empty for a job without a plan, of which all
            contacts are expected not to fail.
    """
    departures = 0
    for segment, record in settlement.records:
        forecast = forecasts.get(segment)
        if forecast is None:
            departures += sum(Code(code).outcome is Outcome.FAILED for code in record.codes)
        else:
            codes = zip(record.positions, record.codes, strict=True)
            departures += sum(departs(forecast.verdicts[at], code) for at, code in codes)
    return replace(settlement, departures=departures)
