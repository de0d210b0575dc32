"""Every reason for which a job can wait has plain words, and the words name commands that exist."""

import ast
import inspect
import re
from importlib import resources

import pytest

import jobs.view.waiting
import worker
from cli.main import _COMMANDS
from jobs.words.reasons import ADVICE, PORTAL_FAULTS, advice_on, remedy_for
from jobs.words.states import State
from worker.failure_table import EXCEPTION_TABLE, FAULT_TABLE, STATUS_TABLE, Decision
from worker.login import REFUSALS
from worker.portal_answers import Action


def reasons_of_the_tables() -> set[str]:
    """What a failure of the portal can put into state_reason: it stops the job, or the portal cannot be reached."""
    decisions: list[Decision] = [rule.decision for rule in STATUS_TABLE]
    decisions += [*FAULT_TABLE.values(), *EXCEPTION_TABLE.values()]
    return {
        decision.reason
        for decision in decisions
        if decision.action is Action.STOP or (not decision.sent and decision.action is Action.RETRY)
    }


def reasons_of_waiting() -> set[str]:
    """The words that `why_waiting` returns, by itself or from one of its functions."""
    tree = ast.parse(inspect.getsource(jobs.view.waiting))
    returned = [node for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value]
    values = [node.value for found in returned for node in ast.walk(found) if isinstance(node, ast.Constant)]
    return {value for value in values if isinstance(value, str)}


def reasons_of_lua() -> set[str]:
    """The words that scripts put there."""
    scripts = [file.read_text() for file in resources.files("jobs.store.lua").iterdir() if file.name.endswith(".lua")]
    return {word for script in scripts for word in re.findall(r"stop = '(\w+)'", script)}


def reasons_of_python() -> set[str]:
    """The words that stop a job from places of their own in the worker, such as its log-in."""
    sources = [file.read_text() for file in resources.files(worker).iterdir() if file.name.endswith(".py")]
    return {word for source in sources for word in re.findall(r'"(portal_\w+)"', source)} - {"portal_error"}


def test_every_reason_has_its_advice() -> None:
    found = reasons_of_the_tables() | reasons_of_waiting() | reasons_of_lua() | {"operator", "approval"}
    found |= reasons_of_python() & {f"portal_{word}" for word in ("auth", "payment", "forbidden", "protocol")}
    assert {"failure_threshold", "no_worker", "portal_auth", "portal_unreachable", "rate_limit"} <= found
    assert found - ADVICE.keys() == set()


def test_every_portal_fault_is_told_apart() -> None:
    assert {reason for reason in reasons_of_the_tables() if reason.startswith("portal_")} <= PORTAL_FAULTS


@pytest.mark.parametrize("reason", [*ADVICE, "something_new"])
def test_advice_names_commands_that_exist_and_the_job(reason: str) -> None:
    advice = advice_on(reason, "JOB-1")
    assert "{" not in advice
    for command, argument in re.findall(r"`crm-sweep (\w+) ?(\S*)`", advice):
        assert command in _COMMANDS
        assert argument in {"", "JOB-1"}


def test_what_stops_a_job_says_what_to_do_by_itself() -> None:
    """So that a person is told what is wrong once, and what to do once."""
    decisions = [rule.decision for rule in STATUS_TABLE] + [*FAULT_TABLE.values(), *EXCEPTION_TABLE.values()]
    messages = [decision.message for decision in decisions if decision.action is Action.STOP]
    messages += [message for message, _ in REFUSALS.values()]
    assert [message for message in messages if "; " not in message] == []


def test_what_lets_a_job_go_on_can_be_another_way() -> None:
    assert advice_on("portal_auth", "JOB-1", "start it again").endswith("then start it again")


def test_states_and_reasons_are_different_words() -> None:
    assert not {str(state) for state in State} & ADVICE.keys()


@pytest.mark.parametrize("reason", sorted(PORTAL_FAULTS))
def test_a_portal_that_cannot_be_worked_with_has_a_remedy_that_needs_no_job(reason: str) -> None:
    assert remedy_for(reason)
    assert "{" not in remedy_for(reason)
    assert not remedy_for("starting")
