"""Which texts can be job IDs."""

import re

from jobs.words.errors import BadSubmission

#: Allows everything that people use as IDs (ULID, UUID, ticket numbers) and nothing that could break a key or a URL.
JOB_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_JOB_ID = re.compile(JOB_ID_PATTERN)


def check_job_id(job_id: str) -> str:
    """Return the ID unchanged if it can be a job's.

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
    """Check whether such a job can exist: a colon would name a part of one, and broken text cannot be sent to Redis."""
    return ":" not in job_id and job_id.isprintable()
