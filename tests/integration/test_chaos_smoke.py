"""A small chaos run ends well and leaves nothing running, and the judge notices every lie that it looks for."""

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyroaring import BitMap

from chaos.evidence import Attempt, Evidence
from chaos.plan import CANCELLED, Plan
from chaos.verdict import Ledger, judge
from jobs.words.outcomes import Code
from tests.support.chaos_run import chaos_run
from tests.support.waiting import until

SMALL = ("chaos", "--ids", "1500", "--workers", "2", "--seed", "3")


def left_of(directory: str) -> list[psutil.Process]:
    """Return the processes that have to do with the run's directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(directory in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def is_there(directory: str) -> bool:
    return Path(directory).exists()


@pytest.mark.timeout(300)  # usually 40 to 80 s, which depends little on the machine and much on chance
async def test_a_small_run_agrees_with_the_portal_and_leaves_nothing() -> None:
    async with chaos_run(*SMALL, "--minutes", "0.15") as run:
        told, said = await asyncio.wait_for(run.communicate(), 240)
    assert run.returncode == 0, told.decode() + said.decode()
    assert b"agree about every contact" in told
    [directory] = re.findall(r"data in (\S+)", said.decode())
    assert not is_there(directory)
    assert not left_of(directory)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_a_run_that_is_ended_early_leaves_nothing_running(number: signal.Signals) -> None:
    async with chaos_run(*SMALL, "--minutes", "5") as run:
        assert run.stderr is not None
        directory = (await asyncio.wait_for(run.stderr.readline(), 20)).decode().split()[-1]

        async def started() -> bool:
            return len(left_of(directory)) >= 3  # Redis and both workers name the directory

        await until(started, timeout_s=30)
        children = psutil.Process(run.pid).children(recursive=True)
        for child in children:  # as the run itself does now and then: a frozen process must not be left behind
            if number is signal.SIGKILL or child.cmdline()[-1] == "worker":
                child.suspend()
        os.kill(run.pid, number)
        await asyncio.wait_for(run.communicate(), 60)

    async def over() -> bool:
        alive = [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
        return not alive and not left_of(directory)

    await until(over, timeout_s=30)
    if number is signal.SIGKILL:
        assert run.returncode == -signal.SIGKILL
        shutil.rmtree(directory)
    else:
        assert run.returncode == 130
        assert not is_there(directory)


def test_the_lists_cover_every_contact_and_only_two_of_them_overlap() -> None:
    plan = Plan(ids=100_000, minutes=1, workers=1, seed=1, fault_rate=0.03)
    lists = plan.lists()
    assert BitMap.union(BitMap(), *lists.values()) == BitMap(range(1, 100_001))
    overlaps = {
        (one, other) for one in lists for other in lists if one < other and not lists[one].isdisjoint(lists[other])
    }
    assert overlaps == {("long", "overlapping")}
    assert len(lists["long"]) > 65_536, "more than one segment"


# A portal with the contacts 1 to 18; 15 is read-only, 16 is invoiced. Contacts 1 to 10 were deleted, 9 and 10 by a call
# whose answer was lost. Contact 17 was never sent.
LISTS = {"one": BitMap(range(1, 17)) | BitMap([19]), CANCELLED: BitMap([17])}


def put(asked: Any, deleted: Any, *, clean: bool = True, at_s: float = 100.0) -> Attempt:
    return Attempt(
        kind="delete",
        arrived_s=at_s,
        answered_s=at_s,
        committed_s=at_s if deleted else None,
        asked=BitMap(asked),
        deleted=BitMap(deleted),
        listed=BitMap(deleted) if clean else BitMap(),
        clean=clean,
        fault=None if clean else "reset",
        delivered=clean,
    )


def evidence(*more: Attempt) -> Evidence:
    attempts = [put([*range(1, 9), *range(11, 17), 19], range(1, 9)), put([9, 10], [9, 10], clean=False), *more]
    deleted = BitMap.union(BitMap(), *(attempt.deleted for attempt in attempts))
    existed = BitMap(range(1, 19))
    sets = {
        "existed": existed,
        "alive": existed - deleted,
        "deleted": deleted,
        "read_only": BitMap([15]),
        "invoiced": BitMap([16]),
        "invisible": BitMap(),
        "poisoned": BitMap([11]),
        "sent": BitMap.union(BitMap(), *(attempt.asked for attempt in attempts)),
        "confirmed": BitMap(range(1, 9)),
    }
    told = BitMap.union(BitMap(), *(attempt.listed for attempt in attempts))
    doubtful = BitMap.union(BitMap(), *(attempt.asked for attempt in attempts if not attempt.clean))
    return Evidence(sets, attempts, {}, [], told=told, doubtful=doubtful)


def ledgers(**changes: Code) -> dict[str, Ledger]:
    """Return the true ledgers, with some changes: `contact_3=Code.NOT_FOUND`."""
    codes = dict.fromkeys(range(1, 9), Code.DELETED) | dict.fromkeys((9, 10), Code.PRESUMED_DELETED)
    codes |= dict.fromkeys(range(11, 15), Code.PORTAL_ERROR)
    codes |= {15: Code.READ_ONLY, 16: Code.HAS_INVOICE, 17: Code.SKIPPED, 19: Code.NOT_FOUND}
    codes |= {int(name.removeprefix("contact_")): code for name, code in changes.items()}
    told = {job_id: Ledger() for job_id in LISTS}
    for contact_id, code in codes.items():
        ledger = told[CANCELLED if contact_id == 17 else "one"]
        ledger.by_code[code].add(contact_id)
        ledger.at_ms[contact_id] = 200_000
    return told


def test_the_true_ledger_is_believed() -> None:
    assert judge(LISTS, ledgers(), evidence()).disagreements == []


@pytest.mark.parametrize(
    ("lie", "word"),
    [
        ({"contact_3": Code.NOT_FOUND}, "not found, and deleted by us"),
        ({"contact_3": Code.PRESUMED_DELETED}, "presumed deleted without a doubtful attempt"),
        ({"contact_3": Code.READ_ONLY}, "no ledger says so"),
        ({"contact_3": Code.PENDING}, "undecided"),
        ({"contact_9": Code.DELETED}, "deleted, and no answer said so"),
        ({"contact_9": Code.NOT_FOUND}, "not found, and deleted by us"),
        ({"contact_12": Code.DELETED}, "deleted, and still there"),
        ({"contact_12": Code.NOT_FOUND}, "not found, and still visible"),
        ({"contact_12": Code.PRESUMED_DELETED}, "presumed deleted, and still visible"),
        ({"contact_12": Code.SKIPPED}, "skipped, and sent"),
        ({"contact_15": Code.HAS_INVOICE}, "refused for an invoice without one"),
        ({"contact_16": Code.READ_ONLY}, "refused as read-only, and it is not"),
        ({"contact_18": Code.NOT_FOUND}, "in the ledger and not on the list"),
    ],
)
def test_every_lie_is_found(lie: dict[str, Code], word: str) -> None:
    found = judge(LISTS, ledgers(**lie), evidence()).disagreements
    assert any(word in what for what in found), found


@pytest.mark.parametrize(
    ("what", "word"),
    [
        (lambda: evidence(put([18], [18])), "deleted although on no list"),
        (lambda: evidence(put([18], [])), "sent although on no list"),
        (lambda: evidence(put([17], [])), "skipped, and sent"),
    ],
)
def test_calls_that_should_not_have_been_are_found(what: Callable[[], Evidence], word: str) -> None:
    assert any(word in told for told in judge(LISTS, ledgers(), what()).disagreements)


def test_a_contact_that_is_missing_from_the_ledger_is_found() -> None:
    told = ledgers()
    told["one"].by_code[Code.DELETED].remove(5)
    assert any("not in the ledger" in what for what in judge(LISTS, told, evidence()).disagreements)


def test_an_attempt_that_was_marked_and_never_arrived_excuses_a_presumption() -> None:
    told = ledgers(contact_3=Code.PRESUMED_DELETED)
    told["one"].attempts[3] = 1  # the one that arrived
    assert judge(LISTS, told, evidence()).disagreements
    told["one"].attempts[3] = 2
    assert judge(LISTS, told, evidence()).disagreements == []


def test_given_up_and_deleted_afterwards_is_counted_and_not_a_lie() -> None:
    late = put([12], [12], clean=False, at_s=300.0)
    verdict = judge(LISTS, ledgers(), evidence(late))
    assert verdict.disagreements == []
    assert verdict.counts["failed: a commit came after we had given up"] == 1


def test_given_up_although_a_look_up_had_shown_that_it_is_gone_is_a_lie() -> None:
    gone = put([12], [12], clean=False, at_s=100.0)
    look_up = put([12], [], at_s=150.0)
    look_up.kind = "look_up"
    found = judge(LISTS, ledgers(), evidence(gone, look_up)).disagreements
    assert any("a look-up had shown that it is gone" in what for what in found), found


def test_sent_again_after_it_was_confirmed_is_found() -> None:
    truth = evidence()
    truth.resent = BitMap([4])
    assert any("sent again" in what for what in judge(LISTS, ledgers(), truth).disagreements)
