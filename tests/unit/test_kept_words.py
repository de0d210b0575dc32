"""What people are told about the records of a job's contacts: that they are kept, and how to restore the contacts."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from cli.kept import kept_in_words, restore_command
from jobs.view.job import Job
from jobs.words.outcomes import Outcome
from jobs.words.states import State
from tests.support.samples import a_job

COMMAND = "`crm-sweep restore JOB-1 --identity KEYFILE`"
AT = "2026-12-26T12:00:00.000Z"


def keeping(how: str, *, deleted: int = 0, presumed: int = 0, **facts: Any) -> Job:
    bundle = {
        "state": how, "id": "B", "contacts": 5, "bytes": 900, "objects": 1, "made_at": AT, "expires_at": None,
        "destroyed_at": AT if how == "destroyed" else None,
    }  # fmt: skip
    counts = dict.fromkeys(Outcome, 0) | {Outcome.DELETED: deleted, Outcome.PRESUMED_DELETED: presumed}
    return a_job(bundle=bundle, counts=counts, **facts)


ENDED: dict[str, Any] = {"state": State.COMPLETED}


def test_a_job_without_undo_says_nothing() -> None:
    assert kept_in_words(a_job()) == ""


@pytest.mark.parametrize("state", ["waiting", "making"])
def test_a_job_whose_records_are_to_be_kept_says_that_undo_is_on(state: str) -> None:
    assert kept_in_words(keeping(state)).startswith("undo is on: ")
    assert kept_in_words(keeping(state, state=State.CANCELLED)) == ""


def test_what_was_deleted_can_be_restored_once_nothing_more_is() -> None:
    ended = keeping("kept", deleted=3, presumed=1, **ENDED)
    assert kept_in_words(ended) == f"5 records kept; {COMMAND} restores them"
    assert kept_in_words(keeping("kept", deleted=3, state=State.PAUSED)).endswith(f"kept; {COMMAND} restores them")
    running = kept_in_words(keeping("kept", deleted=3, state=State.RUNNING))
    assert running == f"5 records kept; once the job has ended or is paused, {COMMAND} restores them"


def test_what_was_not_deleted_is_not_offered() -> None:
    assert kept_in_words(keeping("kept", state=State.RUNNING)) == "5 records kept"
    assert (
        kept_in_words(keeping("kept", **ENDED)) == "5 records kept; nothing was deleted, so there is nothing to restore"
    )


def test_what_was_restored_is_not_offered_again() -> None:
    ended = keeping("kept", deleted=3, presumed=1, **ENDED)
    assert kept_in_words(ended, 4) == "5 records kept; every deleted contact is restored"
    assert kept_in_words(ended, 1) == (f"5 records kept; restored so far: 1 of 4; {COMMAND} restores the others")


def test_what_was_destroyed_cannot_be_restored_and_that_is_said() -> None:
    told = kept_in_words(keeping("destroyed", deleted=4, **ENDED))
    assert told == "what was kept was destroyed at 2026-12-26 12:00:00 UTC, so that nobody can restore the contacts"
    some = kept_in_words(keeping("destroyed", deleted=4, **ENDED), 3)
    assert some == f"{told}; before that, 3 of 4 were restored"
    all_of_them = kept_in_words(keeping("destroyed", deleted=4, **ENDED), 4)
    assert (
        all_of_them
        == "what was kept was destroyed at 2026-12-26 12:00:00 UTC; before that, every deleted contact was restored"
    )
    assert kept_in_words(keeping("destroyed", **ENDED)).endswith("; nothing was deleted")


def test_the_command_names_the_directory_that_it_needs_as_a_shell_reads_it() -> None:
    words = shlex.split(restore_command("run-1", Path("my state")))
    assert words == ["crm-sweep", "restore", "run-1", "--identity", "KEYFILE", "--state-dir", "my state"]
