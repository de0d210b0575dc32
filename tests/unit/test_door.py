"""Every job comes in through one door, so that no route can skip a gate."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from pyroaring import BitMap

from config.settings import Portal
from jobs.accept.submission import Approval, submission_for
from jobs.accept.submit import digest_of
from jobs.words.errors import NoUndo, TooManyContacts, UndoRequired
from tests.support.bundles import PUBLIC_KEY

ROOT = Path(__file__).parents[2]
DOOR = ROOT / "jobs" / "accept" / "submission.py"
RUNTIME = [path for package in ("cli", "jobs", "web", "worker") for path in (ROOT / package).rglob("*.py")]


@pytest.mark.parametrize("path", RUNTIME, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_but_the_door_makes_a_submission(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    makes = any(isinstance(call.func, ast.Name) and call.func.id == "Submission" for call in calls)
    assert makes == (path == DOOR)


@given(above=st.integers(0, 5), contacts=st.integers(1, 8), approval=st.sampled_from(Approval))
def test_a_large_list_waits_unless_an_exception_is_said_in_words(above: int, contacts: int, approval: Approval) -> None:
    portal = Portal(name="main", url="http://127.0.0.1", token=SecretStr("t"), approval_above=above, max_concurrency=3)
    made = submission_for(portal, BitMap(range(1, contacts + 1)), by="me", approval=approval)
    by_size = bool(above) and contacts > above
    assert made.needs_approval == (by_size or approval is Approval.NEEDED)
    assert (made.portal, made.lanes, made.by) == ("main", 3, "me")


@given(most=st.integers(0, 5), contacts=st.integers(1, 8), approval=st.sampled_from(Approval))
def test_a_list_above_the_size_of_a_job_is_refused_without_an_exception(
    most: int, contacts: int, approval: Approval
) -> None:
    portal = Portal(name="main", url="http://127.0.0.1", token=SecretStr("t"), max_contacts_per_job=most)
    ids = BitMap(range(1, contacts + 1))
    if 0 < most < contacts:
        with pytest.raises(TooManyContacts, match=f"at most {most} in one job"):
            submission_for(portal, ids, by="me", approval=approval)
    else:
        assert submission_for(portal, ids, by="me", approval=approval).ids == ids


@given(mode=st.sampled_from(["off", "optional", "required"]), wanted=st.sampled_from([None, True, False]))
def test_records_are_kept_as_the_portal_and_the_submitter_want_it(mode: str, wanted: bool | None) -> None:
    undo = {"undo": mode, "undo_store": "/nowhere", "undo_recipients": (PUBLIC_KEY,)}
    portal = Portal.model_validate({"name": "main", "url": "http://127.0.0.1", "token": SecretStr("t"), **undo})
    if (mode, wanted) in {("off", True), ("required", False)}:
        with pytest.raises(NoUndo if wanted else UndoRequired, match=f"undo is {mode}"):
            submission_for(portal, BitMap([1]), by="me", undo=wanted)
        return
    made = submission_for(portal, BitMap([1]), by="me", undo=wanted)
    assert made.undo == (mode == "required" or bool(wanted))
    plain = submission_for(portal, BitMap([1]), by="me")
    # Where the portal decides, saying the same makes no other request.
    assert (digest_of(made) == digest_of(plain)) == (made.undo == plain.undo)


def test_a_job_remembers_the_address_and_never_spells_it_out() -> None:
    def made_for(url: str) -> str:
        portal = Portal(name="main", url=url, token=SecretStr("t"))
        return submission_for(portal, BitMap([1]), by="me").address

    assert made_for("https://crm.example.com/") == made_for("https://CRM.example.com")
    assert made_for("https://crm.example.com") != made_for("https://other.example.com")
    assert "crm" not in made_for("https://crm.example.com")
