"""The bytes of the ledger: they are stored forever, so the numbers are pinned here."""

import pytest

from jobs.words.outcomes import Code, Outcome, failed_code
from worker.failure_table import EXCEPTION_TABLE, FLAW_TABLE, STATUS_TABLE, Decision

#: What a number means must never change: ledgers from years ago are read with it.
STORED = {
    0: ("pending", None),
    1: ("deleted", None),
    2: ("presumed_deleted", "answer_lost"),
    3: ("not_found", "absent"),
    4: ("refused", "read_only"),
    5: ("refused", "has_invoice"),
    6: ("protected", "protected_list"),
    7: ("skipped", "cancelled"),
    16: ("failed", "rejected"),
    17: ("failed", "portal_error"),
    18: ("failed", "timeout"),
    19: ("failed", "connection_lost"),
    20: ("failed", "answer_garbled"),
    21: ("failed", "not_deleted"),
}

DECISIONS: list[Decision] = [
    *(rule.decision for rule in STATUS_TABLE),
    *FLAW_TABLE.values(),
    *EXCEPTION_TABLE.values(),
]

#: Reasons of the portal or the account; they pause or hold up a job and are not the fault of a contact.
OF_THE_PORTAL = {
    "portal_auth",
    "portal_payment",
    "portal_forbidden",
    "portal_proxy",
    "portal_protocol",
    "portal_unreachable",
    "rate_limit",
    "push_back",
}


@pytest.mark.parametrize(("number", "meaning"), STORED.items())
def test_a_stored_number_keeps_its_meaning(number: int, meaning: tuple[str, str | None]) -> None:
    code = Code(number)
    assert (code.outcome.value, code.reason) == meaning


def test_every_code_is_pinned_and_fits_a_byte() -> None:
    assert {int(code) for code in Code} >= STORED.keys()
    assert all(0 <= code < 256 for code in Code)
    assert len({(code.outcome, code.reason) for code in Code}) == len(Code)


def test_every_outcome_has_a_code() -> None:
    assert {code.outcome for code in Code} == set(Outcome)


@pytest.mark.parametrize("reason", sorted({decision.reason for decision in DECISIONS} - OF_THE_PORTAL))
def test_every_reason_that_a_contact_can_fail_with_has_a_code_of_its_own(reason: str) -> None:
    code = failed_code(reason)
    assert (code.outcome, code.reason) == (Outcome.FAILED, reason)


def test_an_unknown_reason_is_the_portals_error() -> None:
    assert failed_code("never heard of") is Code.PORTAL_ERROR
