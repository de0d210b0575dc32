"""`crm-sweep bundle`: what is kept of deleted contacts, and how to destroy it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from redis.asyncio import Redis
from rich.table import Table

from cli.context import AsJson, redis_of, settings_of
from cli.embedded import EmbeddedServer
from cli.errors import UsageError
from cli.exit_codes import ExitCode
from cli.interrupts import terminable
from cli.kept import restore_command, to_restore
from cli.loop import run_async
from cli.output import note, out, out_after, plural, rendered
from cli.state_dir import USUAL, is_of_run, looking_in
from config.settings import Settings
from jobs.bundles.errors import NoBundle
from jobs.bundles.expiry import destroy_bundles
from jobs.bundles.facts import BundleState
from jobs.bundles.manifest import Manifest
from jobs.bundles.names import folder
from jobs.bundles.reader import open_bundle
from jobs.bundles.store import BundleStore, StoredBundle
from jobs.store.times import clock
from jobs.view.job import Job, read_jobs
from jobs.words.errors import UnknownJob
from jobs.words.job_ids import check_job_id
from restore.ledger import count_restored


class Deed(StrEnum):
    """What to do with bundles."""

    LS = "ls"
    SHOW = "show"
    DESTROY = "destroy"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle in a store."""

    job: str
    bundle: str
    portal: str
    state: str
    """making, kept, destroyed, or `unknown_job`: Redis does not know the job of this bundle (any more)."""
    contacts: int
    """Records in it; 0 while that is not known."""
    bytes: int
    objects: int
    made_at: str | None
    expires_at: str | None
    """When it is destroyed; None while its job has not ended, and where nothing destroys it on its own."""


def bundle(
    ctx: typer.Context,
    deed: Annotated[Deed, typer.Argument(metavar="ls|show|destroy", help="What to do.", show_default=False)],
    job_id: Annotated[
        str | None, typer.Argument(metavar="[JOB]", help="The job; not with ls.", show_default=False)
    ] = None,
    *,
    state_dir: Annotated[
        Path | None,
        typer.Option("--state-dir", metavar="DIR", help="The state directory of `run`, for jobs that it has made."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed to destroy without a terminal.")] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """List the bundles in the undo stores, show one, or destroy those of a job.

    A bundle holds the records that contacts had before they were deleted. `ls` reads the stores, so it also lists
    bundles of jobs that Redis does not know any more. What is destroyed cannot be restored by anybody.

    Exit codes: 0 done, 2 bad usage, the job has not ended, or nobody agreed, 4 no such bundle, 5 Redis cannot be
    reached, or an undo store is away or refuses.

    Examples:
      crm-sweep bundle ls
      crm-sweep bundle show 01JD4M6Y9Q --json
      crm-sweep bundle destroy 01JD4M6Y9Q
    """
    settings = settings_of(ctx)
    if deed is Deed.LS and job_id is not None:
        raise UsageError("`bundle ls` takes no job: `bundle show JOB` shows one")
    if deed is not Deed.LS:
        if job_id is None:
            raise UsageError(f"name the job: `crm-sweep bundle {deed} JOB`")
        check_job_id(job_id)
    with looking_in(job_id or "", state_dir):
        if state_dir is None:
            return _do(settings, deed, job_id or "", None, yes=yes, as_json=as_json)
        if not state_dir.is_dir():
            raise UsageError(f"{state_dir} is no state directory of `run`")
        with terminable(), EmbeddedServer(state_dir) as server:
            redis = settings.redis.model_copy(update={"url": server.url})
            settings = settings.model_copy(update={"redis": redis})
            return _do(settings, deed, job_id or "", state_dir, yes=yes, as_json=as_json)


def _do(settings: Settings, deed: Deed, job_id: str, state_dir: Path | None, *, yes: bool, as_json: bool) -> ExitCode:
    if deed is Deed.LS:
        rows = run_async(_list(settings))
        if as_json:
            out(msgspec.json.encode({"bundles": rows}).decode() + "\n")
        elif rows:
            out(rendered(_table(rows), fitted=False))
        else:
            note("no bundles")
        return ExitCode.DONE
    if deed is Deed.SHOW:
        shown = run_async(_show(settings, job_id))
        out(_as_json(shown) if as_json else _as_text(shown, state_dir))
        return ExitCode.DONE
    return _destroy(settings, job_id, yes=yes)


def _destroy(settings: Settings, job_id: str, *, yes: bool) -> ExitCode:
    rows = [row for row in run_async(_list(settings, job_id)) if row.job == job_id]
    if not rows:
        raise NoBundle(f"no undo store has a bundle of job {job_id}")
    contacts = sum(row.contacts for row in rows)
    what = plural(contacts, "contact") if contacts else "contacts"
    if not yes:
        _ask(f"This destroys what is kept of {what} of job {job_id}, so that nobody can restore them.")
    count = run_async(_destroy_all(settings, job_id))
    out_after("destroyed", "this", f"{plural(count, 'bundle')} of job {job_id} destroyed\n")
    return ExitCode.DONE


def _ask(what: str) -> None:
    """Have the user agree.

    Raises:
        UsageError: they did not, or cannot be asked.
    """
    if not sys.stdin.isatty():
        raise UsageError(f"{what} Without a terminal to ask at, --yes is needed; nothing was destroyed")
    sys.stderr.write(f"{what} Type yes to go ahead: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().casefold() != "yes":
        raise UsageError("nothing was destroyed")


def _stores(settings: Settings) -> Mapping[tuple[str, ...], BundleStore]:
    """Return the stores, each by the names of the portals that use it.

    Raises:
        StoreTrouble: one of them cannot be used.
        UsageError: there is none.
    """
    names: dict[str, list[str]] = {}
    for portal in settings.portals.values():
        if portal.undo_store:
            names.setdefault(portal.undo_store, []).append(portal.name)
    if not names:
        raise UsageError("no portal has an undo_store")
    return {tuple(portals): BundleStore.at(place) for place, portals in names.items()}


async def _list(settings: Settings, job_id: str = "") -> list[Row]:
    async with redis_of(settings) as redis:
        rows = []
        for portals, store in _stores(settings).items():
            found = await store.bundles(folder(job_id) if job_id else "")
            jobs = await _jobs_of(redis, found)
            rows += [await _row(store, portals[0], one, jobs.get(one.job_id)) for one in found]
        return sorted(rows, key=lambda row: (row.made_at or "", row.job), reverse=True)


async def _jobs_of(redis: Redis, found: list[StoredBundle]) -> dict[str, Job]:
    ids = sorted({one.job_id for one in found})
    return {job_id: job for job_id, job in zip(ids, await read_jobs(redis, ids), strict=True) if job}


async def _row(store: BundleStore, portal: str, one: StoredBundle, job: Job | None) -> Row:
    held = job.bundle if job and job.bundle and job.bundle.id == one.bundle_id else None
    contacts, made_at = (held.contacts, held.made_at) if held else (0, None)
    if held is None and one.is_complete:
        manifest = await open_bundle(store, one.job_id, one.bundle_id)
        contacts, made_at, portal = manifest.contacts, manifest.made_at, manifest.portal
    return Row(
        job=one.job_id,
        bundle=one.bundle_id,
        portal=job.portal if job else portal,
        state=held.state if held else BundleState.DESTROYED if job else "unknown_job",
        contacts=contacts,
        bytes=one.bytes,
        objects=one.objects,
        made_at=made_at,
        expires_at=held.expires_at if held else None,
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """A bundle, its manifest if it is complete, its job if Redis knows it, and how many contacts were restored."""

    row: Row
    manifest: Manifest | None
    job: Job | None
    restored: int


async def _show(settings: Settings, job_id: str) -> _Shown:
    rows = await _list(settings, job_id)
    async with redis_of(settings) as redis:
        [job] = await read_jobs(redis, [job_id])
        restored = await count_restored(redis, job_id)
    if not rows and job is None:
        raise UnknownJob(job_id)
    if not rows:
        raise NoBundle(_none_in_store(job_id, job))
    for store in _stores(settings).values():
        try:
            return _Shown(rows[0], await open_bundle(store, job_id, rows[0].bundle), job, restored)
        except NoBundle:
            continue
    return _Shown(rows[0], None, job, restored)


def _none_in_store(job_id: str, job: Job | None) -> str:
    destroyed_at = job.bundle.destroyed_at if job and job.bundle else None
    if destroyed_at:
        return f"the bundle of job {job_id} was destroyed at {clock(destroyed_at)}"
    return f"no undo store has a bundle of job {job_id}"


async def _destroy_all(settings: Settings, job_id: str) -> int:
    async with redis_of(settings) as redis:
        stores = _stores(settings).items()
        return sum([await destroy_bundles(redis, store, portals, job_id) for portals, store in stores])


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("job", "portal", "state", "contacts", "bytes", "made", "expires"):
        table.add_column(name, justify="right" if name in {"contacts", "bytes"} else "left", no_wrap=name == "job")
    for row in rows:
        made, expires = (at[:16].replace("T", " ") if at else "" for at in (row.made_at, row.expires_at))
        table.add_row(row.job, row.portal, row.state, f"{row.contacts:,}", f"{row.bytes:,}", made, expires)
    return table


def _as_text(shown: _Shown, state_dir: Path | None) -> str:
    row, manifest = shown.row, shown.manifest
    lines = [
        f"bundle {row.bundle} of job {row.job}, portal {row.portal}: {row.state}",
        f"contacts   {row.contacts:,}",
        f"objects    {row.objects:,}, {row.bytes:,} bytes",
    ]
    if row.made_at:
        lines.append(f"made       {clock(row.made_at)}")
    lines.append(f"expires    {clock(row.expires_at) if row.expires_at else 'not before its job has ended'}")
    if manifest:
        lines += [f"{kept.name}  {plural(kept.contacts, 'contact')}" for kept in manifest.objects]
        lines.append(_to_restore(shown, state_dir))
    return "\n".join(lines) + "\n"


def _to_restore(shown: _Shown, state_dir: Path | None) -> str:
    """Return how the contacts of a complete bundle can be restored, or why they cannot."""
    if shown.job:
        return to_restore(shown.job, shown.restored, state_dir) or "nothing is deleted yet"
    if state_dir is None and is_of_run(shown.row.job):
        return (
            f"`{restore_command(shown.row.job, USUAL)}` restores them, if {USUAL} is the directory in which "
            "`crm-sweep run` keeps this job"
        )
    return (
        "they can be restored where Redis knows the job, which tells which contacts it deleted; age and zstd open the "
        "objects anywhere (docs/undo.md)"
    )


def _as_json(shown: _Shown) -> str:
    return msgspec.json.encode({**msgspec.structs.asdict(shown.row), "manifest": shown.manifest}).decode() + "\n"
