"""`crm-sweep plan`, `approve` and `run --plan` as processes: what is shown, what is asked, and what is deleted."""

import json
import os
import pty
import subprocess
from collections.abc import Callable

import pytest
from pyroaring import BitMap

from tests.support.home import PROGRAM, Home
from tests.support.portal_process import Portal

TRASH = BitMap(range(100, 500))
VIP = BitMap(range(100, 112))
MEANT = TRASH - VIP


@pytest.fixture
def crm(home: Home, portal: Callable[..., Portal]) -> Portal:
    """Start a portal of 5,000 contacts, 400 of them tagged, 12 of these also `vip`, and configure it as main."""
    running = portal("--contacts", "1")
    running.reset(contacts=5000, tagged={"trash": list(TRASH), "vip": list(VIP)}, read_only=[200], invoiced=[201])
    home.configure(main={"url": running.url, "requests_per_second": 100.0})
    return running


FILTER = ("--portal", "main", "--tag", "trash", "--without-tag", "vip")


def test_a_campaign_from_the_filter_to_the_last_line_of_the_ledger(home: Home, crm: Portal) -> None:
    home.start("worker")
    planned = home.cli("plan", *FILTER, "--json")
    assert planned.code == 0, planned.stderr
    job = json.loads(planned.stdout)
    assert (job["state"], job["total"], job["state_reason"]) == ("awaiting_approval", 388, "approval")
    assert job["selection"] == {"kind": "filter", "filter": {"tags": ["trash"], "without_tags": ["vip"]}}
    plan = job["plan"]
    assert plan["counts"] == {"deletable": 386, "read_only": 1, "has_invoice": 1, "absent": 0, "protected": 0}
    assert (plan["portal_total"], plan["share"]) == (5000, 0.0772)
    assert len(plan["sample"]) == 20
    assert f"crm-sweep approve {job['id']} --digest {plan['digest'][:12]}" in planned.stderr
    assert not crm.contacts("deleted")

    no_digest = home.cli("approve", job["id"])
    assert (no_digest.code, "--digest" in no_digest.stderr) == (2, True)
    wrong = home.cli("approve", job["id"], "--digest", "0" * 12)
    assert (wrong.code, "not the digest" in wrong.stderr) == (2, True)
    short = home.cli("approve", job["id"], "--digest", plan["digest"][:11])
    assert (short.code, "at least the first 12 digits" in short.stderr) == (2, True)
    looked = home.cli("status", job["id"]).stdout
    assert plan["sample"][0]["display_name"] in looked
    assert f"digest {plan['digest'][:12]}, can be approved until" in looked
    assert "survey of" in home.cli("why", job["id"]).stdout
    assert not crm.contacts("deleted")

    assert home.cli("approve", job["id"], "--digest", plan["digest"][:12]).code == 0
    assert home.cli("watch", job["id"]).code == 0
    assert crm.contacts("deleted") == MEANT - BitMap([200, 201])
    assert "sample" not in (home.job(job["id"])["plan"] or {}) or home.job(job["id"])["plan"]["sample"] is None
    departed = home.cli("results", job["id"], "--against-plan")
    assert departed.stdout.splitlines() == ["contact_id,outcome,reason,http_status,attempts,at,verdict"]


def test_a_plan_is_shown_and_a_dry_run_leaves_nothing(home: Home, crm: Portal) -> None:
    home.start("worker")
    shown = home.cli("plan", home.ids(*range(195, 211)), "--portal", "main", "--dry-run")
    assert shown.code == 0, shown.stderr
    assert [line.split()[:2] for line in shown.stdout.splitlines()[1:5]] == [
        ["deletable", "14"],
        ["read_only", "1"],
        ["has_invoice", "1"],
        ["total", "16"],
    ]
    assert "of the portal's 5,000 contacts" in shown.stdout
    assert json.loads(home.cli("list", "--json").stdout)["jobs"] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("plan", "--portal", "main"), "name a list, or say with a filter"),
        (("plan", "ids.txt", *FILTER), "name a list or a filter, not both"),
        (("plan", "--portal", "main", "--tag", ""), "--tag"),
        (("plan", "--portal", "main", "--created-from", "2026-13-01"), "--created-from"),
        (("plan", "--portal", "main", "--everything", "--tag", "x"), "--everything"),
        (("plan", "--portal", "main", "--text", "Acme, Inc"), "--text"),
    ],
)
def test_what_is_no_list_and_no_filter_is_told_by_name(
    home: Home, crm: Portal, words: tuple[str, ...], told: str
) -> None:
    home.ids(*range(1, 6))
    result = home.cli(*words)
    assert (result.code, told in result.stderr) == (2, True), result.stderr
    assert json.loads(home.cli("list", "--json").stdout)["jobs"] == []


def test_a_filter_that_matches_nothing_is_told(home: Home, crm: Portal) -> None:
    home.start("worker")
    result = home.cli("plan", "--portal", "main", "--tag", "nobody")
    assert (result.code, "matches no contact" in result.stderr) == (0, True)


def test_a_plan_that_a_guard_forbids_fails_and_says_why(home: Home, crm: Portal) -> None:
    home.configure(main={"url": crm.url, "max_contacts_per_job": 100})
    home.start("worker")
    result = home.cli("plan", *FILTER)
    [*_, last] = result.stderr.splitlines()
    told = "the filter selects 388 contacts, and portal main allows 100 per job"
    assert (result.code, last) == (1, f"crm-sweep: no plan could be made: {told}")
    assert result.stderr.count("388") == 1, "it is said once"


def test_one_command_plans_asks_and_deletes(home: Home, crm: Portal) -> None:
    asked = home.cli("run", *FILTER, "--plan")
    assert (asked.code, "--yes is needed" in asked.stderr) == (2, True)
    assert "386" in asked.stderr
    assert not crm.contacts("deleted")
    done = home.cli("run", *FILTER, "--plan", "--yes", "--report", "out.csv")
    assert done.code == 0, done.stderr
    assert crm.contacts("deleted") == MEANT - BitMap([200, 201])
    assert len((home.directory / "out.csv").read_text().splitlines()) == 389
    puts = sum(call["kind"] == "delete" for call in crm.calls())
    assert home.cli("run", *FILTER, "--plan", "--yes").code == 0
    assert sum(call["kind"] == "delete" for call in crm.calls()) == puts


@pytest.mark.parametrize(("typed", "code"), [("386", 0), ("388", 0), ("387", 2), ("yes", 2), ("", 2)])
def test_the_number_of_contacts_has_to_be_typed(home: Home, crm: Portal, typed: str, code: int) -> None:
    home.start("worker")
    job = json.loads(home.cli("plan", *FILTER, "--json").stdout)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [PROGRAM, "approve", job["id"]], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=home.directory, env=home.environment(),
    ) as process:  # fmt: skip
        os.close(theirs)
        os.write(ours, f"{typed}\n".encode())
        _, told = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == code, told
    assert "386" in told
    assert home.job(job["id"])["state"] != "awaiting_approval" if code == 0 else not crm.contacts("deleted")


def test_the_door_refuses_a_list_without_a_plan(home: Home, crm: Portal) -> None:
    home.configure(main={"url": crm.url, "plan_above": 10})
    for words in (
        ("submit", home.ids(*range(1, 21)), "--portal", "main"),
        ("run", "ids.txt", "--portal", "main", "--yes"),
    ):
        result = home.cli(*words)
        assert (result.code, "plan" in result.stderr) == (2, True), result.stderr
    assert home.cli("submit", home.ids(*range(1, 11)), "--portal", "main").code == 0


def test_check_tells_the_guards_that_are_set(home: Home, crm: Portal) -> None:
    home.configure(main={"url": crm.url, "plan_required": True, "canary": "1%", "protected_tags": ["vip", "gold"]})
    told = home.cli("check").stdout
    assert "guards: plan_required on, canary 1%, protected_tags 'vip' and 'gold'" in told
