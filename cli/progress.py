"""Showing the progress of a job: a live view on a terminal, a plain line now and then elsewhere."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from redis.asyncio import Redis
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.output import note, notes
from cli.summary import decided, headline, line, read_so_far, standing, time_left
from jobs.store.connection import AWAY
from jobs.store.trouble import trouble_of
from jobs.view.job import Job, read_job
from jobs.words.outcomes import Outcome
from jobs.words.reasons import StateReason, is_moving
from jobs.words.states import State

#: How often the job is read, and how often at most a plain line is written, seconds.
POLL_S = 0.25
LINE_EVERY_S = 3.0

#: How long Redis may be away while a job is watched, seconds.
PATIENCE_S = 60.0

Show = Callable[[Job], None]


async def follow(
    redis: Redis, job_id: str, show: Show, *, until: Callable[[Job], bool], patience_s: float | None = PATIENCE_S
) -> Job:
    """Show a job repeatedly until a condition holds.

    Args:
        redis: the connection.
        job_id: the job's ID.
        show: called with the job each time it is read.
        until: the condition.
        patience_s: how long Redis may be away; None if the caller looks after Redis and reports on it.

    Raises:
        UnknownJob: no such job.
        redis.exceptions.RedisError: Redis stayed away for longer than that.
    """
    away_since: float | None = None
    while True:
        try:
            job = await read_job(redis, job_id)
        except AWAY as error:
            if patience_s is None:
                await asyncio.sleep(POLL_S)
                continue
            if away_since is None:
                away_since = time.monotonic()
                note(f"{trouble_of(error).what}; trying again for {patience_s:.0f} s")
            if time.monotonic() - away_since > patience_s:
                raise
        else:
            away_since = None
            show(job)
            if until(job):
                return job
        await asyncio.sleep(POLL_S)


@contextlib.contextmanager
def display(go_on: str | None = None) -> Iterator[Show]:
    """Yield a function that shows a job on standard error, in the way that suits it.

    Args:
        go_on: how to continue the job when it is paused; by default the command `resume`.
    """
    console = notes()
    if not console.is_terminal:
        yield _PlainLines(go_on).show
        return
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield lambda job: live.update(_panel(job, console, go_on))


class _PlainLines:
    """Writes a line when the state changes, and every few seconds."""

    def __init__(self, go_on: str | None) -> None:
        self._go_on = go_on
        self._shown: tuple[object, ...] = ()
        self._standing = ""
        self._at_s = float("-inf")

    def show(self, job: Job) -> None:
        """Write a line if it is time for one."""
        facts = (job.state, job.counts, job.planning)
        now_s = time.monotonic()
        if self._shown and facts[0] == self._shown[0] and now_s - self._at_s < LINE_EVERY_S:
            return
        waits = standing(job, self._go_on)
        if facts == self._shown and waits == self._standing:
            return
        self._shown, self._at_s = facts, now_s
        note(line(job))
        if waits and waits != self._standing and job.state_reason not in _PASSING:
            note(f"  {waits}")
        self._standing = waits


#: Reasons that last only a moment and are not worth a line of their own.
_PASSING = {reason for reason in StateReason if is_moving(reason)} | {StateReason.STARTING}


def _panel(job: Job, console: Console, go_on: str | None) -> RenderableType:
    if job.state is State.PLANNING:
        return _planning_panel(job, console)
    done = job.total - job.counts[Outcome.PENDING]
    facts = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=max(job.total, 1), completed=done, width=min(40, console.width // 2))
    facts.add_row(bar, f"{done:,} of {job.total:,}", f"{job.contacts_per_second:,.0f}/s", time_left(job))
    # Text wraps on a narrow terminal, whereas a table would cut off the names of the outcomes.
    counts = Text(
        "  ".join(f"{outcome} {job.counts[outcome]:,}".replace(" ", "\N{NO-BREAK SPACE}") for outcome in decided(job))
    )
    waits = standing(job, go_on)
    return Group(headline(job), facts, counts, Text(waits, style="yellow" if waits else ""))


def _planning_panel(job: Job, console: Console) -> RenderableType:
    planning = job.planning
    read, expected = (planning.contacts_read, planning.contacts_expected) if planning else (0, None)
    bar = ProgressBar(total=expected, completed=min(read, expected or read), width=min(40, console.width // 2))
    facts = Table.grid(padding=(0, 2))
    facts.add_row(bar, read_so_far(planning) if planning else "not begun yet")
    waits = standing(job)
    return Group(headline(job), facts, Text(waits, style="yellow" if waits else ""))
