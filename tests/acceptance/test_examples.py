"""The examples for other services do what they say, against real processes."""

import csv
import sysconfig
import venv
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from tests.support.documents import blocks
from tests.support.examples import EXAMPLES, run, start_api
from tests.support.home import Home, Result, until
from tests.support.portal_process import Portal

SCRIPT = EXAMPLES / "delete_contacts.sh"
KEY = "an example's key"
KEYS = f"""
[[api.keys]]
name = "billing"
key_sha256 = "{sha256(KEY.encode()).hexdigest()}"
scopes = ["read", "submit"]
"""

MakePortal = Callable[..., Portal]


@pytest.fixture
def api(home: Home, portal: MakePortal) -> str:
    """Run an API with a key, a worker, and a portal of 300 contacts, some of which cannot be deleted."""
    crm = portal("--contacts", 300, "--read-only", 5)
    home.configure(more=KEYS, main={"url": crm.url})
    home.start("worker")
    return start_api(home)


def script(home: Home, url: str, *arguments: str, **environment: str) -> Result:
    usual = {"CRM_SWEEP_URL": url, "CRM_SWEEP_KEY": KEY, "POLL_S": "0.1"}
    return run(home, "sh", str(SCRIPT), *arguments, **(usual | environment))


@pytest.mark.parametrize("follow", ["0", "1"])
def test_the_script_submits_follows_and_fetches_what_is_left(home: Home, api: str, follow: str) -> None:
    home.ids(*range(1, 401))
    done = script(home, api, "ids.txt", "main", "ticket-1", "left.csv", FOLLOW=follow)
    assert done.code == 0, done.stderr
    assert "ticket-1: completed, 0 of 400 to do" in done.stderr
    job = home.job("ticket-1")
    with (home.directory / "left.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == job["counts"]["refused"] > 0
    assert {(row["outcome"], row["reason"]) for row in rows} == {("refused", "read_only")}
    assert f"{len(rows)} contacts were not deleted: left.csv" in done.stderr

    again = script(home, api, "ids.txt", "main", "ticket-1", "again.csv", FOLLOW=follow)
    assert again.code == 0, again.stderr
    assert "submitted before" in again.stderr
    assert (home.directory / "again.csv").read_text() == (home.directory / "left.csv").read_text()
    assert not list(home.directory.glob("*.part"))


def test_the_script_says_what_is_wrong(home: Home, api: str) -> None:
    home.ids(1, 2, 3)
    home.write("wrong.txt", "1\ntwo\n3\n")
    wrong = script(home, api, "wrong.txt", "main", "ticket-1", "left.csv")
    assert wrong.code == 2
    assert "HTTP 422" in wrong.stderr
    nowhere = script(home, api, "ids.txt", "nowhere", "ticket-1", "left.csv")
    assert (nowhere.code, "nowhere" in nowhere.stderr) == (4, True)
    stranger = script(home, api, "ids.txt", "main", "ticket-1", "left.csv", CRM_SWEEP_KEY="another")
    assert (stranger.code, "HTTP 401" in stranger.stderr) == (2, True)
    missing = script(home, api, "missing.txt", "main", "ticket-1", "left.csv")
    assert (missing.code, "cannot read missing.txt" in missing.stderr) == (2, True)
    assert script(home, api, "ids.txt").code == 2
    assert not home.cli("list", "--json").stdout.count("ticket-1")

    assert script(home, api, "ids.txt", "main", "ticket-1", "left.csv").code == 0
    home.ids(4)
    other = script(home, api, "ids.txt", "main", "ticket-1", "left.csv")
    assert (other.code, "another list" in other.stderr) == (2, True)


def test_the_script_gives_up_on_an_api_that_is_away(home: Home) -> None:
    home.ids(1)
    done = script(home, "http://127.0.0.1:9", "ids.txt", "main", "ticket-1", "left.csv", TRIES="2")
    assert done.code == 5
    assert "gave up after 2 tries" in done.stderr


def test_the_script_tells_a_cancelled_job_and_failed_contacts(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 200, "--poisoned", 2)
    home.configure(main={"url": crm.url, "max_attempts": 2, "backoff_base_s": 0.05, "backoff_max_s": 0.2})
    url = start_api(home)
    home.ids(*range(1, 101))
    assert home.cli("submit", "ids.txt", "--portal", "main", "--id", "ticket-1", "--yes").code == 0
    assert home.cli("cancel", "ticket-1").code == 0
    cancelled = script(home, url, "ids.txt", "main", "ticket-1", "left.csv")
    assert cancelled.code == 1
    assert (home.directory / "left.csv").read_text().count("skipped") == 100

    home.start("worker")
    home.ids(*range(1, 201))
    failed = script(home, url, "ids.txt", "main", "ticket-2", "left.csv")
    assert failed.code == 3, failed.stderr
    assert (home.directory / "left.csv").read_text().count(",failed,") == 2


@pytest.fixture(scope="module")
def foreign_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make an interpreter that has our dependencies, including arq, and cannot import this project."""
    home = tmp_path_factory.mktemp("foreign")
    venv.create(home, with_pip=False)
    [packages] = home.glob("lib/python*/site-packages")
    # A path in a .pth file is put on sys.path as it is: the .pth files in it, our editable install's, are not read.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return str(home / "bin" / "python")


def test_the_arq_example_needs_nothing_of_this_project(home: Home, api: str, foreign_python: str) -> None:
    for name in ("config", "jobs", "worker", "web", "cli"):
        refused = run(home, foreign_python, "-c", f"import {name}")
        assert "ModuleNotFoundError" in refused.stderr, f"{name} can be imported"
    example = [foreign_python, "-W", "error", str(EXAMPLES / "plain_arq.py"), home.redis_url]
    done = run(home, *example, "main", "ticket-4711", "101", "102", "103")
    assert (done.code, done.stdout, done.stderr) == (0, "ticket-4711\n", "")

    def ended() -> bool:
        return home.state("ticket-4711") == "completed"

    until(ended)
    job: dict[str, Any] = home.job("ticket-4711")
    assert (job["total"], job["label"]) == (3, "from billing")

    again = run(home, *example, "main", "ticket-4711", "101", "102", "103")
    assert (again.code, again.stdout) == (0, "ticket-4711\n")
    assert "submitted before" in again.stderr
    wrong = run(home, *example, "nowhere", "ticket-4712", "101")
    assert (wrong.code, wrong.stdout) == (1, "ticket-4712\n")
    assert "nowhere" in wrong.stderr
    assert home.job("ticket-4712")["state"] == "failed"
    assert run(home, foreign_python, str(EXAMPLES / "plain_arq.py")).code == 2


def test_the_page_about_the_script_shows_the_script(home: Home) -> None:
    """Each piece of shell on the page is in the script, line by line."""
    lines = [line.strip() for line in SCRIPT.read_text().splitlines()]
    shown = [block for block in blocks(EXAMPLES / "http.md") if block.language == "sh"]
    assert len(shown) >= 4
    for block in shown:
        for line in block.lines:
            assert line.strip() in lines, line
