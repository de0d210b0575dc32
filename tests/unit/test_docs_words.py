"""The words that people meet while the program runs are in the documents: reasons, outcomes, events, options."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.exit_codes import ExitCode
from config.guards import Guards
from jobs.schedules.policy import Hold
from jobs.words.filters import Filter
from jobs.words.outcomes import Code, Outcome
from jobs.words.reasons import StateReason
from jobs.words.states import State
from jobs.words.verdicts import Verdict
from tests.support.documents import ROOT, blocks, first_column

README = ROOT / "README.md"
OPERATIONS = ROOT / "docs" / "operations.md"
HOW_IT_WORKS = ROOT / "docs" / "how-it-works.md"
GLOSSARY = ROOT / "docs" / "glossary.md"
GUARDS = ROOT / "docs" / "guards.md"
CAMPAIGNS = ROOT / "docs" / "campaigns.md"

STUCK = ((README, "My job looks stuck"), (OPERATIONS, "My job looks stuck"))


@pytest.mark.parametrize(("page", "heading"), STUCK, ids=["README", "operations"])
def test_every_reason_why_a_job_waits_is_explained_once(page: Path, heading: str) -> None:
    assert sorted(first_column(page, heading)) == sorted(StateReason)


def test_every_outcome_is_explained_once_with_its_reasons() -> None:
    assert first_column(README, "Outcomes") == [
        "pending", "deleted", "presumed_deleted", "not_found", "refused", "failed", "protected", "skipped"
    ]  # fmt: skip
    rows = {row.split("`")[1]: row for row in README.read_text().splitlines() if row.startswith("| `")}
    for code in Code:
        assert code.outcome in set(Outcome)
        assert not code.reason or f"`{code.reason}`" in rows[code.outcome].rpartition(" | ")[2]


def test_every_exit_code_is_explained() -> None:
    for page in (README, OPERATIONS):
        line = " ".join(page.read_text().split()).partition("**Exit codes**")[2][:400]
        for code in ExitCode:
            assert f" {code.value} " in line, f"{page.name} does not explain exit code {code.value}"


def test_every_guard_is_explained_once() -> None:
    beside = {"approval_above", "protected_ids_file"}
    assert sorted(first_column(GUARDS, "All guards")[: len(Guards.model_fields) + 2]) == sorted(
        Guards.model_fields.keys() | beside
    )


def test_the_portal_to_start_with_has_guards_that_exist() -> None:
    [shown] = ["\n".join(block.lines) for block in blocks(GUARDS) if block.language == "toml"]
    given = tomllib.loads(shown)["portals"]["main"]
    assert Guards.model_validate(given).model_dump(exclude_unset=True, mode="json") == given


def test_every_member_of_a_filter_and_every_verdict_is_explained_once() -> None:
    # A row can be about two members.
    rows = [row.split(" | ")[0] for row in CAMPAIGNS.read_text().splitlines() if row.startswith("| `")]
    words = [word for row in rows for word in row.replace("`", "").strip("| ").split(", ")]
    for word in (*Filter.__struct_fields__, *Verdict):
        assert words.count(word) == 1, word


def test_every_reason_why_the_plan_of_a_schedule_waits_is_explained_once() -> None:
    assert sorted(first_column(ROOT / "docs" / "schedules.md", "What is approved automatically")) == sorted(Hold)


def test_every_log_event_is_listed_once() -> None:
    assert sorted(first_column(OPERATIONS, "Log events")) == sorted(set(_events()))


def test_every_state_and_outcome_is_in_the_glossary() -> None:
    text = GLOSSARY.read_text()
    missing = [word for word in (*State, *Outcome) if f"`{word}`" not in text]
    assert not missing


def test_the_documents_name_only_files_that_exist() -> None:
    for page in (HOW_IT_WORKS, OPERATIONS, ROOT / "CONTRIBUTING.md", README):
        for word in page.read_text().replace("`", " ` ").split():
            path = word.strip(".,;:()")
            is_ours = path.startswith(("jobs/", "worker/", "cli/", "config/", "simulator/", "tests/", "bench/"))
            assert not is_ours or list(ROOT.glob(path.rstrip("/"))), f"{page.name} names {path}"


def _events() -> Iterator[str]:
    """Yield the first argument of every call like `log.info("event", …)` outside the simulator."""
    for package in ("config", "jobs", "worker", "web", "cli"):
        for source in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(source.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in {"debug", "info", "warning", "error", "exception"}
                    and "log" in ast.unparse(node.func.value)
                    and node.args
                    and isinstance(node.args[0], ast.Constant)
                    and isinstance(node.args[0].value, str)
                ):
                    yield node.args[0].value
