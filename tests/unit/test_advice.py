"""Every reason why a job can wait is explained in plain words, and the commands in them exist."""

import re

import pytest

from cli.main import COMMANDS
from jobs.words.reasons import (
    NEEDS_A_PERSON,
    PORTAL_FAULTS,
    ReasonClass,
    StateReason,
    advice_on,
    advice_with_error,
    remedy_without_job,
)
from jobs.words.states import State
from worker.failure_table import EXCEPTION_TABLE, FLAW_TABLE, STATUS_TABLE
from worker.login import REFUSALS
from worker.portal_answers import Remedy

DECISIONS = [rule.decision for rule in STATUS_TABLE] + [*FLAW_TABLE.values(), *EXCEPTION_TABLE.values()]


@pytest.mark.parametrize("reason", list(StateReason))
def test_every_reason_has_a_class_and_a_meaning(reason: StateReason) -> None:
    assert reason.ends_by in ReasonClass
    assert reason.meaning


def test_what_stops_a_job_is_a_fault_and_what_never_left_is_a_reason_to_wait() -> None:
    for decision in DECISIONS:
        if decision.action is Remedy.STOP:
            assert StateReason(decision.reason) in NEEDS_A_PERSON
        elif decision.action is Remedy.RETRY and not decision.sent:
            assert decision.reason == StateReason.PORTAL_UNREACHABLE


@pytest.mark.parametrize("reason", [*StateReason, "something_new"])
def test_advice_names_commands_that_exist_and_the_job(reason: str) -> None:
    advice = advice_on(reason, "JOB-1")
    assert "{" not in advice
    for command, argument in re.findall(r"`crm-sweep (\w+) ?(\S*)`", advice):
        assert command in COMMANDS
        assert argument in {"", "JOB-1"}


def test_what_stops_a_job_says_what_to_do_by_itself() -> None:
    """A user is told once what is wrong, and once what to do."""
    messages = [decision.message for decision in DECISIONS if decision.action is Remedy.STOP]
    messages += [message for message, _ in REFUSALS.values()]
    assert [message for message in messages if "; " not in message] == []


def test_what_lets_a_job_go_on_can_be_another_way() -> None:
    assert advice_on("portal_auth", "JOB-1", "start it again").endswith("then start it again")


def test_an_error_is_shown_where_it_has_to_do_with_the_reason() -> None:
    store = advice_with_error(StateReason.UNDO_STORE, "JOB-1", "there is no directory /undo")
    assert store == f"{advice_on(StateReason.UNDO_STORE, 'JOB-1')} (last error: there is no directory /undo)"
    unpaid = advice_with_error(StateReason.PORTAL_PAYMENT, "JOB-1", "HTTP 402; renew the licence")
    assert unpaid == "HTTP 402; renew the licence; then `crm-sweep resume JOB-1`"
    for reason in (StateReason.OPERATOR, StateReason.NO_WORKER):
        assert advice_with_error(reason, "JOB-1", "something that is over") == advice_on(reason, "JOB-1")
    for reason in StateReason:
        assert advice_with_error(reason, "JOB-1", None) == advice_on(reason, "JOB-1")


def test_states_and_reasons_are_different_words() -> None:
    assert not {str(state) for state in State} & set(StateReason)


@pytest.mark.parametrize("reason", sorted(PORTAL_FAULTS))
def test_a_portal_that_cannot_be_worked_with_has_a_remedy_that_needs_no_job(reason: str) -> None:
    assert remedy_without_job(reason)
    assert "{" not in remedy_without_job(reason)
    assert not remedy_without_job("starting")
