"""Jobs of `crm-sweep run`, which are in the Redis of a state directory and nowhere else."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from config.errors import CrmSweepError
from jobs.words.errors import UnknownJob

#: Where `run` keeps its ledger unless it is told otherwise.
USUAL = Path(".crm-sweep")
#: How the IDs of its jobs begin.
_PREFIX = "run-"


class NotThere(CrmSweepError, LookupError):
    """The Redis that was asked does not know the job, but another one may; the message says which."""


def run_id(digest: str) -> str:
    """Return the ID of a job of `run`.

    Args:
        digest: of what it deletes and where, in hexadecimal.
    """
    return f"{_PREFIX}{digest[:16]}"


def is_of_run(job_id: str) -> bool:
    """Check whether an ID looks like that of a job of `run`."""
    return job_id.startswith(_PREFIX)


@contextlib.contextmanager
def looking_in(state_dir: Path | None) -> Iterator[None]:
    """Say where a job may be, if it is not where it is looked for.

    Args:
        state_dir: where it is looked for; None for the Redis of the configuration.

    Raises:
        NotThere: there is no such job, but another place where it may be.
        UnknownJob: there is no such job.
    """
    try:
        yield
    except UnknownJob as error:
        if state_dir:
            raise NotThere(
                f"{error} in {state_dir}; name the directory that its `crm-sweep run` was given, or leave out "
                "--state-dir for a job that was submitted"
            ) from None
        if is_of_run(error.job_id):
            raise NotThere(
                f"{error} in Redis; `crm-sweep run` keeps its jobs in a directory: name it with --state-dir, such as "
                f"--state-dir {USUAL}"
            ) from None
        raise
