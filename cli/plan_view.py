"""A plan in words and numbers for people."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.output import plural
from cli.summary import duration, headline
from jobs.plan.summary import Plan, SampleContact
from jobs.view.job import Job
from jobs.words.verdicts import Verdict

#: What a verdict means, and its colour.
_VERDICTS: dict[Verdict, tuple[str, str]] = {
    Verdict.DELETABLE: ("will be deleted", "red"),
    Verdict.READ_ONLY: ("the account may not change it", "yellow"),
    Verdict.HAS_INVOICE: ("on an invoice, so the portal keeps it", "yellow"),
    Verdict.ABSENT: ("no such contact for this account", "yellow"),
    Verdict.PROTECTED: ("on the protected list, or with a protected tag", "cyan"),
}


def plan_view(job: Job) -> RenderableType:
    """Render the plan of a job: what would become of its contacts, and what that takes."""
    plan = job.plan
    if plan is None:
        return headline(job)
    lines: list[RenderableType] = [headline(job)]
    if job.selection.filter:
        lines.append(Text(f"selected: {job.selection.filter}"))
    table = Table(box=None, pad_edge=False, show_header=False, show_footer=True)
    table.add_column("verdict", footer="total")
    table.add_column("contacts", footer=f"{job.total:,}", justify="right")
    table.add_column("meaning", style="dim")
    for verdict, (meaning, colour) in _VERDICTS.items():
        if plan.counts[verdict] or verdict is Verdict.DELETABLE:
            table.add_row(Text(verdict, style=colour), f"{plan.counts[verdict]:,}", meaning)
    lines.append(table)
    lines.append(Text(in_words(plan)))
    if job.bundle:
        lines.append(Text("undo is on: the record of each contact is kept before any of them is deleted"))
    lines += [
        Text(f"warning: {warning.code} ({warning.count:,}): {warning.message}", style="yellow")
        for warning in plan.warnings
    ]
    if plan.sample:
        lines.append(_sample(plan.sample))
    lines.append(Text(f"digest {plan.digest[:12]}, can be approved until {plan.expires_at}"))
    return Group(*lines)


def in_words(plan: Plan) -> str:
    """Return what share of the portal a plan deletes, and what that takes."""
    shortest, longest = plan.estimate_s
    takes = (
        duration(longest) if duration(shortest) == duration(longest) else f"{duration(shortest)} to {duration(longest)}"
    )
    return (
        f"{plan.share:.2%} of the portal's {plural(plan.portal_total, 'contact')}, "
        f"in about {plural(plan.calls, 'call')}, {takes}"
    )


def _sample(sample: tuple[SampleContact, ...]) -> Table:
    table = Table(box=None, pad_edge=False, title="some of them", title_justify="left", title_style="dim")
    for name in ("id", "name", "kind", "tags", "created"):
        table.add_column(name, justify="right" if name == "id" else "left", style="dim")
    for contact in sample:
        table.add_row(
            str(contact.contact_id),
            Text(contact.display_name),
            contact.kind,
            Text(", ".join(contact.tags)),
            contact.created[:10],
        )
    return table
