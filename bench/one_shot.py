"""`python -m bench one-shot`: `crm-sweep run` on a simulated portal, killed in the middle, and its ledger afterwards.

The real command runs in a process of its own, with its own Redis on disk. It is killed with SIGKILL as often as asked,
at even intervals, and restarted with the same arguments each time. The section measures the peak memory of its
processes, how long it takes from a restart until the portal receives a call, bytes per contact ID in its Redis, and
whether the ledger agrees with the portal, contact by contact.
"""

import argparse
import asyncio
import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pyroaring import BitMap

from bench.campaign import write_list
from bench.measure import peak_rss_bytes
from bench.ours import PORTAL, TOKEN
from bench.process import Child, module
from bench.redis_memory import footprint
from bench.section import add_number, publish, run_with_options, section_parser, table
from bench.simulated import simulated_portal
from bench.truth_check import Verdict, compare
from cli.embedded import EmbeddedServer
from jobs.intake.parser import read_contact_ids
from jobs.store.connection import connect
from jobs.view.job import Job, list_jobs
from simulator.client import SimulatorClient

_LOOK_S = 0.02
_RUN_TIMEOUT_S = 1800.0


@dataclass
class OneShot:
    """What a run took, over all its starts."""

    ids: int
    peaks: dict[str, int] = field(default_factory=dict)  #: peak RSS in bytes by process
    resumes_s: list[float] = field(default_factory=list)  #: from each restart until the portal received a call
    last_leg_s: float = 0.0  #: the last start, the one that finished the job, from start to end
    redis_bytes: int = 0
    job: Job | None = None
    verdict: Verdict | None = None


async def run_one_shot(directory: Path, ids: int, kills: int, batch: int, portal: SimulatorClient) -> OneShot:
    """Run a list of `ids` contact IDs and kill the command `kills` times along the way.

    Raises:
        ChildError: The command ended too early.
        RuntimeError: The last start did not finish the job.
    """
    measured = OneShot(ids)
    contacts, file = ids * 101 // 100, directory / "contacts.txt"
    await portal.reset(contacts=contacts, read_only=ids // 100, invoiced=ids // 100, invisible=ids // 200)
    write_list(file, ids, contacts, seed=1)
    (directory / "crm-sweep.toml").write_text(_CONFIGURATION.format(url=portal.url, token=TOKEN, batch=batch))
    state = directory / "state"
    words = ["--config", str(directory / "crm-sweep.toml"), "run", str(file), "--portal", PORTAL, "--yes"]
    words += ["--state-dir", str(state), "--report", str(directory / "report.csv")]
    for kill in range(kills):
        heard = (await portal.summary())["calls"]
        started_s = time.monotonic()
        async with module("cli", *words, ready=None) as child:
            await _until_heard(portal, heard)
            if kill:
                measured.resumes_s.append(time.monotonic() - started_s)
            await _until_deleted(portal, child, measured, contacts * (kill + 1) // (kills + 1) * 9 // 10)
            psutil.Process(child.pid).kill()
            await child.gone(_RUN_TIMEOUT_S)
    heard, started_s = (await portal.summary())["calls"], time.monotonic()
    async with module("cli", *words, ready=None) as child:
        await _until_heard(portal, heard)
        if kills:
            measured.resumes_s.append(time.monotonic() - started_s)
        watch = asyncio.create_task(_watch(child, measured))
        await child.gone(_RUN_TIMEOUT_S)
        measured.last_leg_s = time.monotonic() - started_s
        watch.cancel()
    await _look_into(state, file, portal, measured)
    return measured


async def _look_into(state: Path, file: Path, portal: SimulatorClient, measured: OneShot) -> None:
    with file.open("rb") as source:
        ids: BitMap = read_contact_ids(source).ids
    with EmbeddedServer(state) as server:
        redis = connect(server.url)
        try:
            [measured.job] = (await list_jobs(redis)).jobs
            if not measured.job.ended:
                raise RuntimeError(f"the run did not finish the job: {measured.job}")
            measured.redis_bytes = (await footprint(redis, measured.job.id)).keys
            measured.verdict = await compare(redis, measured.job.id, ids, portal)
        finally:
            await redis.aclose(close_connection_pool=True)


async def _until_heard(portal: SimulatorClient, before: int) -> None:
    async with asyncio.timeout(120):
        while (await portal.summary())["calls"] <= before:  # noqa: ASYNC110  # it happens in another process
            await asyncio.sleep(_LOOK_S)


async def _until_deleted(portal: SimulatorClient, child: Child, measured: OneShot, wanted: int) -> None:
    async with asyncio.timeout(_RUN_TIMEOUT_S):
        while (await portal.summary())["deleted"] < wanted:
            _note_peaks(child, measured)
            await asyncio.sleep(_LOOK_S)


async def _watch(child: Child, measured: OneShot) -> None:
    while True:
        _note_peaks(child, measured)
        await asyncio.sleep(_LOOK_S)


def _note_peaks(child: Child, measured: OneShot) -> None:
    try:
        root = psutil.Process(child.pid)
        processes = {"crm-sweep run": root} | {one.name(): one for one in root.children(recursive=True)}
        for name, process in processes.items():
            measured.peaks[name] = max(measured.peaks.get(name, 0), peak_rss_bytes(process))
    except psutil.NoSuchProcess:
        return


_CONFIGURATION = """
[worker]
lease_ttl_s = 5

[portals.bench]
url = "{url}"
token = "{token}"
requests_per_second = 1000
burst = 100
max_concurrency = 8
batch_size_start = {batch}
batch_size_max = {batch}
"""


def _rows(one: OneShot) -> list[list[str]]:
    assert one.job
    assert one.verdict
    wrong = one.verdict
    resumes = ", ".join(f"{seconds:.2f}" for seconds in one.resumes_s) or "-"
    return [
        *([f"{name}, peak RSS", f"{peak / 1e6:.0f} MB"] for name, peak in sorted(one.peaks.items())),
        ["kills survived", str(len(one.resumes_s))],
        ["from a restart to the first call at the portal, s", resumes],
        ["last leg, start to end", f"{one.last_leg_s:.1f} s"],
        ["Redis at the end", f"{one.redis_bytes / one.ids:.2f} B/ID"],
        ["outcomes", ", ".join(f"{outcome} {count:,}" for outcome, count in one.job.counts.items() if count)],
        ["contacts without an outcome · misreported · sent again", f"{wrong.lost} · {wrong.untrue} · {wrong.resent}"],
    ]


async def _one_shot(options: argparse.Namespace, command: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-one-shot-") as directory:
        async with simulated_portal() as portal:
            print(f"{options.ids:,} IDs, {options.kills} kills", file=sys.stderr, flush=True)
            measured = await run_one_shot(Path(directory), options.ids, options.kills, options.batch, portal)
    publish(
        f"crm-sweep run with {options.ids:,} IDs, batch {options.batch}, killed {options.kills} times",
        [table(("what", "measured"), _rows(measured))],
        {"one_shot": dataclasses.asdict(measured) | {"job": str(measured.job)}},
        command=command,
        json_to=options.json,
    )


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("one-shot", __doc__, "--ids 1000000 --kills 3")
    add_number(parser, "--ids", 1_000_000, "IDs in the list")
    parser.add_argument("--kills", type=int, default=3, help="how often it is killed along the way (default: 3)")
    add_number(parser, "--batch", 1000, "contacts per PUT")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _one_shot, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
