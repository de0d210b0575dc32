"""The table of reasons in README.md, from jobs/words/reasons.py."""

from jobs.words.reasons import ReasonClass, StateReason

_ENDS = {
    ReasonClass.MOVING: "in a moment",
    ReasonClass.PASSING: "on its own",
    ReasonClass.PERSON: "when a user decides",
    ReasonClass.FAULT: "when it is fixed and the job resumed",
}


def render() -> str:
    """Return one row for each reason: what it means, how it ends, and what to do."""
    rows = ["| `state_reason` | means | ends | what to do |", "|---|---|---|---|"]
    rows += [
        f"| `{reason}` | {reason.meaning} | {_ENDS[reason.ends_by]} | {_remedy(reason)} |" for reason in StateReason
    ]
    return "\n".join(rows)


def _remedy(reason: StateReason) -> str:
    return reason.remedy.format(id="ID", go_on="`crm-sweep resume ID`") or "wait"
