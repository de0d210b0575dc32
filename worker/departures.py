"""Departures: contact IDs that did not end as expected."""

from dataclasses import replace

from jobs.lanes.settlement import Settlement
from jobs.words.outcomes import Outcome


def with_departures(settlement: Settlement) -> Settlement:
    """Return the settlement with the number of its departures: without a plan, the failed contact IDs."""
    failed = settlement.counts().get(Outcome.FAILED)
    return replace(settlement, departures=failed) if failed else settlement
