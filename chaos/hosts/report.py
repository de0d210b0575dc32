"""The result of a run with hosts, for people and for programs."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from chaos.hosts.calls import GOES_ON_WITHIN_S
from chaos.hosts.outcome import HostsOutcome
from chaos.hosts.plan import HostsPlan
from chaos.hosts.promotions import Promotion
from chaos.plan import label
from chaos.report import machine, table


def as_text(plan: HostsPlan, outcome: HostsOutcome, command: str) -> str:
    """Write the result as Markdown."""
    struck: Counter[str] = Counter()
    for rule in outcome.rules:
        struck[label(rule)] += rule["struck"]
    faults = [(name, f"{times:,}") for name, times in struck.items() if times]
    misfortunes = [(name, f"{count:,}") for name, count in sorted(outcome.misfortunes.items())]
    contacts = [(name, f"{count:,}") for name, count in outcome.verdict.counts.items() if count]
    wrong = [*outcome.problems, *outcome.verdict.disagreements]
    parts = [
        f"`{command}`\n\nSeed {plan.seed}, {plan.workers} workers, `min_replicas = {plan.min_replicas}`, {machine()}",
        _promotions(outcome),
        table(("misfortune", "times"), misfortunes),
        *([table(("fault of the portal", "times"), faults)] if faults else []),
        table(("contacts", "count"), contacts),
        table(("the run", ""), _facts(outcome)),
        "The ledgers and the portal agree about every contact, and every promise stands."
        if outcome.agreed
        else "THEY DO NOT AGREE:",
        *(f"- {what}" for what in wrong[:50]),
    ]
    return "\n\n".join(parts) + "\n"


def _promotions(outcome: HostsOutcome) -> str:
    head = ("fail-over", "at, s", "from", "to", "during", "claims possible after, s", "first calls after that, s")
    rows = [_promotion(outcome, one) for one in outcome.promotions]
    lines = [head, ("--:", "--:", "---", "---", "---", "--:", "--:"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _promotion(outcome: HostsOutcome, one: Promotion) -> tuple[str, ...]:
    after = [
        found.after_s for found in outcome.calls.resumptions if found.epoch == one.epoch and found.after_s is not None
    ]
    able = "never" if one.able_s is None else f"{one.able_s - one.promoted_s:.1f}"
    at = f"{one.promoted_s - outcome.started_s:.1f}"
    return str(one.epoch), at, one.old, one.new, one.during, able, ", ".join(f"{found:.2f}" for found in sorted(after))


def _facts(outcome: HostsOutcome) -> list[tuple[str, str]]:
    after = [found.after_s for found in outcome.calls.resumptions if found.after_s is not None]
    able = [one.able_s - one.promoted_s for one in outcome.promotions if one.able_s is not None]
    silences = outcome.calls.silences
    last = [one.last_call_s for one in silences if one.last_call_s is not None]
    return [
        ("fail-overs", f"{len(outcome.promotions)}"),
        ("seconds from a promotion until claims were possible: median, most", _spread(able)),
        ("seconds from then to the first call of each undisturbed worker: median, most", _spread(after)),
        (
            f"times that an undisturbed worker was looked at; later than {GOES_ON_WITHIN_S:.0f} s",
            f"{len(outcome.calls.resumptions)}; {sum(after_s > GOES_ON_WITHIN_S for after_s in after)}",
        ),
        ("times that a worker was cut off from Redis, or with a primary without replicas", f"{len(silences)}"),
        ("seconds from the cut to its last call: median, most", _spread(last)),
        ("calls of such a worker after its leases had lapsed", f"{sum(one.calls_too_late for one in silences)}"),
        ("seconds until the servers had found together again: median, most", _spread(outcome.recovered_s)),
        *((name, f"{value:,.0f}") for name, value in outcome.facts.items()),
    ]


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f}, {max(values):.2f}" if values else "-"
