"""Jobs of `crm-sweep run`, which are in the Redis of a state directory and nowhere else."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from redis.exceptions import RedisError

from config.errors import CrmSweepError
from jobs.store.trouble import trouble_of
from jobs.words.errors import UnknownJob

#: Where `run` keeps its ledger unless it is told otherwise.
USUAL = Path(".crm-sweep")
#: How the IDs of its jobs begin.
_PREFIX = "run-"


class NotThere(CrmSweepError, LookupError):
    """The Redis that was asked does not know the job, but another one may; the message says which."""


class RedisElsewhere(CrmSweepError):
    """The Redis of the configuration cannot be used, and the job is in another one; the message says which."""


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
def looking_in(job_id: str, state_dir: Path | None) -> Iterator[None]:
    """Say where a job may be, if it is not where it is looked for.

    Args:
        job_id: the job; empty if it is none in particular.
        state_dir: where it is looked for; None for the Redis of the configuration.

    Raises:
        NotThere: there is no such job, but another place where it may be.
        RedisElsewhere: there is no Redis, and the job needs none.
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
        if is_of_run(job_id):
            raise NotThere(f"{error} in Redis; {_NAME_IT}") from None
        raise
    except RedisError as error:
        if state_dir is None and is_of_run(job_id):
            raise RedisElsewhere(f"{trouble_of(error)}; {_NAME_IT}") from None
        raise


_NAME_IT = f"`crm-sweep run` keeps its jobs in a directory: name it with --state-dir, such as --state-dir {USUAL}"
