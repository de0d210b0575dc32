"""What a plan predicts for one contact ID: the verdicts, and the byte for each."""

from enum import IntEnum, StrEnum

from jobs.words.outcomes import Code


class Verdict(StrEnum):
    """What a plan predicts for one contact ID."""

    DELETABLE = "deletable"
    """The account sees it and may delete it. Only these are sent."""
    READ_ONLY = "read_only"
    """The account sees it, and has no right to change it."""
    HAS_INVOICE = "has_invoice"
    """It is on an invoice, so the portal will not delete it."""
    ABSENT = "absent"
    """The portal shows no such contact to the account."""
    PROTECTED = "protected"
    """On the protected list, or with a protected tag."""


class VerdictCode(IntEnum):
    """One byte of a stored plan. Plans are stored and covered by digests, so numbers are never reused."""

    UNKNOWN = 0
    """The survey has not come to it yet; a plan that stands has none of these."""
    DELETABLE = 1
    READ_ONLY = 2
    HAS_INVOICE = 3
    ABSENT = 4
    PROTECTED_LIST = 5
    PROTECTED_TAG = 6

    @property
    def verdict(self) -> Verdict:
        """The verdict that this byte encodes.

        Raises:
            KeyError: it is `UNKNOWN`, which is no verdict.
        """
        return _VERDICTS[self]

    @property
    def predicted(self) -> frozenset[Code]:
        """The ledger's codes that are as predicted.

        Raises:
            KeyError: it is `UNKNOWN`, which predicts nothing.
        """
        return _PREDICTED[self]


_VERDICTS = {
    VerdictCode.DELETABLE: Verdict.DELETABLE,
    VerdictCode.READ_ONLY: Verdict.READ_ONLY,
    VerdictCode.HAS_INVOICE: Verdict.HAS_INVOICE,
    VerdictCode.ABSENT: Verdict.ABSENT,
    VerdictCode.PROTECTED_LIST: Verdict.PROTECTED,
    VerdictCode.PROTECTED_TAG: Verdict.PROTECTED,
}

_PREDICTED = {
    # A lost answer is no departure: the contact is gone, as planned.
    VerdictCode.DELETABLE: frozenset({Code.DELETED, Code.PRESUMED_DELETED}),
    VerdictCode.READ_ONLY: frozenset({Code.READ_ONLY}),
    VerdictCode.HAS_INVOICE: frozenset({Code.HAS_INVOICE}),
    VerdictCode.ABSENT: frozenset({Code.NOT_FOUND}),
    VerdictCode.PROTECTED_LIST: frozenset({Code.PROTECTED, Code.PROTECTED_TAG}),
    VerdictCode.PROTECTED_TAG: frozenset({Code.PROTECTED, Code.PROTECTED_TAG}),
}
