"""`python -m bench restore`: contacts of every kind, deleted with `run --undo` and restored, compared field by field.

calm   on a portal that answers well: calls and contacts a second, and what cannot come back
fire   every creating call may take effect and answer 500, reset, hang or come late, any other call may fail too; the
       command is killed with SIGKILL as often as asked, and a second one is started beside it each time
"""

import argparse
import asyncio
import csv
import dataclasses
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyrage

from bench.ours import PORTAL, TOKEN
from bench.process import module
from bench.section import add_number, publish, run_with_options, section_parser, table
from bench.simulated import simulated_portal
from simulator.client import SimulatorClient

_TIMEOUT_S = 3600.0
#: What the docs say: not shown with a contact, or set by no call; and members that hold contact IDs.
_NOT_RESTORED = {"created_by", "industry", "currency", "type", "modified", "access"}
_IDS = {"id", "alive", "company_id", "persons"}

_CREATING = ["create_person", "create_company"]
_FIRE: tuple[dict[str, Any], ...] = (
    {"fault": "error", "status": 500, "when": "after", "calls": _CREATING, "rate": 0.1},
    {"fault": "reset", "when": "after", "calls": _CREATING, "rate": 0.03},
    {"fault": "hang", "when": "after", "calls": _CREATING, "rate": 0.005},
    {"fault": "late", "delay_s": 2.5, "calls": _CREATING, "rate": 0.005},
    {"fault": "error", "status": 500, "when": "before", "calls": _CREATING, "rate": 0.05},
    {"fault": "error", "status": 500, "when": "after", "calls": ["*"], "rate": 0.05},
    {"fault": "throttle", "retry_after_s": 1, "calls": ["*"], "rate": 0.002},
)


@dataclass
class Restored:
    """What a restore took, over all its starts.

    Attributes:
        differing: how many contacts differ in a member that the docs do not name.
        calls: calls at the portal by kind, those of the plan included.
        refused: second commands that were turned away.
    """

    part: str
    contacts: int
    kills: int = 0
    refused: int = 0
    seconds: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)
    created: int = 0
    twice: int = 0
    missing: int = 0
    untrue: int = 0
    differing: int = 0
    lost: dict[str, int] = field(default_factory=dict)


async def restored(part: str, contacts: int, kills: int, write_ms: float) -> Restored:
    """Delete contacts of every kind, restore them, and compare.

    Args:
        part: `calm` or `fire`.
        contacts: how many.
        kills: how often the command is killed along the way.
        write_ms: what a call that changes something takes the portal.

    Raises:
        RuntimeError: the last start did not finish.
    """
    measured = Restored(part, contacts)
    with tempfile.TemporaryDirectory(prefix="bench-restore-") as name:
        directory = Path(name)
        async with simulated_portal() as portal:
            await portal.reset(contacts=contacts * 11 // 10, varied=True)
            before = await portal.records(range(1, contacts + 1))
            job_id = await _delete(directory, portal.url, contacts)
            await portal.behave(write_ms=write_ms)
            if part == "fire":
                await portal.misbehave(*_FIRE)
            last = (await portal.calls())[-1]["number"]
            started_s = time.monotonic()
            await _restore(directory, job_id, portal, measured, kills)
            measured.seconds = time.monotonic() - started_s
            measured.calls = dict(Counter(call["kind"] for call in await portal.calls(last)))
            await portal.clear_faults()
            await _compare(directory / "report.csv", before, portal, measured)
    return measured


async def _delete(directory: Path, url: str, contacts: int) -> str:
    key = pyrage.x25519.Identity.generate()
    (directory / "bundles").mkdir(mode=0o700)
    (directory / "undo-key.txt").write_text(f"{key}\n")
    configuration = _CONFIGURATION.format(
        url=url, token=TOKEN, store=directory / "bundles", recipient=key.to_public(), portal=PORTAL
    )
    (directory / "crm-sweep.toml").write_text(configuration)
    (directory / "ids.txt").write_text("".join(f"{number}\n" for number in range(1, contacts + 1)))
    words = ["run", str(directory / "ids.txt"), "--portal", PORTAL, "--undo", "--yes", "--json"]
    async with _command(directory, *words) as child:
        line = await child.expect(r'^\{"id"', _TIMEOUT_S)
        await child.gone(_TIMEOUT_S)
    return str(json.loads(line)["id"])


async def _restore(directory: Path, job_id: str, portal: SimulatorClient, measured: Restored, kills: int) -> None:
    words = ["restore", job_id, "--identity", str(directory / "undo-key.txt"), "--yes"]
    words += ["--report", str(directory / "report.csv")]
    for kill in range(kills):
        async with _command(directory, *words) as child:
            created = (await portal.summary())["created_by_calls"]
            await _until_created(portal, created + 1)
            async with _command(directory, *words) as second:
                said = await second.expect(rf"uses|in use|being restored|^job {job_id}: ", 60)
                measured.refused += not said.startswith("job")
                await second.gone(60)
            await _until_created(portal, measured.contacts * (kill + 1) // (kills + 1))
            psutil.Process(child.pid).kill()
            await child.gone(60)
            measured.kills += 1
    async with _command(directory, *words) as child:
        await child.expect(rf"^job {job_id}: ", _TIMEOUT_S)
        await child.gone(60)


def _command(directory: Path, *words: str) -> Any:
    state = ["--state-dir", str(directory / "state")]
    return module("cli", "--config", str(directory / "crm-sweep.toml"), *words, *state, ready=None)


async def _until_created(portal: SimulatorClient, wanted: int) -> None:
    async with asyncio.timeout(_TIMEOUT_S):
        while (await portal.summary())["created_by_calls"] < wanted:  # noqa: ASYNC110  # in another process
            await asyncio.sleep(0.02)


async def _compare(
    report: Path, before: dict[int, dict[str, Any]], portal: SimulatorClient, measured: Restored
) -> None:
    with report.open() as file:
        rows = {int(row["old_id"]): row for row in csv.DictReader(file)}
    new_ids = {old_id: int(row["new_id"]) for old_id, row in rows.items() if row["new_id"]}
    by_calls = [one["contact_id"] for one in await portal.creations()]
    twins = [int(row["reason"].partition(":")[2]) for row in rows.values() if row["reason"].startswith("possible_twin")]
    measured.created = len(by_calls)
    measured.twice = len(set(by_calls) - set(new_ids.values()))
    measured.missing = len(before.keys() - new_ids.keys())
    measured.untrue = len(set(new_ids.values()) ^ (set(by_calls) - set(twins)))
    after = await portal.records(new_ids.values())
    for old_id, new_id in new_ids.items():
        old, new = before[old_id], after[new_id]
        differ = {name for name in old.keys() - _NOT_RESTORED - _IDS if old[name] != new[name]}
        company = old["company_id"]
        differ |= (
            {"company_id"} if new["company_id"] != (new_ids.get(company, company) if company else company) else set()
        )
        measured.differing += bool(differ)
    measured.lost = dict(Counter(word for row in rows.values() for word in row["lost"].split(";") if word))


_CONFIGURATION = """
[worker]
lease_ttl_s = 2

[portals.{portal}]
url = "{url}"
token = "{token}"
requests_per_second = 1000
burst = 100
max_concurrency = 4
batch_size_start = 200
batch_size_max = 200
request_timeout_s = 2
late_commit_s = 3
backoff_base_s = 0.05
undo = "optional"
undo_store = "{store}"
undo_recipients = ["{recipient}"]
"""


def _row(one: Restored) -> list[str]:
    calls = sum(one.calls.values())
    return [
        f"{one.part}, {one.contacts:,} contacts, killed {one.kills} times",
        f"{calls:,}",
        f"{calls / one.contacts:.2f}",
        f"{one.seconds:.0f}",
        f"{one.contacts / one.seconds:.1f}",
        f"{one.twice} · {one.missing} · {one.untrue} · {one.differing}",
    ]


_COLUMNS = ("restore", "calls", "per contact", "s", "contacts/s", "twice · missing · untrue · differing")


async def _measure(options: argparse.Namespace, command: Sequence[str]) -> None:
    measured = []
    for part in options.only:
        print(f"{part}: {options.contacts:,} contacts", file=sys.stderr, flush=True)
        kills = options.kills if part == "fire" else 0
        measured.append(await restored(part, options.contacts, kills, options.write_ms))
    publish(
        f"Restoring contacts, {options.write_ms:g} ms a call",
        [table(_COLUMNS, [_row(one) for one in measured])],
        {"restores": [dataclasses.asdict(one) for one in measured]},
        command=command,
        json_to=options.json,
    )


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("restore", __doc__)
    parser.add_argument("--only", nargs="+", choices=("calm", "fire"), default=["calm", "fire"], help="only these")
    add_number(parser, "--contacts", 20_000, "contacts")
    parser.add_argument("--kills", type=int, default=20, help="fire: how often it is killed (default: 20)")
    add_number(parser, "--write-ms", 0.0, "what a changing call takes")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _measure, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
