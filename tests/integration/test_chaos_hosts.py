"""Chaos with hosts: hosts are parted and slowed down as told, a small run agrees, and one without replicas is caught.

Where no network namespaces are allowed, the tests that need them are skipped with what the system said; those on
loopback tell the same story everywhere, with what needs no hosts.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.hosts.loopback import Loopback
from chaos.hosts.namespaces import NoNamespaces, find_way_in
from chaos.hosts.network import HostsError, pairs
from tests.support.chaos_run import chaos_run
from tests.support.network_trial import DELAY_MS
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
SMALL = ("chaos.hosts", "--workers", "2", "--seed", "11", "--faults", "0", "--no-asides")
SOON = ("--minutes", "2", "--failovers")


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skip where no hosts can be made, and say why."""
    try:
        find_way_in()
    except NoNamespaces as error:
        pytest.skip(f"no network namespaces here: {error}")


async def result_of(*options: str) -> tuple[int | None, str]:
    async with chaos_run(*SMALL, *options) as run:
        told, said = await asyncio.wait_for(run.communicate(), 150)
    return run.returncode, told.decode() + said.decode()


def told_by(module: str) -> Any:
    """Run a module of ours that tells something as JSON."""
    trial = subprocess.run([sys.executable, "-m", module], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(trial.stdout)


@pytest.mark.usefixtures("namespaces")
def test_hosts_are_cut_off_and_slowed_down_and_no_others_notice() -> None:
    took_s = told_by("tests.support.network_trial")
    ways = {"a-b", "b-a", "a-c", "c-a", "b-c", "c-b"}
    silent = {phase: {way for way, seconds in told.items() if seconds is None} for phase, told in took_s.items()}
    assert silent == {
        "before": set(),
        "cut": {"a-b", "b-a"},
        "cut off": ways - {"b-c", "c-b"},
        "slowed": set(),
        "after": set(),
    }
    late = {way for way, seconds in took_s["slowed"].items() if seconds > 2 * DELAY_MS / 1000}
    assert {"a-b", "b-a"} <= late
    assert min(took_s["slowed"][way] for way in ways - {"a-b", "b-a"}) < 2 * DELAY_MS / 1000


@pytest.mark.usefixtures("namespaces")
def test_a_put_that_timed_out_in_a_broken_network_does_not_arrive_once_it_is_repaired() -> None:
    assert told_by("tests.support.late_put") == [1, 3]


def test_hosts_on_loopback_say_that_they_cannot_be_parted() -> None:
    network = Loopback(["a", "b"])
    assert not network.can_part
    with pytest.raises(HostsError, match="cannot be parted"):
        network.cut(pairs("a", "b"))
    with pytest.raises(HostsError, match="cannot be slowed down"):
        network.slowed(pairs("a", "b"), 10)


async def test_without_namespaces_it_says_what_to_do() -> None:
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *SMALL, cwd=ROOT, stderr=subprocess.PIPE, env={**os.environ, "PATH": "/nowhere"}
    )
    _, said = await run.communicate()
    assert run.returncode == 2
    assert b"no hosts can be made here: unshare is not installed" in said
    assert b"--loopback" in said


@pytest.mark.usefixtures("namespaces")
@pytest.mark.timeout(200)  # usually 40 s
async def test_a_small_run_with_parted_hosts_agrees() -> None:
    code, said = await result_of(*SOON, "2", "--acts", "cut-off-primary-with-a-worker", "promote-by-hand")
    assert code == 0, said
    assert "agree about every contact, and every promise stands" in said
    assert re.search(r"\| fail-overs \| [2-9] \|", said)


@pytest.mark.timeout(200)  # usually 30 s
async def test_a_small_run_on_loopback_agrees() -> None:
    code, said = await result_of("--loopback", *SOON, "1", "--acts", "kill-primary")
    assert code == 0, said
    assert "agree about every contact, and every promise stands" in said


@pytest.mark.timeout(200)  # usually 30 s
async def test_claims_that_no_replica_has_are_found_out_as_lies() -> None:
    lossy = ("--min-replicas", "0", "--acts", "kill-primary-whose-replicas-lag")
    code, said = await result_of("--loopback", *SOON, "1", *lossy)
    assert code == 1, said
    assert "deleted by us, and no ledger says so" in said or "was accepted, and is unknown" in said


@pytest.mark.usefixtures("namespaces")
async def test_a_run_that_is_killed_leaves_no_process_and_no_host() -> None:
    async with chaos_run(*SMALL, "--minutes", "5") as run:
        assert run.stderr is not None
        await asyncio.wait_for(run.stderr.readline(), 30)

        async def started() -> list[psutil.Process]:
            children = psutil.Process(run.pid).children(recursive=True)
            return children if sum("valkey-server" in child.name() for child in children) >= 3 else []

        children = await until(started, timeout_s=60)
        assert not [name for name in psutil.net_if_addrs() if name.startswith("crm-")]  # only inside
        os.kill(run.pid, signal.SIGKILL)
        await asyncio.wait_for(run.communicate(), 60)

    async def over() -> bool:
        return not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)

    await until(over, timeout_s=30)  # and with the last of them its network
