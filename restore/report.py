"""The report of a restore: one line per contact that is meant, in ascending order of its old ID."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from restore.entry import Entry, Stage
from restore.lost import NONE, Lost

HEADER = "old_id,new_id,outcome,reason,lost\n"


class Outcome(StrEnum):
    """What became of a contact that was to be restored."""

    CREATED = "created"
    """It is there again, under a new ID."""
    STILL_THERE = "still_there"
    """It exists under its old ID; nothing was done."""
    FAILED = "failed"
    """The portal refused to create it or did not manage to, or it has vanished since; tried again by the next run."""
    NO_RECORD = "no_record"
    """The bundle holds no record of it."""
    PENDING = "pending"
    """Its turn has not come; the next run carries on."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report.

    Attributes:
        reason: a stable word; `possible_twin:ID` names a second contact that may be the same.
        lost: what the contact lacks, or while it is pending, will lack.
    """

    old_id: int
    new_id: int | None
    outcome: Outcome
    reason: str = ""
    lost: Lost = NONE

    def csv(self) -> str:
        """Return the line as CSV, with its line end. No value ever needs quotes."""
        return f"{self.old_id},{self.new_id or ''},{self.outcome},{self.reason},{';'.join(self.lost.words)}\n"


def row_of(
    old_id: int, entry: Entry, *, has_record: bool, is_there: bool, twin: int | None = None, expected: Lost = NONE
) -> Row:
    """Return the line of one contact.

    Args:
        old_id: its contact ID before it was deleted.
        entry: what the ledger says of it.
        has_record: whether the bundle holds its record.
        is_there: whether it exists under its old ID.
        twin: a second contact that may be the same.
        expected: what it will lack if it is yet to be restored.
    """
    reason = f"possible_twin:{twin}" if twin else entry.reason.word
    match entry.stage:
        case Stage.COMPLETE:
            return Row(old_id, entry.new_id, Outcome.CREATED, reason, entry.lost)
        case Stage.MADE:
            return Row(old_id, entry.new_id, Outcome.CREATED, "unfinished", expected)
        case Stage.VANISHED:
            return Row(old_id, entry.new_id, Outcome.FAILED, "vanished", entry.lost)
        case Stage.FAILED:
            return Row(old_id, None, Outcome.FAILED, reason)
        case Stage.INTENT:
            return Row(old_id, None, Outcome.PENDING, "answer_lost", expected)
    if is_there:
        return Row(old_id, None, Outcome.STILL_THERE)
    return Row(old_id, None, Outcome.PENDING, "", expected) if has_record else Row(old_id, None, Outcome.NO_RECORD)


def counts(rows: Iterable[Row]) -> dict[Outcome, int]:
    """Count the lines by outcome."""
    found = dict.fromkeys(Outcome, 0)
    for row in rows:
        found[row.outcome] += 1
    return found
