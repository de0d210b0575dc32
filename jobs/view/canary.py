"""The canary of a job as users see it."""

import json
from collections.abc import Mapping

import msgspec

from jobs.words.outcomes import Outcome
from jobs.words.states import CanaryState


class CanaryView(msgspec.Struct, frozen=True):
    """The contact IDs of a job that are sent first, spread evenly over its list, and what became of them."""

    contacts: int
    """How many they are."""
    decided: int
    """How many of them have a final outcome, or had one when the canary was over."""
    departed: int
    """How many of these did not end as the plan predicted; without a plan, failed."""
    counts: dict[Outcome, int]
    """Their outcomes now or, once it is over, at its end; they add up to `contacts`."""
    state: CanaryState
    """running: nothing else is sent. waiting: the job is paused with `canary`. passed: the rest is sent. cancelled: the
    job was cancelled before that."""


def read_canary(facts: Mapping[str, str], counts: Mapping[Outcome, int]) -> CanaryView | None:
    """Return the canary of a job; None if it has none.

    Args:
        facts: the job's hash.
        counts: outcomes of all its contact IDs.
    """
    if "canary" not in facts:
        return None
    contacts, total = int(facts["canary"]), int(facts["total"])
    own = dict.fromkeys(Outcome, 0)
    if "canary_counts" in facts:
        own |= {Outcome(outcome): count for outcome, count in json.loads(facts["canary_counts"]).items()}
    else:
        own |= counts
        if facts["canary_state"] == CanaryState.CANCELLED:
            own[Outcome.SKIPPED] -= total - contacts
    own[Outcome.PENDING] = 0
    own[Outcome.PENDING] = contacts - sum(own.values())
    return CanaryView(
        contacts=contacts,
        decided=contacts - own[Outcome.PENDING],
        departed=int(facts.get("canary_departed", 0)),
        counts=own,
        state=CanaryState(facts["canary_state"]),
    )
