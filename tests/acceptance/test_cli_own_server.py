"""`crm-sweep run` and its own server: killed, frozen or out of disk space in the middle of the work."""

import os
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pyroaring import BitMap

from cli.keeper import MOST_RESTARTS
from tests.support.home import PROGRAM, Home, Process, until
from tests.support.one_shot import SLOW, SLOW_SETTINGS, assert_true, leftovers
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]


def server_of(home: Home) -> int:
    """Return the process ID of `run`'s server; 0 while it is being written."""
    return int((home.directory / ".crm-sweep/valkey.pid").read_text() or 0)


def started(home: Home, crm: Portal) -> tuple[Process, tuple[str, ...]]:
    """Start a run; once it has deleted something, return it and its command."""
    home.configure(more="[worker]\nlease_ttl_s = 2", main={"url": crm.url} | SLOW_SETTINGS)
    command = ("run", home.ids(*range(1, 1801)), "--portal", "main", "--yes", "--report", "out.csv")
    process = home.start(*command)
    until(crm.has_committed)
    return process, command


def said(home: Home) -> str:
    return (home.directory / "run.0.log").read_text()


def test_its_server_is_started_again_whenever_it_is_killed_and_the_ledger_is_true(
    home: Home, portal: MakePortal
) -> None:
    crm = portal(*SLOW)
    process, _ = started(home, crm)
    killed = {0}
    for _ in range(3):
        until(lambda: crm.has_committed(4 * len(killed)) and server_of(home) not in killed)
        killed.add(server_of(home))
        os.kill(server_of(home), signal.SIGKILL)
    assert process.wait(60) == 0, said(home)
    assert said(home).count("killed by SIGKILL, as the system does when it runs out of memory; starting it again") == 3
    assert "trying again for" not in said(home)
    assert_true(home.directory / "out.csv", crm, BitMap(range(1, 1801)))
    assert not leftovers(home.directory)


def test_a_server_that_keeps_ending_is_given_up_and_the_same_command_carries_on(home: Home, portal: MakePortal) -> None:
    crm = portal(*SLOW)
    process, command = started(home, crm)
    killed = {0}
    for _ in range(MOST_RESTARTS + 1):
        until(lambda: server_of(home) not in killed)
        killed.add(server_of(home))
        os.kill(server_of(home), signal.SIGKILL)
    assert process.wait(30) == 5
    assert said(home).splitlines()[-1].endswith("then start the same command again: it carries on")
    assert "redis.url" not in said(home)
    assert "Traceback" not in said(home)
    assert home.cli(*command).code == 0
    assert_true(home.directory / "out.csv", crm, BitMap(range(1, 1801)))


def test_a_full_disk_ends_it_with_the_reason_and_the_same_command_carries_on(home: Home, portal: MakePortal) -> None:
    crm = portal(*SLOW)
    process, command = started(home, crm)
    # A limit on the size of files makes every further write fail, as a full disk does, on any machine and for any user.
    room = (home.directory / ".crm-sweep").rglob("*.incr.aof")
    limit = max(file.stat().st_size for file in room)
    for pid in (process.pid, server_of(home)):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, limit))
    assert process.wait(60) == 5
    assert "File too large" in said(home)
    assert said(home).splitlines()[-1].endswith("then start the same command again: it carries on")
    assert "Traceback" not in said(home)
    assert not leftovers(home.directory)
    assert home.cli(*command).code == 0
    assert_true(home.directory / "out.csv", crm, BitMap(range(1, 1801)))


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGINT, 2), (signal.SIGTERM, 1), (signal.SIGTERM, 2), (signal.SIGHUP, 1)]
)
def test_a_signal_ends_it_although_its_server_stands_still(
    home: Home, portal: MakePortal, number: signal.Signals, times: int
) -> None:
    crm = portal(*SLOW)
    process, command = started(home, crm)
    os.kill(server_of(home), signal.SIGSTOP)
    for _ in range(times):
        process.send_signal(number)
        if times == 2:
            until(lambda: "stopping" in said(home) or process.poll() is not None)
    assert process.wait(50) == 130, said(home)
    assert "Traceback" not in said(home)
    assert not leftovers(home.directory)
    assert home.cli(*command).code == 0
    assert_true(home.directory / "out.csv", crm, BitMap(range(1, 1801)))


def test_a_frozen_server_does_not_outlive_a_run_that_is_killed(home: Home, portal: MakePortal) -> None:
    crm = portal(*SLOW)
    process, _ = started(home, crm)
    os.kill(server_of(home), signal.SIGSTOP)
    process.kill()
    process.wait()
    until(lambda: not leftovers(home.directory))


def test_a_demo_starts_its_server_again_as_well(home: Home, tmp_path: Path) -> None:
    with (home.directory / "demo.log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "demo"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.directory,
            env=home.environment(TMPDIR=str(tmp_path)),
        )
    home.running.append(process)
    told = home.directory / "demo.log"
    until(lambda: b"deleted" in told.read_bytes())
    [pid_file] = tmp_path.rglob("valkey.pid")
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    assert process.wait(60) == 0, told.read_text()
    assert "starting it again" in told.read_text()
    assert "agree about all 20,381 contacts" in told.read_text().splitlines()[-1]
