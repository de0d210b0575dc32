"""The errors of commands, and the one table that turns an error into a line on standard error and an exit code."""

import asyncio
from collections.abc import Collection

from redis.exceptions import RedisError
from typer import Abort, TyperException

from cli.embedded import EmbeddedServerError
from cli.exit_codes import ExitCode
from cli.output import OutputLost
from cli.state_dir import NotThere, RedisElsewhere
from config.errors import CrmSweepError, UnknownName
from jobs.bundles.errors import BadIdentity, BundleDamaged, NoBundle, StoreTrouble
from jobs.intake.tally import IntakeError, WayOut
from jobs.receipts.errors import Mismatch, NoReceiptKey, NotEnded, UnknownContact
from jobs.store.trouble import trouble_of
from jobs.view.job import Job
from jobs.words.errors import JobExists, NoUndo, PlanRequired, UndoRequired, UnknownJob
from jobs.words.outcomes import Outcome
from jobs.words.reasons import PORTAL_FAULTS
from jobs.words.states import State


class UsageError(CrmSweepError):
    """The command cannot be carried out as given; the message says what to do instead."""


class Interrupted(CrmSweepError):
    """The user stopped the work; the message says how far it is and how to continue."""


class PortalFailed(CrmSweepError):
    """The portal could not be read to the end; the message says why and what to do."""


class ReceiverFailed(CrmSweepError):
    """The receiver of a webhook did not take a test event; the message says why and what to do."""


class WorkStopped(CrmSweepError):
    """The command ended before its work was done; the message says why and how to continue."""


class JobStopped(CrmSweepError):
    """The job waits for a person; the message says why and how to continue.

    Args:
        message: for the user.
        job: its current view.
    """

    def __init__(self, message: str, job: Job) -> None:
        self.job = job
        self.exit_code = ExitCode.UNREACHABLE if job.state_reason in PORTAL_FAULTS else ExitCode.JOB_ENDED_BADLY
        super().__init__(message)


def exit_code_of(job: Job) -> ExitCode:
    """Return the exit code for a job that has ended."""
    if job.state is not State.COMPLETED:
        return ExitCode.JOB_ENDED_BADLY
    return ExitCode.SOME_FAILED if job.counts[Outcome.FAILED] else ExitCode.DONE


def explain(error: BaseException) -> tuple[str, ExitCode] | None:
    """Turn an error into a line for standard error and an exit code; None for a bug, which should be reported.

    Errors in the list or the configuration can take several lines, one per problem.
    """
    if isinstance(error, JobStopped):
        return str(error), error.exit_code
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return _in_words(error), code
    return None


#: The first matching row wins.
_CODES: tuple[tuple[tuple[type[BaseException], ...], ExitCode], ...] = (
    ((KeyboardInterrupt, asyncio.CancelledError, Abort, Interrupted), ExitCode.INTERRUPTED),
    ((UnknownJob, NotThere, UnknownName, UnknownContact, NoBundle), ExitCode.NOT_FOUND),
    ((OutputLost, NotEnded, Mismatch, WorkStopped), ExitCode.JOB_ENDED_BADLY),
    (
        (EmbeddedServerError, PortalFailed, ReceiverFailed, RedisError, RedisElsewhere, StoreTrouble),
        ExitCode.UNREACHABLE,
    ),
    ((CrmSweepError, TyperException), ExitCode.BAD_INPUT),
    ((OSError,), ExitCode.BAD_INPUT),
)


#: What to do about a list that was refused.
_WAYS_OUT = {
    None: "correct the list",
    WayOut.COLUMN: "name the column or key of the contact ID with --column",
    WayOut.HEADER: "add a header line that names the column of the contact ID, such as id",
    WayOut.MULTILINE: "correct the quotation marks, or use --multiline if fields span several lines",
    WayOut.SKIP_INVALID: "correct the list, or use --skip-invalid to leave such values out",
}
_ALL = frozenset(WayOut)


#: What to do about errors that say only what is wrong.
_TO_DO: tuple[tuple[type[BaseException], str], ...] = (
    (UnknownJob, "`crm-sweep list` shows the existing jobs"),
    (UnknownName, "`crm-sweep check` checks the configuration"),
    (JobExists, "choose another --id, or leave it out"),
    (PlanRequired, "`crm-sweep plan` makes one, and so does `crm-sweep run --plan`"),
    (UndoRequired, "leave out --no-undo"),
    (NoUndo, "docs/undo.md tells how to switch it on"),
    (NotEnded, "`crm-sweep watch` waits for that"),
    (BadIdentity, "--identity takes the private key of one of the undo_recipients that its portal had at that time"),
    (BundleDamaged, "bring it back from a copy or an earlier version of the undo store"),
    (NoReceiptKey, "`crm-sweep keys new receipt -o FILE` makes a key for it"),
)


def refused_list(
    error: IntakeError, undone: str = "nothing was queued", can: Collection[WayOut] = tuple(WayOut)
) -> str:
    """Return what is wrong with a list, and what to do about it.

    Args:
        error: the trouble.
        undone: what was not done because of it.
        can: the ways out that the command has an option for.
    """
    if not error.bad_lines and not error.way_out:
        return f"{error}; {undone}"
    return f"{error}\n{undone}; {_WAYS_OUT[error.way_out if error.way_out in can else None]}"


def _in_words(error: BaseException) -> str:
    for kind, to_do in _TO_DO:
        if isinstance(error, kind):
            return f"{error}; {to_do}"
    match error:
        case IntakeError():
            return refused_list(error)
        case TyperException():
            told = error.format_message().replace(": Value error, ", ": ").rstrip(".")
            return f"{told or 'a command is needed'} (see --help)"
        case RedisError():
            return str(trouble_of(error))
        case OSError():
            return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
    return str(error) or "interrupted"
