"""The canary of a job beside its prediction: which part of the plan each outcome is, and of the contacts sent first."""

from collections.abc import Collection
from dataclasses import dataclass

from jobs.plan.summary import Plan
from jobs.view.canary import CanaryView
from jobs.words.outcomes import Outcome
from jobs.words.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison.

    Attributes:
        label: what became of contacts.
        predicted: for how many contacts of the whole list the plan predicts it.
        count: for how many of the canary it came true.
    """

    label: str
    predicted: int
    count: int


_ROWS: tuple[tuple[str, Collection[Outcome], Collection[Verdict]], ...] = (
    ("Deleted", (Outcome.DELETED, Outcome.PRESUMED_DELETED), (Verdict.DELETABLE,)),
    ("Refused", (Outcome.REFUSED,), (Verdict.READ_ONLY, Verdict.HAS_INVOICE)),
    ("Not found", (Outcome.NOT_FOUND,), (Verdict.ABSENT,)),
    ("Protected", (Outcome.PROTECTED,), (Verdict.PROTECTED,)),
    ("Failed", (Outcome.FAILED,), ()),
    ("Skipped", (Outcome.SKIPPED,), ()),
    ("Not decided yet", (Outcome.PENDING,), ()),
)


def compare(canary: CanaryView, plan: Plan | None) -> list[Row]:
    """Return what became of a canary, line by line, with what the plan predicts; lines that are all zero are left out.

    Args:
        canary: the canary.
        plan: the job's plan; None for a job without one.
    """
    rows = [
        Row(
            label,
            predicted=sum(plan.counts[verdict] for verdict in verdicts) if plan else 0,
            count=sum(canary.counts[outcome] for outcome in outcomes),
        )
        for label, outcomes, verdicts in _ROWS
    ]
    return [row for row in rows if row.predicted or row.count]
