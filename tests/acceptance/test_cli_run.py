"""`crm-sweep run`: a single command without a server, interrupted and killed along the way."""

import json
import signal
from collections.abc import Callable

import pytest
from pyroaring import BitMap

from tests.support.home import Home, until
from tests.support.one_shot import SLOW, SLOW_SETTINGS, assert_true, ledger_of, leftovers
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]


def test_deletes_a_list_and_writes_the_ledger(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 300, "--read-only", 3, "--invoiced", 4, "--missing", 5)
    home.configure(main={"url": crm.url})
    result = home.cli("run", home.ids(*range(1, 251), 1, 2, 3), "--portal", "main", "--report", "out.csv")
    assert result.code == 0, result.stderr
    assert_true(home.directory / "out.csv", crm, BitMap(range(1, 251)))
    assert crm.contacts("deleted").max() <= 250
    assert "completed" in result.stdout
    assert "3 duplicates" in result.stdout
    # Sorted, with a header, and no other file left next to it.
    rows = (home.directory / "out.csv").read_text().splitlines()
    assert rows[0] == "contact_id,outcome,reason,http_status,attempts,at"
    assert [int(row.split(",")[0]) for row in rows[1:]] == list(range(1, 251))
    assert sorted(path.name for path in home.directory.iterdir()) == [
        ".crm-sweep",
        "crm-sweep.toml",
        "ids.txt",
        "out.csv",
    ]
    assert "simulator-token" not in result.stdout + result.stderr
    assert "simulator-token" not in (home.directory / ".crm-sweep/worker.log").read_text()


def test_started_again_after_its_end_prints_the_same_and_deletes_nothing(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url})
    first = home.cli("run", home.ids(*range(1, 51)), "--portal", "main", "--report", "a.csv", "--json")
    calls = crm.summary()["calls"]
    crm.process.kill()  # the portal must not be called any more
    # The same set in another order and form is the same list.
    backwards = home.write("again.json", json.dumps([*range(50, 0, -1), 7]))
    again = home.cli("run", backwards, "--portal", "main", "--report", "b.csv", "--json")
    assert (first.code, again.code) == (0, 0), again.stderr
    assert first.stdout == again.stdout
    assert (home.directory / "a.csv").read_bytes() == (home.directory / "b.csv").read_bytes()
    job = json.loads(first.stdout)
    assert (job["state"], job["counts"]["deleted"], job["total"]) == ("completed", 50, 50)
    assert calls >= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_interrupted_it_records_what_is_in_flight_and_carries_on(
    home: Home, portal: MakePortal, number: signal.Signals
) -> None:
    crm = portal(*SLOW)
    home.configure(main={"url": crm.url} | SLOW_SETTINGS)
    command = ("run", home.ids(*range(1, 1801)), "--portal", "main", "--yes", "--report", "out.csv")
    process = home.start(*command)
    until(lambda: crm.has_committed(2))
    process.send_signal(number)
    assert process.wait(30) == 130
    said = (home.directory / "run.0.log").read_text()
    assert "the same command carries on" in said
    assert "Traceback" not in said
    assert not (home.directory / "out.csv").exists()
    assert not leftovers(home.directory)
    before = crm.contacts("deleted")
    assert 0 < len(before) < 1700
    # Drained, not dropped: every call that deleted was answered and recorded, so nothing is sent twice.
    result = home.cli(*[part for part in command if part != "--yes"])
    assert result.code == 0, result.stderr
    assert "carrying on" in result.stderr
    assert_true(home.directory / "out.csv", crm, BitMap(range(1, 1801)))
    assert "presumed_deleted" not in ledger_of(home.directory / "out.csv")
    assert not crm.contacts("sent_again")


def test_killed_outright_it_carries_on_and_the_ledger_is_true(home: Home, portal: MakePortal) -> None:
    crm = portal(*SLOW)
    home.configure(more="[worker]\nlease_ttl_s = 2", main={"url": crm.url} | SLOW_SETTINGS)
    command = ("run", home.ids(*range(1, 1801)), "--portal", "main", "--yes", "--report", "out.csv")
    process = home.start(*command)
    until(lambda: crm.has_committed(3))
    process.kill()
    process.wait()
    until(lambda: not leftovers(home.directory))  # the embedded server goes with it
    result = home.cli(*command)
    assert result.code == 0, result.stderr
    assert_true(home.directory / "out.csv", crm, BitMap(range(1, 1801)))
    assert not leftovers(home.directory)


def test_two_at_once_in_one_state_directory_are_refused(home: Home, portal: MakePortal) -> None:
    crm = portal(*SLOW)
    home.configure(main={"url": crm.url} | SLOW_SETTINGS)
    home.start("run", home.ids(*range(1, 1801)), "--portal", "main", "--yes")
    until(crm.has_committed)
    crm.process.send_signal(signal.SIGSTOP)  # so that the first one cannot end in the meantime
    try:
        result = home.cli("run", "ids.txt", "--portal", "main", "--yes")
    finally:
        crm.process.send_signal(signal.SIGCONT)
    assert result.code == 5
    assert "in use by another" in result.stderr


def test_a_wrong_token_stops_it_and_the_right_one_lets_it_go_on(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url, "token": "wrong-secret-token"})
    command = ("run", home.ids(*range(1, 51)), "--portal", "main", "--report", "out.csv")
    stopped = home.cli(*command)
    assert stopped.code == 5
    assert "portal_auth" in stopped.stderr
    assert "start the same command again" in stopped.stderr
    assert "wrong-secret-token" not in stopped.stderr + stopped.stdout
    assert ledger_of(home.directory / "out.csv") == {"pending": BitMap(range(1, 51))}
    home.configure(main={"url": crm.url})
    assert home.cli(*command).code == 0
    assert ledger_of(home.directory / "out.csv") == {"deleted": BitMap(range(1, 51))}


def test_a_portal_that_never_answered_is_given_up_and_found_again_later(home: Home, portal: MakePortal) -> None:
    home.configure(main={"url": "http://127.0.0.1:9", "backoff_base_s": 0.5})
    result = home.cli("run", home.ids(1, 2), "--portal", "main")
    assert result.code == 5
    assert "portal_unreachable" in result.stderr
    crm = portal("--contacts", 10)
    home.configure(main={"url": crm.url})
    assert home.cli("run", "ids.txt", "--portal", "main").code == 0
    assert crm.contacts("deleted") == BitMap([1, 2])


def test_contacts_that_are_given_up_make_exit_code_3(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 400, "--poisoned", 1)
    home.configure(main={"url": crm.url, "max_attempts": 1, "backoff_base_s": 0.01})
    result = home.cli("run", home.ids(*range(1, 401)), "--portal", "main", "--report", "out.csv")
    assert result.code == 3, result.stderr
    outcomes = ledger_of(home.directory / "out.csv")
    assert outcomes["failed"] == crm.contacts("poisoned")
    assert outcomes["failed"] <= crm.contacts("alive")


@pytest.mark.parametrize(
    ("protected", "to_do"),
    [
        ("", "there are no contact IDs in the input; remove the setting if nothing is to be protected"),
        ("Kontakt,x\n5,a\n", "contact IDs may be in 'Kontakt'; rename the column of the contact ID to id"),
        ("5,a\n6,b\n", "put a header line before the rows, with id as the name of the column of the contact ID"),
    ],
)
def test_a_protected_list_that_cannot_be_read_is_told_before_there_is_a_job(
    home: Home, protected: str, to_do: str
) -> None:
    home.configure(main={"url": "http://127.0.0.1:9", "protected_ids_file": home.write("keep.csv", protected)})
    result = home.cli("run", home.ids(1, 2), "--portal", "main")
    assert result.code == 2
    assert to_do in result.stderr
    assert not (home.directory / ".crm-sweep").exists()


def test_a_protected_list_that_cannot_be_read_any_more_hides_no_finished_run(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 20)
    home.configure(main={"url": crm.url, "protected_ids_file": home.write("keep.csv", "id\n3\n")})
    command = ("run", home.ids(1, 2, 3), "--portal", "main", "--json", "--report")
    first = home.cli(*command, "a.csv")
    home.configure(main={"url": crm.url, "protected_ids_file": home.write("keep.csv", "")})
    again = home.cli(*command, "b.csv")
    assert (first.code, again.code) == (0, 0), again.stderr
    assert first.stdout == again.stdout
    assert (home.directory / "a.csv").read_bytes() == (home.directory / "b.csv").read_bytes()


def test_a_protected_list_that_cannot_be_read_holds_every_other_job_of_the_state_directory(
    home: Home, portal: MakePortal
) -> None:
    crm = portal("--contacts", 20)
    home.configure(main={"url": crm.url})
    assert home.cli("run", home.ids(1), "--portal", "main").code == 0
    home.configure(main={"url": crm.url, "protected_ids_file": home.write("keep.csv", "")})
    result = home.cli("run", home.ids(2), "--portal", "main")
    assert result.code == 2
    assert "keep.csv: there are no contact IDs in the input" in " ".join(result.stderr.split())
    # It was reported before there was a job: with another list, this is where one begins.
    home.configure(main={"url": crm.url})
    result = home.cli("run", "ids.txt", "--portal", "main")
    assert result.code == 0
    assert "carrying on" not in result.stderr
    assert crm.contacts("sent") == BitMap([1, 2])


def test_protected_contacts_are_never_sent(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 20)
    home.configure(main={"url": crm.url, "protected_ids_file": home.write("keep.csv", "id\n3\n4\n")})
    assert home.cli("run", home.ids(1, 2, 3), "--portal", "main", "--report", "out.csv").code == 0
    assert ledger_of(home.directory / "out.csv") == {"deleted": BitMap([1, 2]), "protected": BitMap([3])}
    assert crm.contacts("sent") == BitMap([1, 2])


def test_a_report_that_cannot_be_written_is_found_before_anything_is_deleted(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 20)
    home.configure(main={"url": crm.url})
    result = home.cli("run", home.ids(1), "--portal", "main", "--report", "no/such/out.csv")
    assert result.code == 2
    assert not crm.contacts("sent")
