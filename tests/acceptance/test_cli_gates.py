"""The commands that hold deletions back, and the size of a job, as users type them."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.home import Home


@pytest.fixture
def home_with_portals(home: Home) -> Home:
    home.configure(main={"url": "http://127.0.0.1:9", "max_contacts_per_job": 3}, other={"url": "http://127.0.0.1:9"})
    return home


def test_stop_and_start_say_what_is_in_force(home_with_portals: Home) -> None:
    home = home_with_portals
    job_id = home.submit("main", 1, 2)
    assert home.cli("stop", "--portal", "main").stdout.startswith("deletions at main are stopped\n")
    assert home.cli("stop").code == 0
    assert home.job(job_id)["state_reason"] == "stopped"
    assert "at all portals" in home.cli("why", job_id).stdout
    shown = json.loads(home.cli("portals", "--json").stdout)["portals"]
    assert [one["held_by"] for one in shown] == ["stopped", "stopped"]
    started = home.cli("start", "--portal", "main")
    assert started.code == 0
    assert "to lift it: `crm-sweep start`" in started.stdout, "the stop of all is still in force"
    assert home.job(job_id)["state_reason"] == "stopped"
    assert "crm-sweep start" in home.cli("check").stdout
    answer = json.loads(home.cli("start", "--json").stdout)
    assert answer == {"stopped": []}
    assert home.job(job_id)["state_reason"] == "no_worker"
    for name in ("nowhere", ""):
        missing = home.cli("stop", "--portal", name)
        assert (missing.code, missing.stdout, len(missing.stderr.splitlines())) == (4, "", 1), "not all of them"


def test_windows_are_opened_once_for_a_time_that_is_to_come(home_with_portals: Home) -> None:
    home = home_with_portals
    until = (datetime.now(UTC) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M")
    opened = home.cli("limits", "main", "--open-until", until, "--json")
    assert opened.code == 0, opened.stderr
    assert json.loads(opened.stdout)["open_until"] == f"{until}:00.000Z", "in the portal's time zone, which is UTC"
    assert json.loads(home.cli("limits", "main", "--open-until", "none", "--json").stdout)["open_until"] is None
    for wrong in ("2020-01-01T00:00", "2999-01-01T00:00", "tomorrow"):
        refused = home.cli("limits", "main", "--open-until", wrong)
        assert (refused.code, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)


def test_a_list_above_the_size_of_a_job_is_not_queued(home_with_portals: Home) -> None:
    home = home_with_portals
    for command in ("submit", "run"):
        refused = home.cli(command, home.ids(1, 2, 3, 4), "--portal", "main", "--yes")
        assert (refused.code, refused.stdout) == (2, "")
        assert "at most 3 in one job" in refused.stderr
    assert json.loads(home.cli("list", "--json").stdout)["jobs"] == []
