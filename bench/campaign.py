"""`python -m bench campaign`: one very large job, and how much memory each part needs for it.

A file of distinct IDs in random order goes through `crm-sweep submit` to the real worker and on to a portal that
answers immediately. The section measures the peak memory of the submitter, how far the worker's peak exceeds that of
an idle one, the memory of Redis, and the contacts per second.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from bench.contact_lists import DENSE_OUT_OF, SPARSE_HIGHEST, draw
from bench.load import Load
from bench.measure import peak_rss_bytes
from bench.ours import PORTAL, environment_for, settings_for
from bench.process import Child, embedded_redis, module
from bench.redis_memory import Footprint, Peaks, footprint, watching
from bench.rounds import MODELS, add_element_bytes, stub_portal
from bench.section import add_number, add_seed, publish, run_with_options, section_parser, table
from bench.storage import ended
from jobs.store.connection import connect
from jobs.words.outcomes import Outcome

_IDLE_S = 2.0
_LOOK_S = 0.005
_RUN_TIMEOUT_S = 1800.0
_JOB_ID_LINE = r"^[0-9A-HJKMNP-TV-Z]{26}$"  # a ULID on a line of its own


@dataclass(frozen=True)
class Campaign:
    """What one campaign took."""

    ids: int
    puts: int
    submit_s: float  #: from the start of the submitting process until it had printed the job's ID
    run_s: float  #: from the first PUT's arrival until the portal had the last contact
    total_s: float  #: from the start of the submitting process until the job was completed
    submitter_rss_bytes: int
    worker_idle_rss_bytes: int
    worker_peak_rss_bytes: int
    redis_peaks: Peaks
    redis_completed: Footprint

    @property
    def worker_growth_bytes(self) -> int:
        """How far the worker's peak is above its memory when idle."""
        return self.worker_peak_rss_bytes - self.worker_idle_rss_bytes

    def as_json(self) -> dict[str, Any]:
        """Return every measurement."""
        return {**dataclasses.asdict(self), "worker_growth_bytes": self.worker_growth_bytes}


def write_list(path: Path, count: int, highest: int, *, seed: int) -> None:
    """Write distinct IDs to a file in random order, one per line."""
    with path.open("w") as file:
        for some in draw(count, highest, seed=seed):
            file.writelines(f"{contact_id}\n" for contact_id in some)


async def run_campaign(load: Load, file: Path) -> Campaign:
    """Submit a file and see the job through.

    Raises:
        RuntimeError: A contact was not deleted, or was sent more than once.
    """
    redis = connect(settings_for(load).redis.url)
    try:
        async with module("bench.ours", load.as_argument()) as worker:
            await asyncio.sleep(_IDLE_S)  # an idle worker has polled for a while
            idle_rss_bytes = psutil.Process(worker.pid).memory_info().rss
            before, started_s = await footprint(redis), time.monotonic()
            arguments = ("submit", str(file), "--portal", PORTAL, "--yes")
            async with module("cli", *arguments, environment=environment_for(load), ready=None) as submitter:
                async with _peak_of(submitter) as peak:
                    job_id = await submitter.expect(_JOB_ID_LINE, timeout_s=300)
                submit_s = time.monotonic() - started_s
            async with watching(redis, job_id, every_s=0.25) as peaks:
                job = await ended(redis, job_id, timeout_s=_RUN_TIMEOUT_S)
            total_s = time.monotonic() - started_s
            worker_peak_rss_bytes = peak_rss_bytes(psutil.Process(worker.pid))
            completed = await footprint(redis, job_id)
    finally:
        await redis.aclose(close_connection_pool=True)
    async with aiohttp.ClientSession(load.portal_url) as session, session.get("/stats") as response:
        stats = await response.json()
    if not job.counts[Outcome.DELETED] == stats["contacts"] == load.contacts:
        raise RuntimeError(f"{load.contacts} IDs: {job.counts}, and {stats['contacts']} reached the portal")
    return Campaign(
        ids=load.contacts,
        puts=int(stats["puts"]),
        submit_s=submit_s,
        run_s=stats["last_contact_at"] - stats["first_put_at"],
        total_s=total_s,
        submitter_rss_bytes=peak[0],
        worker_idle_rss_bytes=idle_rss_bytes,
        worker_peak_rss_bytes=worker_peak_rss_bytes,
        redis_peaks=Peaks(peaks.used.above(before), peaks.keys.above(before), peaks.samples),
        redis_completed=completed.above(before),
    )


@contextlib.asynccontextmanager
async def _peak_of(child: Child) -> AsyncIterator[list[int]]:
    """Watch the memory high-water mark of a process, which cannot be read any more once the process has ended."""
    peak, over = [0], asyncio.Event()

    async def watch() -> None:
        process = psutil.Process(child.pid)
        while not over.is_set():
            peak[0] = max(peak[0], peak_rss_bytes(process))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _LOOK_S)

    watcher = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        over.set()
        await watcher


def _rows(one: Campaign) -> list[list[str]]:
    completed = one.redis_completed
    return [
        ["submitter, peak RSS", f"{one.submitter_rss_bytes / 1e6:.0f} MB", "< 120 MB", ""],
        ["submitter, start to job ID", f"{one.submit_s:.2f} s", "", ""],
        ["idle worker, RSS", f"{one.worker_idle_rss_bytes / 1e6:.0f} MB", "", ""],
        ["worker, peak RSS over idle", f"{one.worker_growth_bytes / 1e6:.0f} MB", "<= 64 MB", "20 MB"],
        ["contacts per second, first PUT to last answer", f"{one.ids / one.run_s:,.0f}", "", ""],
        ["file to completed job", f"{one.total_s:.1f} s", "", ""],
        ["PUTs", f"{one.puts:,}", "", ""],
        ["Redis at the peak, keys", f"{one.redis_peaks.keys.keys / one.ids:.2f} B/ID", "", ""],
        ["Redis at the end, keys", f"{completed.keys / one.ids:.2f} B/ID", "<= 1.5 dense, 3.5 sparse", "0.5, 2.2"],
        ["Redis at the end, server", f"{(completed.used - completed.clients) / one.ids:.2f} B/ID", "", ""],
    ]


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("campaign", __doc__, "--ids 10000000 --json campaign.json")
    add_number(parser, "--ids", 1_000_000, "IDs in the job")
    parser.add_argument(
        "--spread", choices=("dense", "sparse"), default="dense", help="spread of the IDs (default: dense)"
    )
    add_number(parser, "--batch", 1000, "contacts per PUT")
    add_number(parser, "--concurrency", 8, "calls in flight")
    add_element_bytes(parser)
    add_seed(parser, "the list")
    return parser


async def _campaign(options: argparse.Namespace, command: Sequence[str]) -> None:
    highest = options.ids * DENSE_OUT_OF if options.spread == "dense" else SPARSE_HIGHEST
    with tempfile.TemporaryDirectory(prefix="bench-campaign-") as directory:
        file = Path(directory) / "contacts.txt"
        print(f"writing {options.ids:,} IDs", file=sys.stderr, flush=True)
        write_list(file, options.ids, highest, seed=options.seed)
        async with (
            embedded_redis() as redis_url,
            stub_portal(MODELS["zero"], element_bytes=options.element_bytes) as portal_url,
        ):
            load = Load(portal_url, redis_url, options.ids, options.batch, options.concurrency)
            measured = await run_campaign(load, file)
    form = f"{options.element_bytes} bytes per contact" if options.element_bytes else "IDs only"
    publish(
        f"A campaign of {options.ids:,} IDs, {options.spread}, batch {options.batch}, "
        f"concurrency {options.concurrency}, {form}",
        [table(("what", "measured", "target", "stretch"), _rows(measured))],
        {"campaign": measured.as_json()},
        command=command,
        json_to=options.json,
    )


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _campaign, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
