"""Every long-running command ends when told to, including as process 1 of a container, and under `nohup`."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.home import PROGRAM, Home, Process, until
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]


@pytest.fixture
def home(home: Home) -> Home:
    """Set up a home whose commands are new processes, with the handlers that a start sets."""
    home.from_scratch = True
    return home


def caught_by(pid: int) -> set[int]:
    """Return the signals that a process has handlers for: process 1 reacts to no others."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt")]
    mask = int(line.split()[1], 16)
    return {number for number in range(1, 32) if mask >> (number - 1) & 1}


def test_watch_ends_on_sigterm_as_on_ctrl_c(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    job_id = home.submit("main", 1)
    watching = home.start("watch", job_id)
    log = home.directory / "watch.0.log"
    until(lambda: b"queued" in log.read_bytes())
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= caught_by(watching.pid)
    watching.send_signal(signal.SIGTERM)
    assert watching.wait(30) == 130
    assert log.read_text().splitlines()[-1] == "crm-sweep: interrupted"
    assert home.state(job_id) == "queued"


def test_services_and_runs_have_handlers_for_what_ends_them(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 2000, "--base-ms", 1000)
    home.configure(main={"url": crm.url})
    command = ("run", home.ids(*range(1, 1001)), "--portal", "main")
    lasting = {"worker": ("worker",), "api": ("api", "--port", "0"), "simulator": ("simulator",), "run": command}
    for name, arguments in lasting.items():
        log = home.directory / f"{name}.{len(home.running)}.log"
        process = home.start(*arguments)
        wait_until_at_work(name, process, log, crm)
        process.send_signal(signal.SIGHUP)
        assert process.wait(30) in {0, 130}, name
        assert "Traceback" not in log.read_text()


def wait_until_at_work(name: str, process: Process, log: Path, crm: Portal) -> None:
    until(lambda: {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= caught_by(process.pid))
    until(crm.has_committed if name == "run" else lambda: log.stat().st_size)


def test_watch_ends_on_sigterm_as_process_1_where_the_system_lets_us_try(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    job_id = home.submit("main", 1)
    unshare = [shutil.which("unshare") or "unshare", "--pid", "--fork", "--kill-child"]
    allowed = (
        shutil.which("unshare") and not subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode
    )
    # Elsewhere only the handlers decide, and they are checked above.
    command = [*(unshare if allowed else []), PROGRAM, "watch", job_id]
    log = home.directory / "watch.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=home.directory, env=home.environment()
        )
    home.running.append(process)
    until(lambda: b"queued" in log.read_bytes())
    [first] = psutil.Process(process.pid).children() if allowed else [psutil.Process(process.pid)]
    first.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    assert "crm-sweep: interrupted" in log.read_text()


def test_under_nohup_a_closed_terminal_does_not_end_it_and_sigterm_does(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    job_id = home.submit("main", 1)
    log = home.directory / "watch.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/usr/bin/env", "nohup", PROGRAM, "watch", job_id],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=home.directory,
            env=home.environment(),
        )
    home.running.append(process)
    until(lambda: b"queued" in log.read_bytes())
    os.kill(process.pid, signal.SIGHUP)
    assert signal.SIGHUP not in caught_by(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130


def test_a_signal_that_comes_while_the_program_loads_ends_it_without_a_traceback(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    process = home.start("api", "--port", "0")
    until(lambda: signal.SIGTERM in caught_by(process.pid))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) in {0, 130}
    assert "Traceback" not in (home.directory / "api.0.log").read_text()
