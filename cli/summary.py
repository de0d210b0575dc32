"""A job in words and numbers for people: its table of outcomes, and one line about its progress."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.output import plural
from jobs.bundles.facts import BundleState
from jobs.plan.summary import Planning
from jobs.store.times import clock
from jobs.view.job import Job
from jobs.words.outcomes import Outcome
from jobs.words.reasons import NEEDS_A_PERSON, StateReason, advice_on
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
    if kept := kept_in_words(job):
        lines.append(kept)
    return Group(*lines)


def kept_in_words(job: Job) -> str:
    """Return what is kept of a job's contacts; empty if nothing is."""
    bundle = job.bundle
    if bundle is None or bundle.state is not BundleState.KEPT:
        return ""
    until = f" until {clock(bundle.expires_at)}" if bundle.expires_at else ""
    return f"{plural(bundle.contacts, 'record')} kept{until}; `crm-sweep restore {job.id} --identity KEYFILE` restores"


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
    if job.state_reason in NEEDS_A_PERSON and job.last_error:
        # It says what is wrong and what to do, better than general advice can.
        return f"{job.state_reason}: {job.last_error}; then {go_on or f'`crm-sweep resume {job.id}`'}"
    # A job that is not paused is not resumed by starting the command that is already running.
    calm = go_on is not None and job.state_reason == StateReason.PUSH_BACK
    advice = StateReason.PUSH_BACK.meaning if calm else advice_on(job.state_reason, job.id, go_on)
    trouble = f" (last error: {job.last_error})" if job.last_error and job.state_reason not in _CALM else ""
    until = f" until {clock(job.waits_until)}" if job.waits_until else ""
    return f"{job.state_reason}{until}: {advice}{trouble}"


#: Reasons that are not a problem: the last error is about something that is over.
_CALM = {
    StateReason.OPERATOR,
    StateReason.APPROVAL,
    StateReason.STARTING,
    StateReason.RATE_LIMIT,
    StateReason.FAIR_SHARE,
    StateReason.NO_WORKER,
}


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
