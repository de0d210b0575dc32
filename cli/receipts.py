"""`receipt` and `prove`: what became of a job or of one contact, signed."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from arq.connections import ArqRedis
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cli.context import JobId, redis_of, settings_of
from cli.exit_codes import ExitCode
from cli.loop import run_async
from cli.output import notes, out
from cli.report import check_target, written
from config.settings import Settings
from jobs.receipts.documents import Proof, Receipt, to_json
from jobs.receipts.make import make_proof, make_receipt
from jobs.receipts.signing import signing_key
from jobs.view.job import read_job
from jobs.words.contact_ids import MAX_CONTACT_ID, MIN_CONTACT_ID

Target = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write to, completely or not at all.")
]


#: Called with how many lines are done, of how many.
Show: TypeAlias = Callable[[int, int], None]
_Make: TypeAlias = Callable[[ArqRedis, Show], Awaitable[Receipt | Proof]]


def receipt(
    ctx: typer.Context,
    job_id: JobId,
    *,
    sealed: Annotated[
        bool, typer.Option("--sealed", help="Leave out what shows that a ledger belongs to it, to hand it on.")
    ] = False,
    target: Target = None,
) -> ExitCode:
    """Write the receipt of a job that has ended: its counts and times, and a hash over its whole ledger, signed.

    It names no contact. Together with the ledger, `verify` shows that not one line was changed since. The private key
    that signs is that of `receipts.key_file`; `keys new receipt` makes one.

    Exit codes: 0 done, 1 the job has not ended, or the file cannot be written, 2 bad usage or no key, 4 no such job, 5
    Redis cannot be reached.

    Examples:
      crm-sweep receipt 01JD4M6Y9Q -o receipt.json
      crm-sweep receipt 01JD4M6Y9Q --sealed -o for-the-customer.json
    """
    settings = settings_of(ctx)
    key = signing_key(settings.receipts)

    async def make(redis: ArqRedis, show: Show) -> Receipt:
        total = (await read_job(redis, job_id)).total
        return await make_receipt(redis, job_id, key, sealed=sealed, show=lambda read: show(read, total))

    _write(settings, make, target)
    return ExitCode.DONE


def prove(
    ctx: typer.Context,
    job_id: JobId,
    contact_id: Annotated[
        int,
        typer.Argument(
            metavar="CONTACT",
            help="The contact ID.",
            min=MIN_CONTACT_ID,
            max=MAX_CONTACT_ID,
            show_default=False,
        ),
    ],
    *,
    target: Target = None,
) -> ExitCode:
    """Write the proof of what became of one contact, for somebody who may not see the others.

    It holds the contact's line of the ledger, and what shows that this line is part of what was signed. Of the other
    contacts it tells how many there are of each outcome, and nothing else.

    Exit codes: 0 done, 1 the job has not ended, or the file cannot be written, 2 bad usage or no key, 4 no such job, or
    none with this contact, 5 Redis cannot be reached.

    Examples:
      crm-sweep prove 01JD4M6Y9Q 4711 -o 4711.json
    """
    settings = settings_of(ctx)
    key = signing_key(settings.receipts)

    async def make(redis: ArqRedis, show: Show) -> Proof:
        total = (await read_job(redis, job_id)).total
        return await make_proof(redis, job_id, contact_id, key, show=lambda read: show(read, total))

    _write(settings, make, target)
    return ExitCode.DONE


def _write(settings: Settings, make: _Make, target: Path | None) -> None:
    """Make a document, and write it to a file or to standard output."""
    if target:
        check_target(target)
    text = to_json(run_async(_made(settings, make))).decode()
    with written(target) if target else contextlib.nullcontext(out) as write:
        write(text)


async def _made(settings: Settings, make: _Make) -> Receipt | Proof:
    async with redis_of(settings) as redis:
        with lines_done("reading the ledger") as show:
            return await make(redis, show)


@contextlib.contextmanager
def lines_done(what: str) -> Iterator[Show]:
    """Yield a function that shows how many lines are done, of how many: a bar on a terminal, else nothing."""
    console = notes()
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("lines")
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
