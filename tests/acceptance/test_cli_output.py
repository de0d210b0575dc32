"""What a command has done is reported as done, even if its output cannot be written."""

import json
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.home import PROGRAM, TIMEOUT_S, Home, Result
from tests.support.one_shot import ledger_of
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]

FULL, CLOSED, GONE = "on a full disk", "closed", "without a reader"


@pytest.fixture
def queued(home: Home) -> Home:
    """Set up a home where jobs can be queued, but no worker runs."""
    home.configure(main={"url": "http://127.0.0.1:9"})
    return home


def told(home: Home, command: str, where: str) -> Result:
    """Run a command whose standard output cannot be written."""
    if where == FULL:
        with Path("/dev/full").open("wb") as full:
            result = home.cli(*command.split(), stdout=full)
    elif where == GONE:
        # The reader is certain to be gone before the first byte is written.
        reading, writing = os.pipe()
        os.close(reading)
        result = home.cli(*command.split(), stdout=writing)
        os.close(writing)
    else:
        done = subprocess.run(
            ["/bin/sh", "-c", f"exec {PROGRAM} {command} >&-"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=home.directory,
            env=home.environment(),
            timeout=TIMEOUT_S,
            check=False,
        )
        result = Result(done.returncode, "", done.stderr.decode())
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
    return result


@pytest.mark.parametrize(("where", "form"), [(FULL, ""), (FULL, " --json"), (CLOSED, ""), (GONE, "")])
def test_a_job_that_is_queued_is_told_as_queued(queued: Home, where: str, form: str) -> None:
    result = told(queued, f"submit {queued.ids(1, 2)} --portal main{form}", where)
    assert result.code == (1 if where == FULL else 0)
    [job] = json.loads(queued.cli("list", "--json").stdout)["jobs"]
    [said] = [line for line in result.stderr.splitlines() if "could not be written to standard output" in line]
    assert f"job {job['id']} is queued; its {'JSON' if form else 'ID'} could not be" in said
    reason = {FULL: "No space left on device", CLOSED: "it is closed", GONE: "the reader is gone"}[where]
    assert said.endswith(reason)


@pytest.mark.parametrize(
    ("where", "command"), [(FULL, "pause {}"), (CLOSED, "priority {} urgent"), (GONE, "cancel {}")]
)
def test_what_was_done_to_a_job_is_told(queued: Home, where: str, command: str) -> None:
    job_id = queued.submit("main", 1)
    result = told(queued, command.format(job_id), where)
    assert result.code == (1 if where == FULL else 0)
    assert f"job {job_id} is " in result.stderr
    [action] = queued.job(job_id)["actions"][-1:]
    assert action["action"] == command.partition(" ")[0]


@pytest.mark.parametrize(("where", "form"), [(FULL, ""), (CLOSED, " --json")])
def test_limits_that_are_set_are_told_as_set(queued: Home, where: str, form: str) -> None:
    result = told(queued, f"limits main --requests-per-second 2.5{form}", where)
    assert result.code == (1 if where == FULL else 0)
    assert "the limits are set (main: at most 2.5 calls/s" in result.stderr


@pytest.mark.parametrize("command", ["status {} --json", "list", "results {}"])
def test_a_view_that_cannot_be_written_is_not_bad_usage(queued: Home, command: str) -> None:
    job_id = queued.submit("main", *range(1, 20_001))
    result = told(queued, command.format(job_id), FULL)
    assert result.code == 1
    assert result.stderr.splitlines()[-1] == ("crm-sweep: standard output cannot be written: No space left on device")
    assert told(queued, command.format(job_id), GONE).code == 0
    assert told(queued, command.format(job_id), CLOSED).code == 0


def test_results_on_a_full_disk_leave_an_older_file_alone(queued: Home) -> None:
    job_id = queued.submit("main", *range(1, 20_001))
    assert queued.cli("results", job_id, "-o", "/dev/full").code == 1
    queued.write("out.csv", "precious")
    # A limit on the size of files acts like a full disk, on any machine and for any user.
    process = subprocess.Popen(
        [PROGRAM, "results", job_id, "-o", "out.csv"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=queued.directory,
        env=queued.environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),  # noqa: PLW1509 - no threads here
    )
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert errors.decode() == "crm-sweep: out.csv cannot be written: File too large\n"
    assert (queued.directory / "out.csv").read_text() == "precious"
    assert len(list(queued.directory.glob(".out*"))) == 0


@pytest.mark.parametrize("form", ["", " --json"])
def test_a_run_that_is_done_is_told_as_done_and_the_same_command_writes_its_report(
    home: Home, portal: MakePortal, form: str
) -> None:
    crm = portal("--contacts", 50)
    home.configure(main={"url": crm.url})
    command = f"run {home.ids(*range(1, 21))} --portal main{form}"
    lost = told(home, f"{command} --report /dev/full", FULL)
    assert lost.code == 1
    assert "is completed; its " in lost.stderr
    assert len(crm.contacts("deleted")) == 20
    calls = crm.summary()["calls"]
    again = home.cli(*command.split(), "--report", "/dev/full")
    assert again.code == 1
    assert "is completed; /dev/full cannot be written: No space left on device" in again.stderr
    assert "deleted" in again.stdout, "at least the summary is there"
    assert home.cli(*command.split(), "--report", "out.csv").code == 0
    assert crm.summary()["calls"] == calls
    assert len(ledger_of(home.directory / "out.csv")["deleted"]) == 20


def test_nothing_is_wrong_when_notes_cannot_be_written(queued: Home) -> None:
    result = queued.cli("submit", queued.ids(1), "--portal", "main")
    assert result.code == 0
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {PROGRAM} submit ids.txt --portal main 2>/dev/full"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=queued.directory,
        env=queued.environment(),
        check=False,
    )
    assert done.returncode == 0
    assert len(done.stdout.split()) == 1
