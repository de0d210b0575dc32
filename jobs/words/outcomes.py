"""What became of one contact ID: the outcomes, their reasons, and the byte for each in the ledger."""

from enum import IntEnum, StrEnum


class Outcome(StrEnum):
    """What became of one contact ID."""

    PENDING = "pending"
    """Not decided yet."""
    DELETED = "deleted"
    """The portal listed it in its answer to our PUT."""
    PRESUMED_DELETED = "presumed_deleted"
    """Gone now, and it was in an attempt whose effect we never learned."""
    NOT_FOUND = "not_found"
    """The portal shows no such contact to our account, and no doubtful attempt of ours contained it."""
    REFUSED = "refused"
    """Visible, and the portal will not delete it."""
    FAILED = "failed"
    """Given up; the contact may still be there."""
    PROTECTED = "protected"
    """On the protected list, or with a protected tag; never sent."""
    SKIPPED = "skipped"
    """Left alone: the job was cancelled before this ID was sent, or its plan does not allow for it any more."""


class Code(IntEnum):
    """One byte of the ledger: an outcome together with its reason. Stored in ledgers, so numbers are never reused."""

    PENDING = 0
    DELETED = 1
    PRESUMED_DELETED = 2
    NOT_FOUND = 3
    READ_ONLY = 4
    HAS_INVOICE = 5
    PROTECTED = 6
    SKIPPED = 7
    PROTECTED_TAG = 8
    NO_LONGER_SELECTED = 9
    NOT_PLANNED = 10
    NO_RECORD = 11
    REJECTED = 16
    PORTAL_ERROR = 17
    TIMEOUT = 18
    CONNECTION_LOST = 19
    ANSWER_GARBLED = 20
    NOT_DELETED = 21

    @property
    def outcome(self) -> Outcome:
        """The outcome that this byte encodes."""
        return _MEANING[self][0]

    @property
    def reason(self) -> str | None:
        """The reason that this byte encodes; None where the outcome needs none."""
        return _MEANING[self][1]


_MEANING: dict[Code, tuple[Outcome, str | None]] = {
    Code.PENDING: (Outcome.PENDING, None),
    Code.DELETED: (Outcome.DELETED, None),
    Code.PRESUMED_DELETED: (Outcome.PRESUMED_DELETED, "answer_lost"),
    Code.NOT_FOUND: (Outcome.NOT_FOUND, "absent"),
    Code.READ_ONLY: (Outcome.REFUSED, "read_only"),
    Code.HAS_INVOICE: (Outcome.REFUSED, "has_invoice"),
    Code.PROTECTED: (Outcome.PROTECTED, "protected_list"),
    Code.SKIPPED: (Outcome.SKIPPED, "cancelled"),
    Code.PROTECTED_TAG: (Outcome.PROTECTED, "protected_tag"),
    Code.NO_LONGER_SELECTED: (Outcome.SKIPPED, "no_longer_selected"),
    Code.NOT_PLANNED: (Outcome.SKIPPED, "not_planned"),
    Code.NO_RECORD: (Outcome.SKIPPED, "no_record"),
    Code.REJECTED: (Outcome.FAILED, "rejected"),
    Code.PORTAL_ERROR: (Outcome.FAILED, "portal_error"),
    Code.TIMEOUT: (Outcome.FAILED, "timeout"),
    Code.CONNECTION_LOST: (Outcome.FAILED, "connection_lost"),
    Code.ANSWER_GARBLED: (Outcome.FAILED, "answer_garbled"),
    Code.NOT_DELETED: (Outcome.FAILED, "not_deleted"),
}

_FAILED_BY_REASON = {reason: code for code, (outcome, reason) in _MEANING.items() if outcome is Outcome.FAILED}


def failed_code(reason: str) -> Code:
    """Return the byte for a contact ID that is given up.

    Args:
        reason: the last failure's stable word, such as `timeout`; an unknown one counts as `portal_error`.
    """
    return _FAILED_BY_REASON.get(reason, Code.PORTAL_ERROR)
