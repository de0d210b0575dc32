"""Exit codes."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process reports to its caller."""

    DONE = 0
    """Success."""
    JOB_ENDED_BADLY = 1
    """The job failed, was cancelled, or stopped because too many contacts failed; or the result of a command could not
    be written to standard output or to its file, in which case the message reports what was done."""
    BAD_INPUT = 2
    """Bad usage, bad input or a bad configuration; nothing was changed."""
    SOME_FAILED = 3
    """The job is completed, but some contact IDs have the outcome `failed`; or a receipt agrees, but its key was not
    compared with one that is known."""
    NOT_FOUND = 4
    """No such job, portal, schedule or webhook."""
    UNREACHABLE = 5
    """Redis or the portal cannot be reached, or refuses: credentials, a missing right, full memory or a full disk."""
    INTERRUPTED = 130
    """Ctrl-C or SIGTERM."""
