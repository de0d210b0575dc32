"""Writing the ledger of a job: to standard output, or to a file that appears complete or not at all."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from redis.asyncio import Redis

from cli.errors import UsageError
from cli.output import OutputLost, out
from jobs.ledger.export import Format, read_text
from jobs.plan.export import read_departures
from jobs.words.outcomes import Outcome


async def write_report(
    redis: Redis,
    job_id: str,
    target: Path | None,
    form: Format,
    outcome: Outcome | None = None,
    *,
    against_plan: bool = False,
) -> int:
    """Write a job's ledger, in ascending order of contact ID.

    Args:
        redis: the connection.
        job_id: the job's ID.
        target: the file; None for standard output.
        form: the format.
        outcome: only the contact IDs with this outcome; None for all.
        against_plan: only those that ended otherwise than the job's plan predicted, with the verdict of each.

    Returns:
        How many lines were written, not counting the header.

    Raises:
        UnknownJob: no such job; nothing was written.
        NoPlan: it has no plan to compare with; nothing was written.
        OutputLost: the file, or standard output, cannot be written.
        ReaderGone: the reader of standard output is gone.
    """
    texts = read_departures(redis, job_id, form) if against_plan else read_text(redis, job_id, form, outcome)
    count = 0
    with written(target) if target else contextlib.nullcontext(out) as write:
        async for text, lines in texts:
            write(text)
            count += lines
    return count


def check_target(target: Path) -> None:
    """Check early that a file can be written, rather than after hours of work.

    Raises:
        UsageError: it cannot.
    """
    if target.is_dir():
        raise UsageError(f"{target} is a directory; name a file")
    if not target.parent.is_dir():
        raise UsageError(f"{target} cannot be written: there is no directory {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{target} cannot be written: no permission to write to {target.parent}")


@contextlib.contextmanager
def written(target: Path) -> Iterator[Callable[[str], None]]:
    """Yield a function that writes to a file, which appears once all is written; pipes and devices get it directly.

    Raises:
        OutputLost: the file cannot be written.
    """
    special = target.exists() and not target.is_file()
    place = target if special else target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with _lost(target):
        file = place.open("w", encoding="utf-8")

    def write(text: str) -> None:
        with _lost(target):
            file.write(text)

    try:
        yield write
        with _lost(target):
            file.flush()
            if not special:
                os.fsync(file.fileno())
                place.replace(target)
    finally:
        with contextlib.suppress(OSError):  # already reported where it matters
            file.close()
        if not special:
            place.unlink(missing_ok=True)


@contextlib.contextmanager
def _lost(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputLost(f"{target} cannot be written: {error.strerror or error}") from None
