"""`crm-sweep restore`: create contacts again that a job has deleted, from the bundle that was kept before."""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from arq.connections import ArqRedis
from pyroaring import BitMap

from cli.context import AsJson, JobId, operator, redis_of, settings_of
from cli.embedded import EmbeddedServer
from cli.errors import Interrupted, PortalFailed, UsageError, WorkStopped, refused_list
from cli.exit_codes import ExitCode
from cli.intake import Column, read_list
from cli.interrupts import interruptible, terminable
from cli.keeper import on_server
from cli.kept import deleted_by
from cli.loop import run_async
from cli.output import note, out_after, plural, rendered
from cli.pace import tell_long_wait
from cli.progress import PATIENCE_S
from cli.report import check_target, written
from cli.restore_view import Restored, outcome_line, progress, summary_view
from cli.state_dir import looking_in
from config.settings import Portal, Settings
from jobs.bundles.codec import read_identities
from jobs.bundles.errors import BadIdentity, NoBundle
from jobs.bundles.facts import BundleState, manifest_sha256
from jobs.bundles.manifest import Manifest
from jobs.bundles.reader import open_bundle, read_records
from jobs.bundles.store import BundleStore
from jobs.intake.tally import IntakeError, WayOut
from jobs.store.times import clock
from jobs.view.job import Job, read_job
from jobs.words.states import STOPPING, State
from restore.caller import Caller
from restore.entry import Reason
from restore.errors import NothingToRestore, PortalRefuses, RestoreStopped
from restore.ledger import RestoreLedger
from restore.record import BadRecord, Record, record_of
from restore.report import HEADER, Outcome, counts
from restore.restorer import Restorer
from restore.survey import Summary
from restore.targets import Targets
from worker.creating_client import CreatingClient
from worker.exchange import always
from worker.fleet import terms_of
from worker.token_store import RedisTokenStore
from worker.turns import turn_of_fleet

_CARRIES_ON = "; the same command carries on"


def restore(
    ctx: typer.Context,
    job_id: JobId,
    *,
    identity: Annotated[
        Path,
        typer.Option(
            "--identity",
            "-i",
            metavar="KEYFILE",
            help="The private key that opens the bundle, as age-keygen writes it.",
            show_default=False,
        ),
    ],
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="FILE", help="Restore no other contacts than these, by their old IDs."),
    ] = None,
    column: Column = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and create nothing.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="OUT.csv", help="Write what became of each contact.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; needed above confirm_above without a terminal.")
    ] = False,
    state_dir: Annotated[
        Path | None,
        typer.Option("--state-dir", metavar="DIR", help="The directory of the `crm-sweep run` that deleted them."),
    ] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Create the contacts that a job has deleted again, companies first, from the bundle that it kept.

    Every contact gets a new ID. What the portal's API cannot bring back, such as its creator, is listed before anything
    is created, and per contact in the report. The columns of the report are old_id, new_id, outcome (created,
    still_there, failed, no_record, pending), reason and lost.

    Killed or interrupted and started again, it carries on, and never creates a contact twice, whatever answers were
    lost. Ctrl-C finishes the contact in flight.

    Exit codes: 0 done, 1 stopped before the end, or the report cannot be written, 2 bad usage, or somebody else is
    restoring, 3 done but some contacts could not be restored, or not completely, 4 no such job or portal, 5 Redis or
    the portal cannot be reached or refuses, 130 interrupted.

    Examples:
      crm-sweep restore 01JD4M6Y9Q --identity undo-key.txt --dry-run
      crm-sweep restore 01JD4M6Y9Q --identity undo-key.txt --report restored.csv
      crm-sweep restore 01JD4M6Y9Q --identity undo-key.txt --only wrongly-deleted.csv --yes
      crm-sweep restore run-0f3c6a1b2d9e4c58 --identity undo-key.txt --state-dir .crm-sweep
    """
    settings = settings_of(ctx)
    keys = _identities(identity)
    wanted = _read_only(only, column) if only else None
    if report:
        check_target(report)
    with _server_in(state_dir) as server:
        if server:
            redis = settings.redis.model_copy(update={"url": server.url})
            settings = settings.model_copy(update={"redis": redis})
        work = _restore(settings, job_id, keys, wanted, dry_run=dry_run, report=report, yes=yes, quiet=as_json)
        with looking_in(job_id, state_dir):
            restored = run_async(on_server(server, work) if server else work)
    deed = "nothing was created" if dry_run else f"{plural(restored.created, 'contact')} of job {job_id} were restored"
    out_after(
        deed, "the result", msgspec.json.encode(restored).decode() + "\n" if as_json else outcome_line(restored) + "\n"
    )
    if dry_run:
        return ExitCode.DONE
    some_lack = restored.failed or restored.no_record or restored.incomplete
    return ExitCode.SOME_FAILED if some_lack else ExitCode.DONE


async def _restore(
    settings: Settings,
    job_id: str,
    identities: list[object],
    only: BitMap | None,
    *,
    dry_run: bool,
    report: Path | None,
    yes: bool,
    quiet: bool,
) -> Restored:
    began_s = time.monotonic()
    async with redis_of(settings, patience_s=PATIENCE_S) as redis:
        job = await read_job(redis, job_id)
        _check_state(job)
        portal = settings.portal(job.portal)
        store, manifest = await _bundle(redis, job, portal)

        async def records() -> AsyncIterator[Record]:
            for kept in manifest.objects:
                for line in await read_records(store, kept, identities):
                    try:
                        record = record_of(line)
                    except BadRecord:
                        continue  # reported as having no record
                    yield record

        ledger = RestoreLedger(redis, job_id, portal.name, _token(), _who(), ttl_s=settings.worker.lease_ttl_s)
        client = _client(redis, portal)
        caller = Caller(
            redis=redis,
            portal=portal,
            terms=terms_of(portal, look_up_size=1),
            client=client,
            may_send=always if dry_run else ledger.may_send,
            tell_wait=tell_long_wait(portal.name),
        )
        restorer = Restorer(job_id, caller, ledger, await Targets.read(redis, job_id, only), records)
        try:
            async with ledger.read_only() if dry_run else ledger.held():
                try:
                    summary = await restorer.plan()
                except PortalRefuses as error:
                    raise PortalFailed(f"{error}; nothing was created") from None
                except RestoreStopped as error:
                    raise WorkStopped(f"{error}; nothing was created") from None
                if not quiet:
                    sys.stderr.write(rendered(summary_view(summary)))
                if dry_run:
                    if report:
                        _write(restorer, report)
                else:
                    await _agree(summary, above=settings.confirm_above, yes=yes)
                    await _carry_out(restorer, report)
                return _result(restorer, summary, report, began_s)
        finally:
            await client.close()


async def _carry_out(restorer: Restorer, report: Path | None) -> None:
    """Restore, and write the report also of a restore that ends early."""
    patience: asyncio.Task[None] | None = None
    try:
        async with interruptible() as restorer.caller.stopping:
            patience = asyncio.create_task(_tell_once_stopping(restorer))
            with progress(restorer.total) as show:
                finished = await restorer.run(show)
    except PortalRefuses as error:
        raise PortalFailed(f"{error}{_CARRIES_ON}") from None
    except RestoreStopped as error:
        raise WorkStopped(f"{error}{_CARRIES_ON}") from None
    finally:
        if patience is not None:
            patience.cancel()
        if report:
            _write(restorer, report)
    if not finished:
        done = counts(restorer.rows())
        raise Interrupted(
            f"interrupted: {done[Outcome.CREATED]:,} contacts are restored, {done[Outcome.PENDING]:,} are left"
            f"{_CARRIES_ON}"
        )


async def _tell_once_stopping(restorer: Restorer) -> None:
    await restorer.caller.stopping.wait()
    note("finishing the contact in flight; once more stops at once")


def _check_state(job: Job) -> None:
    """Check that a job has deleted contacts, and deletes no more while they are restored.

    Raises:
        UsageError: it does, or may.
        NothingToRestore: it has not deleted any.
    """
    if job.state in {State.PLANNING, State.AWAITING_APPROVAL}:
        raise NothingToRestore(
            f"job {job.id} is {job.state}: it has deleted nothing yet, so there is nothing to restore"
        )
    if job.state in STOPPING:
        raise UsageError(
            f"job {job.id} is {job.state}: start the command again once that is done, "
            f"`crm-sweep watch {job.id}` shows it; nothing was created"
        )
    if not job.ended and job.state is not State.PAUSED:
        raise UsageError(f"job {job.id} is {job.state}: pause or cancel it first; nothing was created")
    if not deleted_by(job):
        raise NothingToRestore(f"job {job.id} deleted nothing, so there is nothing to restore")


async def _bundle(redis: ArqRedis, job: Job, portal: Portal) -> tuple[BundleStore, Manifest]:
    """Open the bundle of a job, as it was when its contacts were deleted.

    Raises:
        NoBundle: it has none, or not any more.
        BundleDamaged: its manifest is another one now. Anybody can encrypt to a public key, so whoever can write to the
            store could have contacts created that never were.
        UsageError: it belongs to another portal.
    """
    if job.bundle is None:
        raise NoBundle(f"job {job.id} has kept no bundle, because undo was off: its contacts cannot be restored")
    if job.bundle.state is BundleState.DESTROYED:
        when = f" at {clock(job.bundle.destroyed_at)}" if job.bundle.destroyed_at else ""
        raise NoBundle(f"the bundle of job {job.id} was destroyed{when}: nobody can restore its contacts")
    store = BundleStore.of(portal)
    try:
        manifest = await open_bundle(store, job.id, job.bundle.id, await manifest_sha256(redis, job.id))
    except NoBundle as error:
        raise NoBundle(
            f"{error}: it was destroyed by somebody who did not use this Redis, or undo_store is not what it was then; "
            "nothing was created"
        ) from None
    if manifest.address != portal.address:
        raise UsageError(
            f"portal {portal.name} has another address than when job {job.id} deleted its contacts; nothing was created"
        )
    return store, manifest


def _client(redis: ArqRedis, portal: Portal) -> CreatingClient:
    terms = terms_of(portal, look_up_size=1)

    async def pace() -> None:
        await turn_of_fleet(redis, portal.name, terms, on_wait=tell_long_wait(portal.name))

    return CreatingClient(portal, RedisTokenStore(redis, portal.name), pace)


async def _agree(summary: Summary, *, above: int, yes: bool) -> None:
    """Have the user type the number of contacts before many of them are created.

    Raises:
        UsageError: the user did not agree.
    """
    count = summary.companies + summary.persons
    if yes or count <= above:
        return
    what = f"{plural(count, 'contact')} in portal {summary.portal}"
    if not sys.stdin.isatty():
        raise UsageError(f"this creates {what}: without a terminal to ask at, --yes is needed; nothing was created")
    sys.stderr.write(f"This creates {what}. Type the number of contacts to go ahead: ")
    sys.stderr.flush()
    answer = await _line_typed()
    if answer.strip().translate({ord(mark): None for mark in ",._' "}) != str(count):
        raise UsageError(f"that is not {count:,}; nothing was created")


async def _line_typed() -> str:
    """Wait for a line on the terminal, while the lease is kept."""
    typed, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), typed.set)
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()


def _write(restorer: Restorer, report: Path) -> None:
    with written(report) as write:
        write(HEADER)
        for row in restorer.rows():
            write(row.csv())


def _result(restorer: Restorer, summary: Summary, report: Path | None, began_s: float) -> Restored:
    rows = list(restorer.rows())
    found = counts(rows)
    return Restored(
        plan=summary,
        created=found[Outcome.CREATED],
        incomplete=sum(row.reason == Reason.INCOMPLETE.word for row in rows),
        still_there=found[Outcome.STILL_THERE],
        failed=found[Outcome.FAILED],
        no_record=found[Outcome.NO_RECORD],
        pending=found[Outcome.PENDING],
        possible_twins=len(restorer.ledger.twins),
        calls=restorer.caller.calls,
        seconds=round(time.monotonic() - began_s, 3),
        report=str(report) if report else None,
    )


@contextlib.contextmanager
def _server_in(state_dir: Path | None) -> Iterator[EmbeddedServer | None]:
    """Start the server that `crm-sweep run` has used, if a directory is named.

    Raises:
        UsageError: there is no such directory.
        EmbeddedServerError: the server does not start, or `run` is still using it.
    """
    if state_dir is None:
        yield None
        return
    if not state_dir.is_dir():
        raise UsageError(f"--state-dir: there is no directory {state_dir}")
    with terminable(), EmbeddedServer(state_dir) as server:
        yield server


def _identities(file: Path) -> list[object]:
    try:
        return read_identities(file.read_text())
    except (OSError, UnicodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"--identity: {file} cannot be read: {told}") from None
    except BadIdentity as error:
        raise UsageError(f"--identity: {file}: {error}") from None


def _read_only(file: str, column: str | None) -> BitMap:
    """Read the list of `--only`.

    Raises:
        UsageError: it is none.
    """
    try:
        return read_list(file, column=column).ids
    except IntakeError as error:
        ways = (WayOut.COLUMN, WayOut.HEADER)
        raise UsageError(f"--only: {refused_list(error, 'nothing was created', ways)}") from None


def _who() -> str:
    return f"{operator().removeprefix('cli:')}@{socket.gethostname()}"


def _token() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
