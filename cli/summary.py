"""A job in words and numbers for people: its table of outcomes, and one line about its progress."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.kept import kept_in_words
from cli.output import plural, rendered
from jobs.bundles.facts import BundleState
from jobs.plan.summary import Planning
from jobs.store.times import clock
from jobs.view.job import Job
from jobs.words.outcomes import Outcome
from jobs.words.reasons import StateReason, advice_with_error
from jobs.words.states import State

#: What an outcome means, and its colour.
_OUTCOMES: dict[Outcome, tuple[str, str]] = {
    Outcome.DELETED: ("the portal confirmed the deletion", "green"),
    Outcome.PRESUMED_DELETED: ("gone; the answer that would confirm it was lost", "green"),
    Outcome.NOT_FOUND: ("no such contact for this account", "yellow"),
    Outcome.REFUSED: ("read-only, or on an invoice", "yellow"),
    Outcome.FAILED: ("given up; may still be there", "red"),
    Outcome.PROTECTED: ("on the protected list, or with a protected tag; never sent", "cyan"),
    Outcome.SKIPPED: ("left alone: cancelled, or no longer as planned", "cyan"),
    Outcome.PENDING: ("not decided yet", "dim"),
}

_STATES = {
    State.COMPLETED: "green",
    State.RUNNING: "green",
    State.FAILED: "red",
    State.CANCELLED: "red",
    State.PAUSED: "yellow",
    State.AWAITING_APPROVAL: "yellow",
}


def told(job: Job, restored: int = 0, state_dir: Path | None = None) -> str:
    """Return the summary of a job as text, and what is kept of its contacts.

    Args:
        job: the job.
        restored: how many of its contacts have been restored.
        state_dir: the directory of the `crm-sweep run` that made it.
    """
    kept = kept_in_words(job, restored, state_dir)
    # Not fitted to the terminal, which would break a command that is to be copied.
    return rendered(summary(job)) + (f"{kept}\n" if kept else "")


def summary(job: Job) -> RenderableType:
    """Render what became of a job, always the same for the same job."""
    table = Table(box=None, pad_edge=False, show_header=False, show_footer=True)
    table.add_column("outcome", footer="total")
    table.add_column("contacts", footer=f"{job.total:,}", justify="right")
    table.add_column("meaning", style="dim", footer=_duplicates(job))
    for outcome, (meaning, colour) in _OUTCOMES.items():
        count = job.counts[outcome]
        if count or outcome is Outcome.DELETED:
            table.add_row(Text(outcome, style=colour), f"{count:,}", meaning)
    lines: list[RenderableType] = [headline(job), table]
    requests = job.requests
    lines.append(
        f"{requests.sent:,} {'call' if requests.sent == 1 else 'calls'} "
        f"({requests.retried:,} retried, {requests.throttled:,} throttled), "
        f"{job.contacts_per_second:,.1f} contacts/s"
    )
    return Group(*lines)


def headline(job: Job) -> Text:
    """Return a line that names the job and its state."""
    label = f" ({job.label})" if job.label else ""
    text = Text(f"job {job.id}{label} on portal {job.portal}: ")
    return text.append(job.state, style=_STATES.get(job.state, ""))


def standing(job: Job, go_on: str | None = None) -> str:
    """Return why the job waits or stopped and what to do; empty while it moves.

    Args:
        job: the job.
        go_on: how to continue it when it is paused; by default the command `resume`.
    """
    if not job.state_reason:
        return ""
    advice = advice_with_error(job.state_reason, job.id, job.last_error, go_on)
    if go_on is not None and job.state_reason == StateReason.PUSH_BACK:
        # A job that is not paused is not resumed by starting the command that is already running.
        trouble = f" (last error: {job.last_error})" if job.last_error else ""
        advice = f"{StateReason.PUSH_BACK.meaning}{trouble}"
    elif go_on is not None and job.state_reason == StateReason.NO_WORKER:
        advice = "the worker of this command is about to start"
    until = f" until {clock(job.waits_until)}" if job.waits_until else ""
    return f"{job.state_reason}{until}: {advice}"


def standstill(job: Job, word: str) -> str:
    """Return one line of plain text about how far a stationary job is, without a pace, which would be outdated.

    Args:
        job: the job.
        word: its state, or what keeps it from moving.
    """
    parts = [f"{job.id}: {word}", f"{job.total - job.counts[Outcome.PENDING]:,} of {job.total:,}"]
    return ", ".join(parts + [f"{outcome} {job.counts[outcome]:,}" for outcome in decided(job)])


def read_so_far(planning: Planning) -> str:
    """Return how many contacts a survey has read, and of how many if that is known."""
    of_them = f" of about {planning.contacts_expected:,}" if planning.contacts_expected else ""
    return f"{planning.contacts_read:,}{of_them} contacts read"


def line(job: Job) -> str:
    """Return one line of plain text about how far a job is."""
    if job.state is State.PLANNING:
        return f"{job.id}: planning, {read_so_far(job.planning) if job.planning else 'not begun yet'}"
    if job.bundle and job.bundle.state is BundleState.MAKING and job.planning and not job.ended:
        return f"{job.id}: {job.state}, keeping records, {read_so_far(job.planning)}"
    parts = [standstill(job, job.state)]
    if job.contacts_per_second and not job.ended:
        parts.append(f"{job.contacts_per_second:,.0f}/s")
    if left := time_left(job):
        parts.append(left)
    return ", ".join(parts)


def time_left(job: Job) -> str:
    """Return in words how long a job will still take, at least a second; empty if that is not known."""
    return "" if job.eta_s is None else f"{duration(max(job.eta_s, 1))} left"


def decided(job: Job) -> list[Outcome]:
    """Return the final outcomes that a job has so far."""
    return [outcome for outcome, count in job.counts.items() if count and outcome is not Outcome.PENDING]


def duration(seconds: float) -> str:
    """Format a time span for people: 7s, 3m 20s, 5h 10m, 2d 4h."""
    whole = round(seconds)
    for unit, size, smaller, fraction in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // fraction}{smaller}"
    return f"{whole}s"


def _duplicates(job: Job) -> str:
    return f"{plural(job.duplicates, 'duplicate')} left out" if job.duplicates else ""
