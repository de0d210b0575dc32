"""A restore in words and numbers for people: its plan, its progress, its result."""

import contextlib
import time
from collections.abc import Callable, Iterator

import msgspec
from rich.console import Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cli.output import note, notes, plural
from cli.progress import LINE_EVERY_S
from cli.summary import duration
from restore.survey import Summary


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a restore, as `--json` prints it."""

    plan: Summary
    created: int
    incomplete: int
    """Those of them that lack something because a call failed."""
    still_there: int
    failed: int
    no_record: int
    pending: int
    possible_twins: int
    """Restored contacts of which there may be a second one."""
    calls: int
    """Calls to the portal, log-ins included."""
    seconds: float
    report: str | None


#: What the portal does not even show, so that no bundle can hold it.
NEVER_KEPT = "contact type, photo, files, history, call records, mail links, date of the last change"


def summary_view(summary: Summary) -> RenderableType:
    """Return the plan of a restore as a table, and what cannot come back."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("contacts", f"{summary.contacts:,} deleted by job {summary.job}")
    facts.add_row("to create", f"{_companies(summary.companies)}, then {plural(summary.persons, 'person')}")
    for what, count in (
        ("restored before", summary.restored_before),
        ("still there", summary.still_there),
        ("no record", summary.no_record),
    ):
        if count:
            facts.add_row(what, f"{count:,}")
    facts.add_row("calls", f"about {summary.calls:,}, {duration(summary.estimate_s)} one after the other")
    facts.add_row("cannot return", f"the old contact IDs; {NEVER_KEPT}")
    for word, count in summary.lost.items():
        facts.add_row("", f"{word} of {plural(count, 'contact')}")
    return Group(Text(f"Restore of job {summary.job} in portal {summary.portal}"), facts)


def outcome_line(restored: Restored) -> str:
    """Return the result in one line."""
    parts = [f"{restored.created:,} created"] + [
        f"{count:,} {word}"
        for word, count in (
            ("of them incomplete", restored.incomplete),
            ("still there", restored.still_there),
            ("failed", restored.failed),
            ("without a record", restored.no_record),
            ("pending", restored.pending),
            ("possibly there twice", restored.possible_twins),
        )
        if count
    ]
    took = f"{plural(restored.calls, 'call')} in {duration(restored.seconds)}"
    return f"job {restored.plan.job}: {', '.join(parts)} ({took})"


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows on standard error how many contacts are done."""
    console = notes()
    if not console.is_terminal:
        yield _lines(total)
        return
    columns = (
        TextColumn("restoring"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


def _lines(total: int) -> Callable[[int], None]:
    last_s = time.monotonic()

    def show(done: int) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= LINE_EVERY_S:
            last_s = now_s
            note(f"{done:,} of {plural(total, 'contact')} restored")

    return show


def _companies(count: int) -> str:
    return "1 company" if count == 1 else f"{count:,} companies"
