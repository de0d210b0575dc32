"""`crm-sweep run` and what a user has to fix: it ends immediately, says so once, and tries again when restarted."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from jobs.accept.submit import submit
from jobs.store.connection import connect
from jobs.words.priority import Priority
from tests.support.home import Home, Result, until
from tests.support.portal_process import Portal
from tests.support.submitting import request

MakePortal = Callable[..., Portal]

GO_ON = "start the same command again"


def run(home: Home, name: str, ids: range, *more: str) -> Result:
    """Run a list; a command that hangs is ended and fails the test."""
    home.write(name, "".join(f"{one}\n" for one in ids))
    return home.cli("run", name, "--portal", "main", *more)


def stopped(result: Result, reason: str, to_do: str) -> None:
    """Check that it ended with 5, and said once what is wrong and once what to do."""
    assert result.code == 5, result.stderr
    for said in (reason, to_do, GO_ON):
        assert result.stderr.count(said) == 1, result.stderr


def test_another_list_ends_at_once_while_the_token_is_wrong(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url, "token": "wrong-secret-token"})
    for name, ids in (("one.txt", range(1, 21)), ("two.txt", range(21, 41)), ("one.txt", range(1, 21))):
        result = run(home, name, ids)
        stopped(result, "portal_auth", "replace the portal's token")
        assert "wrong-secret-token" not in result.stderr + result.stdout
    assert crm.summary()["calls"] <= 3


@pytest.mark.parametrize("first", ["the list that met it", "another list"])
def test_with_the_right_token_every_list_goes_on_at_once(home: Home, portal: MakePortal, first: str) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url, "token": "wrong"})
    assert run(home, "one.txt", range(1, 21)).code == 5
    home.configure(main={"url": crm.url})
    lists = [("one.txt", range(1, 21)), ("two.txt", range(21, 41))]
    for name, ids in lists if first == "the list that met it" else lists[::-1]:
        result = run(home, name, ids)
        assert result.code == 0, result.stderr
    assert crm.contacts("deleted") == BitMap(range(1, 41))


def test_a_corrected_password_works_at_once_for_every_list(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    log_in: dict[str, object] = {"url": crm.url, "username": "admin@example.com"}
    home.configure(main=log_in | {"password": "wrong-secret"})
    result = run(home, "one.txt", range(1, 21))
    stopped(result, "portal_auth", "correct them")
    again = run(home, "two.txt", range(21, 41))
    stopped(again, "portal_auth", "not tried again for")
    assert "wrong-secret" not in result.stderr + again.stderr
    home.configure(main=log_in | {"password": "simulator-password"})
    for name, ids in (("two.txt", range(21, 41)), ("one.txt", range(1, 21))):
        assert run(home, name, ids).code == 0
    assert crm.contacts("deleted") == BitMap(range(1, 41))


WRONG_AT_THE_PORTAL: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "portal_payment": ({"unpaid": "licence"}, {"unpaid": ""}, "renew its licence"),
    "portal_forbidden": ({"module_denied": True}, {"module_denied": False}, "grant it access"),
    "portal_protocol": ({"suspended": True}, {"suspended": False}, "check the portal's url"),
}


@pytest.mark.parametrize("reason", WRONG_AT_THE_PORTAL)
def test_what_was_fixed_at_the_portal_needs_no_other_configuration(home: Home, portal: MakePortal, reason: str) -> None:
    broken, mended, to_do = WRONG_AT_THE_PORTAL[reason]
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url})
    crm.change(**broken)
    for name, ids in (("one.txt", range(1, 21)), ("two.txt", range(21, 41))):
        stopped(run(home, name, ids), reason, to_do)
    crm.change(**mended)
    for name, ids in (("three.txt", range(41, 61)), ("one.txt", range(1, 21)), ("two.txt", range(21, 41))):
        assert run(home, name, ids).code == 0
    assert crm.contacts("deleted") == BitMap(range(1, 61))


def leave_jobs_behind(home: Home, **lists: range) -> None:
    """Leave jobs in the state directory that are served first and have not ended, as after a crash."""

    async def leave(server: EmbeddedServer) -> None:
        redis = connect(server.url)
        for job_id, ids in lists.items():
            left = request(portal="main", ids=BitMap(ids), job_id=job_id, lanes=0, priority=Priority.URGENT)
            await submit(redis, left)
        await redis.aclose(close_connection_pool=True)

    with EmbeddedServer(home.directory / ".crm-sweep") as server:
        asyncio.run(leave(server))


def test_a_list_that_only_waits_for_the_fault_of_another_ends_as_well(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    leave_jobs_behind(home, left_1=range(1, 11), left_2=range(11, 21))
    home.configure(main={"url": crm.url, "token": "wrong", "max_concurrency": 1})
    result = run(home, "two.txt", range(21, 41), "--report", "out.csv")
    stopped(result, "portal_auth", "replace the portal's token")
    assert (home.directory / "out.csv").read_text().count("pending") == 20
    home.configure(main={"url": crm.url})
    assert run(home, "two.txt", range(21, 41)).code == 0
    assert crm.contacts("deleted") >= BitMap(range(21, 41))


def test_a_fault_in_the_middle_ends_it_and_leaves_the_rest_pending(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 2000, "--base-ms", 50)
    home.configure(main={"url": crm.url, "batch_size_start": 20, "batch_size_max": 20})
    home.ids(*range(1, 1001))
    process = home.start("run", "ids.txt", "--portal", "main", "--yes")
    until(lambda: crm.has_committed(2))
    crm.change(unpaid="tariff")
    assert process.wait(60) == 5
    said = (home.directory / "run.0.log").read_text()
    assert said.count("portal_payment") == 1
    assert said.count(GO_ON) == 1
    crm.change(unpaid="")
    assert home.cli("run", "ids.txt", "--portal", "main").code == 0
    assert crm.contacts("deleted") == BitMap(range(1, 1001))


def test_a_wait_that_passes_on_its_own_does_not_end_it(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url})
    crm.misbehave(fault="unavailable", retry_after_s=7, next_calls=1)
    result = run(home, "one.txt", range(1, 21))
    assert result.code == 0, result.stderr
    assert "push_back" in result.stderr
    assert GO_ON not in result.stderr


def test_ctrl_c_ends_it_while_it_waits_for_the_portal(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url})
    crm.misbehave(fault="unavailable", retry_after_s=600, next_calls=1)
    home.ids(*range(1, 21))
    process = home.start("run", "ids.txt", "--portal", "main")
    until(lambda: "push_back" in (home.directory / "run.0.log").read_text())
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
