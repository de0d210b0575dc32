"""Writing the ledger of a job: to standard output, or to a file that appears as a whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from redis.asyncio import Redis

from cli.errors import UsageError
from cli.output import out
from jobs.outcomes import Outcome
from jobs.results_text import Format, read_text


async def write_report(redis: Redis, job_id: str, target: Path | None, form: Format, outcome: Outcome | None) -> int:
    """Write a job's ledger, in ascending order of contact ID.

    Args:
        redis: the connection.
        job_id: the job's ID.
        target: the file; None is standard output.
        form: how.
        outcome: only the contact IDs with this outcome; None for all.

    Returns:
        How many lines were written, the header not counted.

    Raises:
        UnknownJob: no such job; nothing was written.
        UsageError: the file cannot be written.
    """
    count = 0
    with _written(target) if target else contextlib.nullcontext() as file:
        write = file.write if file else out
        async for text, lines in read_text(redis, job_id, form, outcome):
            write(text)
            count += lines
    return count


def check_target(target: Path) -> None:
    """See early whether a file can be written, not after hours of work.

    Raises:
        UsageError: it cannot.
    """
    if target.is_dir():
        raise UsageError(f"{target} is a directory; name a file")
    if not target.parent.is_dir():
        raise UsageError(f"{target} cannot be written: there is no directory {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{target} cannot be written: no permission for {target.parent}")


@contextlib.contextmanager
def _written(target: Path) -> Iterator[TextIO]:
    if target.exists() and not target.is_file():  # a pipe or /dev/null: nothing to replace
        with target.open("w") as file:
            yield file
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
