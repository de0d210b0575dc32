"""What is kept of a job's contacts, and how to restore them, in words for people."""

import shlex
from pathlib import Path

from cli.output import plural
from jobs.bundles.facts import BundleState, BundleView
from jobs.store.times import clock
from jobs.view.job import Job
from jobs.words.outcomes import Outcome
from jobs.words.states import State

#: For a job whose records are not kept yet, or not all of them.
_TO_COME = {
    BundleState.WAITING: "undo is on: the record of each contact is kept before any of them is deleted",
    BundleState.MAKING: "undo is on: the records are being kept, and nothing is deleted before that is done",
}


def kept_in_words(job: Job, restored: int = 0, state_dir: Path | None = None) -> str:
    """Return what is kept of a job's contacts, and how to restore them; empty if nothing is.

    Args:
        job: the job.
        restored: how many of its contacts have been restored.
        state_dir: the directory of the `crm-sweep run` that made it.
    """
    bundle = job.bundle
    if bundle is None:
        return ""
    if bundle.state is BundleState.DESTROYED:
        return _destroyed(job, bundle, restored)
    if bundle.state is not BundleState.KEPT:
        return "" if job.ended else _TO_COME[bundle.state]
    until = f" until {clock(bundle.expires_at)}" if bundle.expires_at else ""
    to_do = to_restore(job, restored, state_dir)
    return f"{plural(bundle.contacts, 'record')} kept{until}" + (f"; {to_do}" if to_do else "")


def to_restore(job: Job, restored: int = 0, state_dir: Path | None = None) -> str:
    """Return how to restore the contacts of a job whose records are kept, or why there is nothing to restore.

    It is empty while the job has not deleted anything yet. The arguments are those of `kept_in_words`.
    """
    deleted = deleted_by(job)
    if not deleted:
        return "nothing was deleted, so there is nothing to restore" if job.ended else ""
    if restored >= deleted:
        return "every deleted contact is restored"
    done = f"restored so far: {restored:,} of {deleted:,}; " if restored else ""
    when = "" if job.ended or job.state is State.PAUSED else "once the job has ended or is paused, "
    return f"{done}{when}`{restore_command(job.id, state_dir)}` restores {'the others' if restored else 'them'}"


def deleted_by(job: Job) -> int:
    """Return how many contacts a job has deleted so far, certainly or very likely."""
    return job.counts[Outcome.DELETED] + job.counts[Outcome.PRESUMED_DELETED]


def restore_command(job_id: str, state_dir: Path | None = None) -> str:
    """Return the command that restores the contacts of a job, with a placeholder for the private key."""
    where = f" --state-dir {shlex.quote(str(state_dir))}" if state_dir else ""
    return f"crm-sweep restore {job_id} --identity KEYFILE{where}"


def _destroyed(job: Job, bundle: BundleView, restored: int) -> str:
    when = f" at {clock(bundle.destroyed_at)}" if bundle.destroyed_at else ""
    deleted = deleted_by(job)
    if not deleted:
        return f"what was kept was destroyed{when}; nothing was deleted"
    if restored >= deleted:
        return f"what was kept was destroyed{when}; before that, every deleted contact was restored"
    before = f"; before that, {restored:,} of {deleted:,} were restored" if restored else ""
    return f"what was kept was destroyed{when}, so that nobody can restore the contacts{before}"
