"""`python -m bench undo`: what it costs to keep the records of contacts before they are deleted.

The same list is deleted from a simulated portal without undo and with it, one after the other, for lists that are a
hundredth, a tenth and all of the portal's contacts. Contacts are of every kind, with details, tags, custom fields and
links, so that records have a realistic size.
"""

import argparse
import asyncio
import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import pyrage
from arq.connections import ArqRedis

from bench.contact_lists import contact_list
from bench.load import Load
from bench.measure import peak_rss_bytes
from bench.ours import PORTAL, environment_for, settings_for
from bench.process import embedded_redis, module
from bench.section import add_number, add_seed, publish, run_with_options, section_parser, table
from bench.simulated import simulated_portal
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.bundles.facts import BundleState
from jobs.bundles.manifest import Manifest
from jobs.bundles.reader import open_bundle
from jobs.bundles.store import BundleStore
from jobs.store.connection import connect
from jobs.view.job import Job, read_job
from jobs.words.outcomes import Outcome
from simulator.client import SimulatorClient

_LANES = 4
_TIMEOUT_S = 3600.0
_COLUMNS = (
    "list",
    "contacts",
    "run s without",
    "run s with",
    "ratio",
    "bundle s",
    "bundle s per 100,000",
    "calls for it",
    "B/contact",
    "of its JSON",
    "worker MB",
)


@dataclass(frozen=True)
class Run:
    """One list, deleted."""

    contacts: int
    deleted: int
    run_s: float  #: from the submission to the end, the bundle included
    bundle_s: float  #: the part of it until the bundle was complete; 0 without one
    calls: int  #: calls before the first PUT
    stored_bytes: int
    plain_bytes: int
    worker_peak_rss_bytes: int


@dataclass(frozen=True)
class Pair:
    """A list without undo and with it."""

    share: float
    without: Run
    kept: Run

    @property
    def ratio(self) -> float:
        """Seconds with undo, divided by those without."""
        return self.kept.run_s / self.without.run_s


@dataclass(frozen=True)
class _Scene:
    portal: SimulatorClient
    portal_contacts: int
    rate: float
    batch: int
    seed: int


async def _pair(scene: _Scene, share: float) -> Pair:
    runs = {}
    for undo in (False, True):
        runs[undo] = await _run(scene, max(1, round(scene.portal_contacts * share)), undo=undo)
        told = f"{runs[undo].contacts:,} contacts {'with' if undo else 'without'} undo: {runs[undo].run_s:.1f} s"
        print(told, file=sys.stderr, flush=True)
    return Pair(share, without=runs[False], kept=runs[True])


async def _run(scene: _Scene, contacts: int, *, undo: bool) -> Run:
    """Delete a list from a portal that is as it was before.

    Raises:
        RuntimeError: not every contact was deleted, or kept.
    """
    await scene.portal.reset(contacts=scene.portal_contacts, varied=True, seed=scene.seed)
    ids = contact_list(contacts, scene.portal_contacts, seed=scene.seed)
    with tempfile.TemporaryDirectory(prefix="bench-undo-") as place:
        async with embedded_redis() as redis_url:
            load = Load(scene.portal.url, redis_url, contacts, scene.batch, _LANES)
            settings = {"REQUESTS_PER_SECOND": str(scene.rate), "BURST": "1"} | (_undo(place) if undo else {})
            environment = environment_for(load) | {
                f"CRM_SWEEP_PORTALS__{PORTAL.upper()}__{name}": value for name, value in settings.items()
            }
            redis = connect(settings_for(load).redis.url)
            try:
                async with module("cli", "worker", environment=environment, ready="worker_started") as worker:
                    started_s = time.monotonic()
                    wanted = Submission(
                        portal=PORTAL, ids=ids, needs_approval=False, lanes=_LANES, undo=undo, chose_undo=undo
                    )
                    job_id = (await submit(redis, wanted)).job_id
                    bundle_s, calls = await _kept(redis, job_id, scene.portal, started_s) if undo else (0.0, 0)
                    job = await _ended(redis, job_id)
                    run_s = time.monotonic() - started_s
                    peak_bytes = peak_rss_bytes(psutil.Process(worker.pid))
            finally:
                await redis.aclose(close_connection_pool=True)
        manifest = await open_bundle(BundleStore.at(place), job_id) if undo else None
    return _measured(job, manifest, run_s=run_s, bundle_s=bundle_s, calls=calls, peak_bytes=peak_bytes)


def _measured(
    job: Job, manifest: Manifest | None, *, run_s: float, bundle_s: float, calls: int, peak_bytes: int
) -> Run:
    if job.counts[Outcome.DELETED] != job.total or (manifest and manifest.contacts != job.total):
        raise RuntimeError(f"not every contact was kept and deleted: {job.counts}, {manifest and manifest.contacts}")
    return Run(
        contacts=job.total,
        deleted=job.counts[Outcome.DELETED],
        run_s=run_s,
        bundle_s=bundle_s,
        calls=calls,
        stored_bytes=manifest.stored_bytes if manifest else 0,
        plain_bytes=sum(kept.plain_bytes for kept in manifest.objects) if manifest else 0,
        worker_peak_rss_bytes=peak_bytes,
    )


def _undo(place: str) -> dict[str, str]:
    key = pyrage.x25519.Identity.generate().to_public()
    return {"UNDO": "required", "UNDO_STORE": place, "UNDO_RECIPIENTS": f'["{key}"]'}


async def _kept(redis: ArqRedis, job_id: str, portal: SimulatorClient, started_s: float) -> tuple[float, int]:
    """Wait until the bundle is complete; return the seconds since the start, and the calls that it took."""
    while True:
        job = await read_job(redis, job_id)
        if job.bundle and job.bundle.state is BundleState.KEPT:
            bundle_s = time.monotonic() - started_s
            summary = await portal.summary()
            return bundle_s, summary["calls"] - summary["calls_by_kind"].get("delete", 0)
        if time.monotonic() - started_s > _TIMEOUT_S or job.ended:
            raise RuntimeError(f"no bundle: {job.state}, {job.last_error}")
        await asyncio.sleep(0.02)  # only Redis knows


async def _ended(redis: ArqRedis, job_id: str) -> Job:
    end_s = time.monotonic() + _TIMEOUT_S
    while not (job := await read_job(redis, job_id)).ended:
        if time.monotonic() > end_s:
            raise RuntimeError(f"not done in time: {job.state}, {job.last_error}")
        await asyncio.sleep(0.02)  # only Redis knows
    return job


def _row(pair: Pair) -> list[str]:
    kept = pair.kept
    return [
        f"{pair.share:.0%} of the portal",
        f"{kept.contacts:,}",
        f"{pair.without.run_s:.1f}",
        f"{kept.run_s:.1f}",
        f"{pair.ratio:.2f}",
        f"{kept.bundle_s:.1f}",
        f"{kept.bundle_s / kept.contacts * 100_000:.1f}",
        f"{kept.calls:,}",
        f"{kept.stored_bytes / kept.contacts:.0f}",
        f"{kept.stored_bytes / kept.plain_bytes:.1%}",
        f"{kept.worker_peak_rss_bytes / 1e6:.0f}",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("undo", __doc__)
    add_number(parser, "--portal-contacts", 100_000, "contacts of the portal")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.1, 1.0], help="lists, as shares of that")
    add_number(parser, "--rate", 50.0, "calls per second at most")
    add_number(parser, "--batch", 100, "contacts per PUT")
    add_number(parser, "--base-ms", 20.0, "what a call takes at least")
    add_seed(parser, "portal and lists")
    return parser


async def _measure(options: argparse.Namespace, command: Sequence[str]) -> None:
    async with simulated_portal() as portal:
        await portal.behave(base_ms=options.base_ms)
        scene = _Scene(portal, options.portal_contacts, options.rate, options.batch, options.seed)
        pairs = [await _pair(scene, share) for share in options.shares]
    document = {"pairs": [{**dataclasses.asdict(pair), "ratio": pair.ratio} for pair in pairs]}
    tables = [table(_COLUMNS, [_row(pair) for pair in pairs])]
    publish("Undo", tables, document, command=command, json_to=options.json)


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _measure, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
