"""The result of a run, for people and for programs."""

import os
import platform
from collections import Counter
from collections.abc import Sequence

import msgspec

from chaos.plan import BURST, MAX_CONCURRENCY, Plan, label
from chaos.story import Outcome


def as_text(plan: Plan, outcome: Outcome, command: str) -> str:
    """Write the result as Markdown."""
    struck: Counter[str] = Counter()
    for rule in outcome.rules:
        struck[label(rule)] += rule["struck"]
    faults = [(name, f"{times:,}") for name, times in struck.items()]
    misfortunes = [(name, f"{count:,}") for name, count in sorted(outcome.misfortunes.items())]
    contacts = [(name, f"{count:,}") for name, count in outcome.verdict.counts.items() if count]
    wrong = [*outcome.problems, *outcome.verdict.disagreements]
    parts = [
        f"`{command}` with seed {plan.seed}, {plan.workers} workers, on {machine()}",
        table(("fault of the portal", "times"), faults),
        table(("misfortune", "times"), misfortunes),
        table(("contacts", "count"), contacts),
        table(("the run", ""), _facts(plan, outcome)),
        "The ledger and the portal agree about every contact." if outcome.agreed else "THEY DO NOT AGREE:",
        *(f"- {what}" for what in wrong[:50]),
    ]
    return "\n\n".join(parts) + "\n"


def as_json(plan: object, outcome: object, command: str, *, agreed: bool) -> bytes:
    """Write the result of any run as JSON."""
    facts = {"command": command, "machine": machine(), "agreed": agreed, "plan": plan, "outcome": outcome}
    return msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n"


def _facts(plan: Plan, outcome: Outcome) -> list[tuple[str, str]]:
    summary = outcome.summary
    return [
        ("seconds with faults", f"{outcome.seconds['disturbed']:.0f}"),
        ("seconds from then until all jobs had ended", f"{outcome.seconds['to the end after that']:.0f}"),
        ("calls", f"{summary['calls']:,}"),
        ("deletions committed whose answer never arrived", f"{summary['deletions_committed_but_not_delivered']:,}"),
        (f"most calls in flight (limit {2 * MAX_CONCURRENCY + 1}: three portals)", f"{outcome.peak_in_flight}"),
        (
            f"most calls in any second (limit {plan.most_per_second:g} and bursts of {BURST + 2}: three portals)",
            f"{outcome.busiest_second[0]}, at {outcome.busiest_second[1]:.0f} s",
        ),
        ("times that all jobs were read and their counts added up", f"{outcome.polls:,}"),
        ("whole ledgers compared with what they said before", f"{outcome.snapshots:,}"),
    ]


def table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
    """Write a table as Markdown."""
    return "\n".join(f"| {first} | {second} |" for first, second in [head, ("---", "--:"), *rows])


def machine() -> str:
    """Describe where it ran."""
    return f"{platform.machine()} with {_cores()} cores, {platform.system()}, Python {platform.python_version()}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
