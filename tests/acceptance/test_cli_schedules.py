"""`crm-sweep schedules` as a user types it, with a worker that does the rest."""

import json
from collections.abc import Callable

import pytest
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from jobs.store import keys
from tests.support.home import Home
from tests.support.portal_process import Portal

TRASH = BitMap(range(100, 160))
WITHIN = """
[[schedules]]
name = "nightly"
portal = "main"
filter = { tags = ["trash"] }
cron = "30 2 1 1 *"
timezone = "Europe/Berlin"
max_contacts = 60
max_share = 0.05
label = "nightly cleanup"
"""
ABOVE = """
[[schedules]]
name = "yearly"
portal = "main"
filter = { tags = ["old"] }
cron = "0 0 1 1 *"
max_contacts = 60
max_share = 0.05
"""


@pytest.fixture
def crm(home: Home, portal: Callable[..., Portal]) -> Portal:
    running = portal("--contacts", "1")
    running.reset(contacts=2000, tagged={"trash": list(TRASH), "old": list(range(1000, 1061))}, read_only=[100])
    home.configure(main={"url": running.url}, more=WITHIN + ABOVE + "[worker]\nlifeline_s = 1\n")
    return running


def test_a_schedule_from_its_start_to_the_last_contact_and_one_above_its_limits(home: Home, crm: Portal) -> None:
    home.start("worker")
    ids = {}
    for name in ("nightly", "yearly"):
        started = home.cli("schedules", "run", name)
        assert (started.code, len(started.stdout.splitlines())) == (0, 1), started.stderr
        ids[name] = started.stdout.strip()
    home.until_in(ids["nightly"], "completed")
    assert crm.contacts("deleted") == TRASH - BitMap([100])
    job = home.job(ids["nightly"])
    assert (job["schedule"], job["label"]) == ("nightly", "nightly cleanup")
    assert (job["counts"]["deleted"], job["counts"]["refused"]) == (59, 1)
    assert [action["by"] for action in job["actions"]][1:] == ["schedule nightly"]

    home.until_in(ids["yearly"], "awaiting_approval")
    shown = ""
    while "waits for  max_contacts" not in shown:  # until the worker has looked; the test's own time is limited
        shown = home.cli("schedules").stdout
    for text in (
        "nightly (nightly cleanup) on portal main: contacts tagged trash",
        "01-01 02:30 CET",
        f"job {ids['nightly']}: completed, 60 contacts, deleted 59, refused 1",
        "max_contacts: a person has to approve its last job: it deletes 61 contacts",
    ):
        assert text in shown, text
    assert len(crm.contacts("deleted")) == 59
    busy = home.cli("schedules", "run", "yearly")
    assert (busy.code, busy.stdout) == (2, "")
    assert f"crm-sweep approve {ids['yearly']}" in busy.stderr


def test_a_single_run_keeps_no_schedules(home: Home, crm: Portal) -> None:
    assert home.cli("run", home.ids(1, 2), "--portal", "main", "--yes").code == 0
    with EmbeddedServer(home.directory / ".crm-sweep") as server:
        home.redis_url = server.url.get_secret_value()
        assert not [key for key in home.keys() if key.startswith(keys.SCHEDULE.encode())]  # noqa: SIM118 - no mapping
        assert [key for key in home.keys() if key.startswith(keys.JOB.encode())]  # noqa: SIM118


def test_check_and_json_tell_when_each_is_due(home: Home, crm: Portal) -> None:
    told = home.cli("check").stdout
    assert "schedule nightly: portal main, contacts tagged trash; next at " in told
    assert "01-01 02:30 CET" in told
    nightly, _ = json.loads(home.cli("schedules", "--json").stdout)["schedules"]
    assert (nightly["name"], nightly["next_at"][4:]) == ("nightly", "-01-01T01:30:00.000Z")


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("run", "weekly"), 4, "no schedule named 'weekly' is configured (configured: nightly)"),
        (("run",), 2, "crm-sweep schedules run NAME"),
        (("walk", "nightly"), 2, "walk"),
    ],
)
def test_a_wrong_request_is_one_clear_line(home: Home, arguments: tuple[str, ...], code: int, problem: str) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"}, more=WITHIN)
    result = home.cli("schedules", *arguments)
    assert (result.code, result.stdout) == (code, "")
    assert problem in result.stderr


def test_a_wrong_filter_is_found_before_anything_starts(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"}, more=WITHIN.replace("tags =", "tag ="))
    for command in ("worker", "check"):
        result = home.cli(command)
        assert result.code == 2
        told = result.stdout + result.stderr
        assert "schedules[0].filter (file crm-sweep.toml): given an unknown member 'tag'; did you mean tags?" in told


def test_without_any_it_says_where_one_is_shown(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    result = home.cli("schedules")
    assert (result.code, result.stdout) == (0, "")
    assert "docs/schedules.md" in result.stderr
