"""`python -m bench scale`: one job of very many contacts, from the file to a ledger that is compared with the truth.

For each size, a file of distinct IDs in random order goes through `crm-sweep submit` to the real worker, which deletes
them in batches of 1000 from a simulated portal that answers immediately and has half as many contacts again. The
ledger is downloaded over HTTP and compared with the portal, contact by contact. One contact in a thousand is missing,
one read-only and one on an invoice.

Several sizes show what grows: time and memory per contact should stay what they are. Started again with the same
`--json` and `--folder`, the section takes what it has measured before.
"""

import argparse
import asyncio
import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from arq.connections import ArqRedis

from bench.campaign import write_list
from bench.contact_lists import contact_list
from bench.downloaded import download, judge
from bench.kept import Kept
from bench.load import Load
from bench.ours import PORTAL, TOKEN, environment_for, settings_for
from bench.process import Child, module, redis_server
from bench.processes import cpu_of, peaks_of, since, watching_one
from bench.redis_memory import footprint
from bench.section import add_number, add_seed, positive, publish, run_with_options, section_parser, table
from jobs.store import keys
from jobs.store.connection import connect
from jobs.view.job import Job, read_job, to_json
from jobs.words.states import State
from simulator.client import connect as connect_to_portal

_JOB_ID_LINE = r"^[0-9A-HJKMNP-TV-Z]{26}$"  # a ULID on a line of its own
#: Contacts per thousand with each of three outcomes other than deleted.
_OTHERS_IN = 1000
_HOURS_S = 12 * 3600.0
_LOOK_S = 0.5
_TELL_EVERY_S = 60.0


@dataclass(frozen=True)
class Scale:
    """What one job took."""

    ids: int
    portal_contacts: int
    file_bytes: int
    submit_s: float  #: from the start of the submitting process until it had printed the job's ID
    run_s: float  #: from then until the job was completed
    download_s: float  #: of the ledger, understanding it included
    ledger_bytes: int
    compare_s: float
    calls: int
    counts: dict[str, int]
    verdict: dict[str, int]
    peak_rss_bytes: dict[str, int]  #: by process
    idle_rss_bytes: dict[str, int]
    cpu_s: dict[str, float]  #: by process, until the job was completed; that of the API for the download
    redis_idle_bytes: int
    redis_peak_bytes: int  #: `used_memory`, above idle, sampled
    redis_key_bytes: dict[str, int]  #: of the completed job, by kind


async def measure(ids: int, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """See one job through.

    Raises:
        RuntimeError: the job did not complete, or its ledger is not true.
    """
    highest = ids + ids // 2
    file = await asyncio.to_thread(_written, folder / f"contacts-{ids}-{options.seed}.txt", ids, highest, options.seed)
    few = ids // _OTHERS_IN
    async with AsyncExitStack() as stack:
        simulator = ("simulator", "--contacts", str(highest), "--token", TOKEN, "--seed", str(options.seed))
        others = ("--read-only", str(few), "--invoiced", str(few), "--missing", str(few))
        portal_process = await stack.enter_async_context(module(*simulator, *others, ready=None))
        portal_url = (await portal_process.expect("^listening on ", timeout_s=_HOURS_S)).split()[-1]
        portal = await stack.enter_async_context(connect_to_portal(portal_url, timeout_s=_HOURS_S))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-scale-")))
        server, redis_url = await stack.enter_async_context(redis_server(directory))
        load = Load(portal_url, redis_url, ids, options.batch, options.concurrency)
        environment = environment_for(load) | {
            "CRM_SWEEP_LOG__LEVEL": "warning",
            f"CRM_SWEEP_PORTALS__{PORTAL.upper()}__BURST": "1000",
        }
        api = await stack.enter_async_context(module("cli", "api", "--port", "0", environment=environment, ready=None))
        api_url = (await api.expect("^listening on ")).split()[-1]
        redis = connect(settings_for(load).redis.url)
        stack.push_async_callback(redis.aclose, close_connection_pool=True)
        running = module("cli", "worker", environment=environment, ready=None)
        processes = {"worker": await stack.enter_async_context(running), "api": api, "redis": server}
        processes["portal"] = portal_process
        await _until_alive(redis)
        idle, redis_idle = peaks_of(processes), (await redis.info("memory"))["used_memory"]
        before = cpu_of(processes)

        started_s = time.monotonic()
        submitting = module(
            "cli", "submit", str(file), "--portal", PORTAL, "--yes", environment=environment, ready=None
        )
        async with submitting as submitter, watching_one(submitter) as seen:
            job_id = await submitter.expect(_JOB_ID_LINE, timeout_s=_HOURS_S)
        submitted_s = time.monotonic()
        job, redis_peak = await _seen_through(redis, job_id, processes)
        ended_s = time.monotonic()
        cpu_s = since(before, cpu_of(processes)) | {"submitter": seen["cpu_s"]}
        before = cpu_of(processes)
        ledger = await download(api_url, job_id)
        cpu_s["api"] = since(before, cpu_of(processes))["api"]
        compared_s = time.monotonic()
        wanted = await asyncio.to_thread(contact_list, ids, highest, seed=options.seed)
        verdict = await judge(ledger, wanted, portal)
        if ledger.lines != ids or verdict.lost or verdict.untrue or verdict.resent:
            raise RuntimeError(f"{ids} contacts, {ledger.lines} lines: {verdict}")
        return dataclasses.asdict(
            Scale(
                ids=ids,
                portal_contacts=highest,
                file_bytes=file.stat().st_size,
                submit_s=submitted_s - started_s,
                run_s=ended_s - submitted_s,
                download_s=ledger.took_s,
                ledger_bytes=ledger.size,
                compare_s=time.monotonic() - compared_s,
                calls=job.requests.sent,
                counts={outcome.value: count for outcome, count in job.counts.items() if count},
                verdict=dataclasses.asdict(verdict),
                peak_rss_bytes=peaks_of(processes) | {"submitter": round(seen["peak_rss_bytes"])},
                idle_rss_bytes=idle,
                cpu_s=cpu_s,
                redis_idle_bytes=redis_idle,
                redis_peak_bytes=redis_peak - redis_idle,
                redis_key_bytes=(await footprint(redis, job_id)).by_kind,
            )
        )


def _written(file: Path, ids: int, highest: int, seed: int) -> Path:
    """Write the list, unless an earlier run has."""
    if not file.exists():
        print(f"writing {ids:,} IDs", file=sys.stderr, flush=True)
        unfinished = file.with_suffix(".new")
        write_list(unfinished, ids, highest, seed=seed)
        unfinished.replace(file)
    return file


async def _until_alive(redis: ArqRedis) -> None:
    async with asyncio.timeout(30):
        while not await redis.zcard(keys.WORKERS):  # noqa: ASYNC110  # only Redis knows
            await asyncio.sleep(0.05)


async def _seen_through(redis: ArqRedis, job_id: str, processes: dict[str, Child]) -> tuple[Job, int]:
    """Wait for the end of a job; return it and the most memory that Redis was seen to use.

    Raises:
        ChildError: one of the processes has ended.
        RuntimeError: the job was paused.
    """
    peak, told_s = 0, time.monotonic()
    while True:
        for process in processes.values():
            process.fail_if_ended()
        peak = max(peak, (await redis.info("memory"))["used_memory"])
        job = await read_job(redis, job_id)
        if job.state is State.PAUSED:
            raise RuntimeError(f"the job did not end: {to_json(job).decode()}")
        if job.ended:
            return job, peak
        if time.monotonic() - told_s > _TELL_EVERY_S:
            told_s = time.monotonic()
            sizes = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in peaks_of(processes).items())
            print(f"  {job.progress:.1%}, {job.contacts_per_second or 0:,.0f}/s; {sizes}", file=sys.stderr, flush=True)
        await asyncio.sleep(_LOOK_S)


def _row(one: dict[str, Any]) -> list[str]:
    ids = one["ids"]

    def grown(name: str) -> str:
        return f"{one['peak_rss_bytes'][name] / 1e6:.0f}"

    return [
        f"{ids:,}",
        f"{one['submit_s']:.1f}",
        f"{ids / one['run_s']:,.0f}",
        f"{one['download_s'] / ids * 1e6:.2f}",
        f"{one['cpu_s']['worker'] / ids * 1e6:.2f}",
        f"{one['cpu_s']['redis'] / ids * 1e6:.3f}",
        f"{one['cpu_s']['portal'] / ids * 1e6:.2f}",
        *(grown(name) for name in ("submitter", "worker", "api", "portal")),
        f"{one['redis_peak_bytes'] / ids:.3f}",
        f"{sum(one['redis_key_bytes'].values()) / ids:.3f}",
    ]


_COLUMNS = (
    "contacts",
    "submitted, s",
    "contacts/s",
    "download, s per million",
    "worker CPU ms/1000",
    "Redis CPU ms/1000",
    "portal CPU ms/1000",
    "submitter MB",
    "worker MB",
    "API MB",
    "portal MB",
    "Redis at the peak, B/contact",
    "its keys at the end, B/contact",
)


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("scale", __doc__, "--ids 1000000 10000000", "--folder /var/tmp/scale --json scale.json")
    parser.add_argument(
        "--ids", type=positive, nargs="+", default=[100_000_000], help="contacts of each job (default: 100,000,000)"
    )
    add_number(parser, "--batch", 1000, "contacts per PUT")
    add_number(parser, "--concurrency", 8, "calls in flight")
    add_seed(parser, "the lists")
    parser.add_argument("--folder", type=Path, help="where lists are kept (default: a new one, removed at the end)")
    return parser


async def _scale(options: argparse.Namespace, command: Sequence[str]) -> None:
    kept = Kept(options.json, {name: getattr(options, name) for name in ("batch", "concurrency", "seed")})
    with ExitStack() as stack:
        folder: Path = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-lists-")))
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        measured = [await kept.part(f"{ids} contacts", partial(measure, ids, folder, options)) for ids in options.ids]
    publish(
        f"One job of up to {max(options.ids):,} contacts, batch {options.batch}, {options.concurrency} calls in flight",
        [table(_COLUMNS, [_row(one) for one in measured])],
        {"scale": measured},
        command=command,
        json_to=options.json,
    )
    kept.forget()


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _scale, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
