"""`crm-sweep restore` as users have it: with a worker's bundles, a terminal or none, signals, and two at once."""

import csv
import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.support.bundles import KEY_FILE, PUBLIC_KEY
from tests.support.home import PROGRAM, Home, until
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]

#: Members of the true record of a contact that are not shown with it, or that no call sets, or that name a contact.
NOT_COMPARED = {
    "id",
    "alive",
    "created_by",
    "industry",
    "currency",
    "type",
    "modified",
    "access",
    "company_id",
    "persons",
}


def job_of(home: Home, portal: Portal, ids: range, **settings: Any) -> str:
    """Let a worker delete contacts that a bundle keeps, and return the job's ID."""
    undo = {"undo": "required", "undo_store": "bundles", "undo_recipients": [PUBLIC_KEY]}
    quick = {"requests_per_second": 1000.0, "burst": 50, "late_commit_s": 1.5, "request_timeout_s": 2.0}
    home.configure(main={"url": portal.url, **undo, **quick, **settings}, more="[worker]\nlease_ttl_s = 2.0\n")
    (home.directory / "bundles").mkdir()
    home.write("undo-key.txt", KEY_FILE)
    worker = home.start("worker")
    job_id = home.submit("main", *ids)
    home.until_in(job_id, "completed")
    worker.send_signal(signal.SIGTERM)
    worker.wait(30)
    return job_id


def report_of(home: Home, name: str = "restored.csv") -> dict[int, dict[str, str]]:
    with (home.directory / name).open() as file:
        return {int(row["old_id"]): row for row in csv.DictReader(file)}


def created(portal: Portal) -> list[int]:
    """Return the contacts that calls have created."""
    return [one["contact_id"] for one in portal._ask(lambda client: client.creations())]


def has_created(portal: Portal, count: int) -> bool:
    return len(created(portal)) >= count


def on_terminal(home: Home, *arguments: str, typed: str) -> tuple[int, str]:
    """Run a command on a terminal where somebody types; return its exit code and what it said."""
    master, terminal = pty.openpty()
    try:
        command = [PROGRAM, *arguments]
        with subprocess.Popen(
            command, stdin=terminal, stderr=subprocess.PIPE, cwd=home.directory, env=home.environment()
        ) as process:
            os.write(master, typed.encode())
            _, said = process.communicate(timeout=60)
        return process.returncode, said.decode()
    finally:
        os.close(master)
        os.close(terminal)


def assert_restored(home: Home, portal: Portal, before: dict[int, dict[str, Any]]) -> None:
    """Check that the report and the portal agree, and that nothing that is shown is missing."""
    rows = report_of(home)
    assert sorted(rows) == sorted(before)
    assert {row["outcome"] for row in rows.values()} == {"created"}
    new_ids = {old_id: int(row["new_id"]) for old_id, row in rows.items()}
    assert sorted(new_ids.values()) == sorted(created(portal))
    after = portal._ask(lambda client: client.records(new_ids.values()))
    for old_id, new_id in new_ids.items():
        old, new = before[old_id], after[new_id]
        assert {name for name in old.keys() - NOT_COMPARED if old[name] != new[name]} == set(), old_id
        company = old["company_id"]
        assert new["company_id"] == (new_ids.get(company, company) if company else company)


def test_contacts_of_every_kind_come_back(home: Home, portal: MakePortal) -> None:
    target = portal("--contacts", 200, "--varied")
    before = target._ask(lambda client: client.records(range(1, 121)))
    job_id = job_of(home, target, range(1, 121))
    assert not created(target)

    plan = home.cli("restore", job_id, "--identity", "undo-key.txt", "--dry-run", "--report", "plan.csv")
    assert plan.code == 0, plan.stderr
    assert f"Restore of job {job_id} in portal main" in plan.stderr
    assert "industry of " in plan.stderr
    assert plan.stdout.startswith(f"job {job_id}: 0 created, 120 pending (")
    assert {row["outcome"] for row in report_of(home, "plan.csv").values()} == {"pending"}
    assert not created(target)

    done = home.cli("restore", job_id, "--identity", "undo-key.txt", "--report", "restored.csv", "--json")
    assert done.code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["created"], told["pending"], told["failed"], told["plan"]["contacts"]) == (120, 0, 0, 120)
    assert_restored(home, target, before)
    written = report_of(home)
    assert {old_id: row["lost"] for old_id, row in report_of(home, "plan.csv").items()} == {
        old_id: row["lost"] for old_id, row in written.items()
    }

    assert "120 records kept until " in (shown := home.cli("status", job_id).stdout)
    assert "; every deleted contact is restored\n" in shown

    again = home.cli("restore", job_id, "--identity", "undo-key.txt", "--report", "restored.csv")
    assert again.code == 0
    assert again.stdout.startswith(f"job {job_id}: 120 created (")
    assert report_of(home) == written
    assert len(created(target)) == 120


def test_mistakes_are_told_before_anything_is_created(home: Home, portal: MakePortal) -> None:
    target = portal("--contacts", 40)
    job_id = job_of(home, target, range(1, 21), approval_above=20)
    waiting = home.submit("main", *range(1, 41))
    other = home.submit("main", 30)
    home.write("other.key", "AGE-SECRET-KEY-1")
    home.cli("keys", "new", "undo", "-o", "another.key")
    home.write("list.txt", "7\n8\n99\n")
    home.write("bad.txt", "7\nseven\n")
    mistakes = {
        ("restore", "no-such-job", "--identity", "undo-key.txt"): (4, "no-such-job"),
        ("restore", job_id, "--identity", "missing.key"): (2, "missing.key cannot be read"),
        ("restore", job_id, "--identity", "other.key"): (2, "--identity: other.key: expected a file of lines"),
        ("restore", other, "--identity", "undo-key.txt"): (
            2,
            "is queued: pause or cancel it first; nothing was created",
        ),
        ("restore", job_id, "--identity", "undo-key.txt", "--only", "ids.txt"): (2, "there is nothing to restore"),
        ("restore", waiting, "--identity", "undo-key.txt"): (2, "it has deleted nothing yet"),
        ("restore", job_id, "--identity", "another.key"): (2, "this key; --identity takes the private key of one of"),
        ("restore", job_id, "--identity", "undo-key.txt", "--only", "bad.txt"): (
            2,
            "nothing was created; correct the list\n",
        ),
    }
    for command, (code, message) in mistakes.items():
        result = home.cli(*command)
        assert (result.code, message in result.stderr) == (code, True), result.stderr
    # Anybody can encrypt to a public key: a manifest that somebody else has put into the store is not believed.
    [manifest] = (home.directory / "bundles").rglob("manifest.json")
    written = manifest.read_bytes()
    manifest.write_bytes(written + b"\n")
    result = home.cli("restore", job_id, "--identity", "undo-key.txt")
    assert (result.code, "is not the one that was written; bring it back from a copy" in result.stderr) == (2, True)
    manifest.write_bytes(written)
    assert not created(target)
    some = home.cli("restore", job_id, "--identity", "undo-key.txt", "--only", "list.txt")
    assert some.code == 0, some.stderr
    assert len(created(target)) == 2


def test_many_are_asked_about_and_a_portal_that_is_stopped_or_away_is_told(home: Home, portal: MakePortal) -> None:
    target = portal("--contacts", 40)
    job_id = job_of(home, target, range(1, 21), max_attempts=2, backoff_base_s=0.05)
    text = (home.directory / "crm-sweep.toml").read_text()
    home.write("crm-sweep.toml", f"confirm_above = 10\n{text}")
    asked = home.cli("restore", job_id, "--identity", "undo-key.txt")
    assert asked.code == 2
    assert "this creates 20 contacts in portal main: without a terminal to ask at, --yes is needed" in asked.stderr
    code, said = on_terminal(home, "restore", job_id, "--identity", "undo-key.txt", typed="21\n")
    assert (code, "Type the number of contacts to go ahead: " in said, "that is not 20" in said) == (2, True, True)
    assert not created(target)
    code, said = on_terminal(home, "restore", job_id, "--identity", "undo-key.txt", typed="20\n")
    assert code == 0, said
    assert len(created(target)) == 20
    assert home.cli("stop", "--portal", "main").code == 0
    stopped = home.cli("restore", job_id, "--identity", "undo-key.txt", "--yes")
    assert stopped.code == 1, stopped.stderr
    assert "`crm-sweep start` lets calls go on; nothing was created" in stopped.stderr
    assert home.cli("start", "--portal", "main").code == 0
    target.process.kill()
    target.process.wait()
    away = home.cli("restore", job_id, "--identity", "undo-key.txt", "--yes")
    assert away.code == 5, away.stderr
    assert "portal_unreachable" in away.stderr


@pytest.mark.timeout(180)
def test_killed_interrupted_and_under_fire_each_contact_comes_back_once(home: Home, portal: MakePortal) -> None:
    target = portal("--contacts", 40, "--varied")
    before = target._ask(lambda client: client.records(range(1, 25)))
    job_id = job_of(home, target, range(1, 25))
    command = ("restore", job_id, "--identity", "undo-key.txt", "--report", "restored.csv")
    creating = ["create_person", "create_company"]
    target.misbehave(fault="error", status=500, when="after", calls=["*"], rate=0.1)
    target.misbehave(fault="reset", when="after", calls=creating, rate=0.15)
    target.misbehave(fault="late", delay_s=2.5, calls=creating, next_calls=1)
    target.change(base_ms=25)

    killed = home.start(*command)
    until(partial(has_created, target, 6))
    killed.kill()
    killed.wait()

    first = home.start(*command)
    until(partial(has_created, target, 10))
    second = home.cli(*command)
    assert second.code == 2, second.stderr
    assert f"job {job_id} is being restored by " in second.stderr
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == 130
    log = (home.directory / f"restore.{home.running.index(first)}.log").read_text()
    assert "the same command carries on" in log
    rows = report_of(home)
    assert {row["outcome"] for row in rows.values()} == {"created", "pending"}

    last = home.cli(*command)
    assert last.code == 0, last.stderr
    assert_restored(home, target, before)


def test_what_was_deleted_without_a_server_comes_back_without_one(home: Home, portal: MakePortal) -> None:
    target = portal("--contacts", 40, "--varied")
    before = target._ask(lambda client: client.records(range(1, 21)))
    undo = {"undo": "optional", "undo_store": "bundles", "undo_recipients": [PUBLIC_KEY]}
    home.configure(redis="redis://127.0.0.1:1/0", main={"url": target.url, "requests_per_second": 1000.0, **undo})
    (home.directory / "bundles").mkdir()
    home.write("undo-key.txt", KEY_FILE)
    ran = home.cli("run", home.ids(*range(1, 21)), "--portal", "main", "--undo", "--yes", "--json")
    assert ran.code == 0, ran.stderr
    job_id = json.loads(ran.stdout)["id"]
    command = ("restore", job_id, "--identity", "undo-key.txt", "--report", "restored.csv")
    assert home.cli(*command, "--state-dir", "elsewhere").code == 2
    done = home.cli(*command, "--state-dir", ".crm-sweep")
    assert done.code == 0, done.stderr
    assert_restored(home, target, before)
