"""Job IDs: what can be one."""

import re

from jobs.words.errors import BadSubmission

#: Room for everything that people use as IDs (ULID, UUID, ticket numbers) and nothing that could break a key or a URL.
JOB_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_JOB_ID = re.compile(JOB_ID_PATTERN)


def check_job_id(job_id: str) -> str:
    """Give the ID back if it can be one.

    Raises:
        BadSubmission: it cannot.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise BadSubmission(
            f"job ID {job_id[:80]!r}: expected 1 to 64 letters, digits, dots, dashes or underscores, "
            "beginning with a letter or digit"
        )
    return job_id


def is_possible(job_id: str) -> bool:
    """Whether there can be such a job: what has a colon names a part of one, and Redis knows no broken text."""
    return ":" not in job_id and job_id.isprintable()
