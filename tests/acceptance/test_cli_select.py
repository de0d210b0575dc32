"""`crm-sweep select`: what a filter matches, as a file to look at and to hand on; or nothing, and why."""

import csv
import io
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.home import Home, until
from tests.support.portal_process import Portal

HEADER = ["id", "display_name", "kind", "tags", "created", "deletable"]
#: More than one page of the portal's.
CONTACTS = 2500
TRASH = list(range(100, 2400))


@pytest.fixture
def crm(home: Home, portal: Callable[..., Portal]) -> Portal:
    """Start a portal with tags, and configure it as main."""
    running = portal("--contacts", "1")
    tagged = {"trash": TRASH, "vip": list(range(200, 300)), "=old, really": [101, 102]}
    running.reset(contacts=CONTACTS, tagged=tagged, read_only=[110], invoiced=[111, 112], invisible=[120])
    home.configure(main={"url": running.url, "backoff_base_s": 0.01, "max_attempts": 3})
    return running


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def listings(crm: Portal) -> int:
    return sum(call["kind"] == "listing" for call in crm.calls())


def left_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name != "crm-sweep.toml")


def test_writes_exactly_what_matches_and_makes_no_job(home: Home, crm: Portal) -> None:
    result = home.cli(
        "select", "--portal", "main", "--tag", "TRASH".lower(), "--without-tag", "VIP", "-o", "out.csv", "--json"
    )
    assert result.code == 0, result.stderr
    text = (home.directory / "out.csv").read_text()
    assert text.splitlines()[0].split(",") == HEADER
    rows = rows_of(text)
    expected = [each for each in TRASH if each not in range(200, 300) and each != 120]
    assert [int(row["id"]) for row in rows] == expected
    assert {row["id"]: row["deletable"] for row in rows if row["deletable"] != "yes"} == {
        "110": "read_only", "111": "has_invoice", "112": "has_invoice"
    }  # fmt: skip
    assert rows[1]["tags"] == "'=old, really; trash"
    assert {row["kind"] for row in rows} == {"person", "company"}
    summary: dict[str, Any] = json.loads(result.stdout)
    assert summary.pop("seconds") > 0
    assert summary == {
        "portal": "main",
        "filter": {"tags": ["trash"], "without_tags": ["VIP"]},
        "output": "out.csv",
        "matched": len(expected),
        "deletable": len(expected) - 3,
        "read_only": 1,
        "has_invoice": 2,
        "protected": 0,
        "calls": 3,
    }
    assert listings(crm) == 3
    assert "the filter selects contacts tagged trash, not tagged VIP" in result.stderr
    assert json.loads(home.cli("list", "--json").stdout)["jobs"] == []
    assert not crm.contacts("deleted")
    assert left_in(home.directory) == ["out.csv"]


def test_the_file_can_be_submitted_after_rows_were_removed(home: Home, crm: Portal) -> None:
    assert home.cli("select", "--portal", "main", "--tag", "trash", "-o", "out.csv").code == 0
    header, *lines = (home.directory / "out.csv").read_text().splitlines(keepends=True)
    home.write("out.csv", header + "".join(lines[5:25]))
    submitted = home.cli("submit", "out.csv", "--portal", "main", "--yes")
    assert submitted.code == 0, submitted.stderr
    assert home.job(submitted.stdout.strip())["total"] == 20


def test_without_a_file_the_contacts_go_to_standard_output(home: Home, crm: Portal) -> None:
    result = home.cli("select", "--portal", "main", "--tag", "=old, really")
    assert result.code == 0, result.stderr
    assert [row["id"] for row in rows_of(result.stdout)] == ["101", "102"]
    assert rows_of(result.stdout)[0]["tags"] == "'=old, really; trash"
    assert "2 contacts of portal main: 2 deletable" in result.stderr


def test_nothing_that_matches_is_a_header_alone(home: Home, crm: Portal) -> None:
    result = home.cli("select", "--portal", "main", "--tag", "trash", "--without-email")
    assert (result.code, result.stdout.strip().split(",")) == (0, HEADER)
    assert "0 contacts" in result.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "--everything"),
        (("--everything", "--tag", "trash"), "--everything: given together with tags"),
        (("--tag", " "), "--tag: given ' '"),
        (("--tag", "a", "--without-tag", "A"), "--without-tag: given 'a'"),
        (("--created-from", "2024-02-30"), "--created-from: given '2024-02-30', expected a day such as 2024-01-31"),
        (("--created-from", "2024-02-01", "--created-to", "2024-01-01"), "--created-from: given 2024-02-01"),
        (("--responsible", "ann"), "--responsible: given 'ann', expected the GUID"),
        (("--stage", "-1"), "--stage: given -1"),
        (("--stage", "x"), "--stage"),
        (("--view", "persons"), "--view"),
        (("--text", "Acme, Inc"), "--text: given 'Acme, Inc', expected words without a comma"),
        (("--tags", "x"), "--tags"),
        (("--everything", "--json"), "--json"),
        (("--everything", "-o", "no/such/directory.csv"), "no/such"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_filter_that_cannot_be_used_is_exit_code_2(home: Home, options: tuple[str, ...], told: str) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    result = home.cli("select", "--portal", "main", *options)
    assert (result.code, result.stdout) == (2, "")
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_no_such_portal_is_exit_code_4(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    result = home.cli("select", "--portal", "nowhere", "--everything")
    assert (result.code, result.stdout) == (4, "")


def test_a_portal_that_asks_for_time_gets_it(home: Home, crm: Portal) -> None:
    crm.misbehave(calls=["listing"], fault="unavailable", retry_after_s=1, call_numbers=[2])
    crm.misbehave(calls=["listing"], fault="throttle", call_numbers=[4])
    result = home.cli("select", "--portal", "main", "--everything", "-o", "out.csv")
    assert result.code == 0, result.stderr
    assert len(rows_of((home.directory / "out.csv").read_text())) == CONTACTS - 1
    refused, again = [call["monotonic_s"] for call in crm.calls() if call["kind"] == "listing"][1:3]
    assert again - refused >= 1.0
    assert "trying again in" in result.stderr


def test_a_portal_that_fails_for_good_leaves_no_half_a_file(home: Home, crm: Portal) -> None:
    home.write("out.csv", "precious")
    crm.misbehave(calls=["listing"], fault="error", call_numbers=list(range(2, 50)))
    result = home.cli("select", "--portal", "main", "--everything", "-o", "out.csv")
    assert (result.code, result.stdout) == (5, "")
    assert "out.csv is not written" in result.stderr.splitlines()[-1]
    assert (home.directory / "out.csv").read_text() == "precious"
    assert left_in(home.directory) == ["out.csv"]
    assert listings(crm) == 4


def test_interrupted_it_leaves_no_half_a_file(home: Home, crm: Portal) -> None:
    crm.change(page_limit=10)
    home.configure(main={"url": crm.url, "requests_per_second": 2.0})
    process = home.start("select", "--portal", "main", "--everything", "-o", "out.csv")
    until(lambda: listings(crm) >= 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert left_in(home.directory) == ["select.0.log"]
    assert "interrupted" in (home.directory / "select.0.log").read_text()


def test_wrong_credentials_are_told_at_the_first_call(home: Home, crm: Portal) -> None:
    home.configure(main={"url": crm.url, "token": "wrong"})
    result = home.cli("select", "--portal", "main", "--everything")
    assert result.code == 5
    assert "portal main: portal_auth" in result.stderr
    assert "what was written is not complete" in result.stderr


def test_a_portal_that_is_away_is_exit_code_5(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9", "backoff_base_s": 0.01, "max_attempts": 2})
    result = home.cli("select", "--portal", "main", "--everything", "-o", "out.csv")
    assert (result.code, result.stdout) == (5, "")
    assert "portal_unreachable" in result.stderr.splitlines()[-1]
    assert left_in(home.directory) == []


def test_without_redis_it_paces_itself_and_says_so(home: Home, crm: Portal) -> None:
    crm.change(page_limit=600)
    home.configure(redis="redis://:hush-hush@127.0.0.1:9/0", main={"url": crm.url, "requests_per_second": 4.0})
    result = home.cli("select", "--portal", "main", "--tag", "trash", "-o", "out.csv")
    assert result.code == 0, result.stderr
    assert len(rows_of((home.directory / "out.csv").read_text())) == len(TRASH) - 1
    times = [call["monotonic_s"] for call in crm.calls() if call["kind"] == "listing"]
    assert times[-1] - times[0] > 0.8 * (len(times) - 1) / 4
    told = [line for line in result.stderr.splitlines() if "paced by this command alone" in line]
    assert len(told) == 1
    assert "at most 4 a second" in told[0]
    assert "hush-hush" not in result.stderr


def test_with_redis_its_calls_are_turns_of_the_fleet(home: Home, crm: Portal) -> None:
    home.configure(main={"url": crm.url, "requests_per_second": 4.0})
    crm.change(page_limit=600)
    home.cli("limits", "main", "--requests-per-second", "2")
    result = home.cli("select", "--portal", "main", "--tag", "trash", "-o", "out.csv")
    assert result.code == 0, result.stderr
    times = [call["monotonic_s"] for call in crm.calls() if call["kind"] == "listing"]
    assert times[-1] - times[0] > 0.8 * (len(times) - 1) / 2


def test_a_log_in_is_shared_with_the_workers(home: Home, crm: Portal) -> None:
    home.configure(main={"url": crm.url, "username": "admin@example.com", "password": "simulator-password"})
    for _ in range(2):
        assert home.cli("select", "--portal", "main", "--tag", "vip", "-o", "out.csv").code == 0
    assert sum(call["kind"] == "log_in" for call in crm.calls()) == 1
