"""`priority`, `why`, `portals` and `limits`: seeing what holds a job back, and changing it while it runs."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.home import Home, until
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]


@pytest.fixture
def queued(home: Home) -> Home:
    """Set up a home whose portals have no worker."""
    home.configure(main={"url": "http://127.0.0.1:9"}, other={"url": "http://127.0.0.1:9"})
    return home


def portals(home: Home) -> dict[str, dict[str, Any]]:
    result = home.cli("portals", "--json")
    assert result.code == 0, result.stderr
    return {one["name"]: one for one in json.loads(result.stdout)["portals"]}


def test_a_priority_is_given_at_the_start_or_later(queued: Home) -> None:
    job_id = queued.submit("main", 1, 2, more=("--priority", "background"))
    assert queued.job(job_id)["priority"] == "background"
    changed = queued.cli("priority", job_id, "urgent")
    assert (changed.code, changed.stdout) == (0, f"job {job_id} is now urgent\n")
    assert queued.job(job_id)["priority"] == "urgent"
    assert queued.cli("cancel", job_id).code == 0
    ended = queued.cli("priority", job_id, "normal")
    assert (ended.code, len(ended.stderr.splitlines())) == (2, 1)
    assert "cancelled" in ended.stderr
    assert queued.cli("priority", "no-such-job", "normal").code == 4
    for arguments in ((job_id,), (job_id, "fast")):
        wrong = queued.cli("priority", *arguments)
        assert (wrong.code, wrong.stdout) == (2, "")
    assert queued.cli("submit", queued.ids(1), "--portal", "main", "--priority", "fast").code == 2


def test_status_tells_who_did_what(queued: Home) -> None:
    job_id = queued.submit("main", 1, 2)
    for command in (("pause", job_id), ("priority", job_id, "urgent"), ("resume", job_id)):
        assert queued.cli(*command).code == 0
    actions = queued.job(job_id)["actions"]
    assert [action["action"] for action in actions] == ["submit", "pause", "priority", "resume"]
    assert all(re.fullmatch(r"cli:\S+", action["by"]) for action in actions)
    shown = queued.cli("status", job_id).stdout.splitlines()[-4:]
    assert [line.split(": ")[-1] for line in shown] == ["submit", "pause", "priority urgent", "resume"]


def test_why_names_the_constraint_and_what_to_do(queued: Home) -> None:
    job_id = queued.submit("main", 1, 2)
    told = queued.cli("why", job_id)
    assert told.code == 0
    lines = told.stdout.splitlines()
    assert lines[0] == f"job {job_id} is queued"
    assert lines[1].startswith("no_worker: ")
    assert "crm-sweep worker" in lines[1]
    assert any(line.startswith("portal: main: at most 200 calls/s") for line in lines)
    assert json.loads(queued.cli("why", job_id, "--json").stdout)["constraint"] == "no_worker"
    assert queued.cli("pause", job_id).code == 0
    assert f"crm-sweep resume {job_id}" in queued.cli("why", job_id).stdout
    missing = queued.cli("why", "no-such-job")
    assert (missing.code, missing.stdout, len(missing.stderr.splitlines())) == (4, "", 1)


def test_why_a_running_job_is_slow_and_limits_that_change_it(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 3000)
    settings = {"url": crm.url, "requests_per_second": 2.0, "batch_size_start": 10, "batch_size_max": 10}
    home.configure(main=settings | {"max_concurrency": 1})
    home.start("worker")
    job_id = home.submit("main", *range(1, 2001))
    until(lambda: crm.has_committed(3))
    why = json.loads(home.cli("why", job_id, "--json").stdout)
    assert (why["constraint"], why["state"]) == ("rate", "running")
    told = home.cli("why", job_id).stdout
    assert "requests_per_second of main is 2" in told
    assert re.search(r"^done in: \S+", told, re.MULTILINE)
    assert re.search(r"^last answers: \d+ ok$", told, re.MULTILINE)
    assert re.search(r"^the newest: deletion of 10 contacts, ok, HTTP 200, took \d", told, re.MULTILINE)

    changed = home.cli("limits", "main", "--requests-per-second", "500", "--max-concurrency", "4")
    assert changed.code == 0
    assert "main: at most 500 calls/s (configured 2)" in changed.stdout
    assert "at most 4 in flight (configured 1)" in changed.stdout
    assert home.cli("watch", job_id).code == 0
    assert len(crm.contacts("deleted")) == 2000
    view = portals(home)["main"]
    assert (view["requests_per_second"], view["configured_requests_per_second"]) == (500.0, 2.0)
    assert (view["max_concurrency"], view["configured_max_concurrency"]) == (4, 1)
    assert re.fullmatch(r"cli:\S+", view["actions"][-1]["by"])


def test_limits_are_shown_changed_and_taken_back(queued: Home) -> None:
    assert queued.cli("limits", "main").stdout.startswith("main: at most 200 calls/s; at most 2 in flight, 0 now;")
    one = json.loads(queued.cli("limits", "main", "--max-concurrency", "7", "--json").stdout)
    assert (one["max_concurrency"], one["requests_per_second"]) == (7, 200.0)
    table = queued.cli("portals")
    assert re.search(r"^main\s+200\s+200\s+0 of 7\*\s", table.stdout, re.MULTILINE)
    assert re.search(r"^other\s+200\s+200\s+0 of 2\s", table.stdout, re.MULTILINE)
    assert "--reset" in table.stderr
    assert queued.cli("limits", "main", "--reset").code == 0
    assert portals(queued)["main"]["max_concurrency"] == 2
    assert "--reset" not in queued.cli("portals").stderr
    assert [action["action"] for action in portals(queued)["main"]["actions"]] == ["limits", "limits"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("main", "--requests-per-second", "0"),
        ("main", "--requests-per-second", "1001"),
        ("main", "--requests-per-second", "nan"),
        ("main", "--requests-per-second", "fast"),
        ("main", "--max-concurrency", "0"),
        ("main", "--max-concurrency", "65"),
        ("main", "--max-concurrency", "1.5"),
        ("main", "--reset", "--max-concurrency", "5"),
    ],
    ids=" ".join,
)
def test_limits_out_of_range_change_nothing(queued: Home, arguments: tuple[str, ...]) -> None:
    result = queued.cli("limits", *arguments)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr
    assert queued.keys() == [], "nothing was written"


def test_no_such_portal_is_exit_code_4_and_none_at_all_is_said(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    result = home.cli("limits", "nowhere", "--reset")
    assert (result.code, result.stdout) == (4, "")
    assert "main" in result.stderr
    home.configure()
    nothing = home.cli("portals")
    assert (nothing.code, nothing.stdout) == (0, "")
    assert "no portal is configured" in nothing.stderr
    assert json.loads(home.cli("portals", "--json").stdout) == {"portals": []}
