"""`receipt`, `prove` and `verify`: what became of a job, signed, and whether it is true."""

import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Annotated, TypeAlias, cast

import msgspec
import typer
from arq.connections import ArqRedis
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cli.context import AsJson, JobId, redis_of, settings_of
from cli.errors import ExitCode, UsageError
from cli.loop import run_async
from cli.output import note, notes, out, plural
from cli.report import check_target, written
from config.settings import Settings
from jobs.receipts.documents import MOST_BYTES, Proof, Receipt, read_document, to_json
from jobs.receipts.errors import BadPublicKey, BadReceipt
from jobs.receipts.ledger_file import LedgerFile
from jobs.receipts.make import make_proof, make_receipt
from jobs.receipts.signing import KEY_PREFIX, check_public_key, public_key_of, signing_key
from jobs.receipts.verify import Verified
from jobs.receipts.verify import verify as verify_document
from jobs.store.times import clock
from jobs.view.job import read_job
from jobs.words.contact_ids import MAX_CONTACT_ID, MIN_CONTACT_ID
from jobs.words.outcomes import Outcome

Target = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write to, completely or not at all.")
]


#: Called with how many lines are done, of how many.
_Show: TypeAlias = Callable[[int, int], None]
_Make: TypeAlias = Callable[[ArqRedis, _Show], Awaitable[Receipt | Proof]]


class _Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify --json` prints: everything in it agrees."""

    document: str
    job: str
    portal: str
    state: str
    finished_at: str
    total: int
    counts: dict[Outcome, int]
    key: str
    key_is_known: bool
    line: str | None
    ledger_lines: int | None


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

    async def make(redis: ArqRedis, show: _Show) -> Receipt:
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

    async def make(redis: ArqRedis, show: _Show) -> Proof:
        total = (await read_job(redis, job_id)).total
        return await make_proof(redis, job_id, contact_id, key, show=lambda read: show(read, total))

    _write(settings, make, target)
    return ExitCode.DONE


def verify(
    ctx: typer.Context,
    document: Annotated[Path, typer.Argument(metavar="RECEIPT", help="A receipt or a proof.", show_default=False)],
    ledger: Annotated[
        Path | None,
        typer.Argument(
            metavar="LEDGER.csv",
            help="The ledger, as `results` writes it, plain or gzip; - for standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="PUBLIC",
            help="The public key that you trust, or a file that holds it.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Check a receipt or a proof, and whether a ledger belongs to it. Needs no server.

    Anybody can make a key and sign with it: only a key that you have from whoever should have signed proves who did.
    Without --key, the key of `receipts.key_file` is taken; if that is not set either, the signature is checked with the
    key that the document names itself, and the exit code is 3.

    Exit codes: 0 everything agrees, 1 something does not, and the message says what, 2 bad usage, or the file is not a
    receipt, 3 everything agrees, but the key was not compared with one that is known.

    Examples:
      crm-sweep verify receipt.json ledger.csv --key ed25519:5a0c…
      crm-sweep verify 4711.json --key public.txt --json
    """
    known_key = _public_key(key) if key else _configured_key(settings_of(ctx))
    with document.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    try:
        read = read_document(data)
    except BadReceipt as error:
        raise UsageError(f"{document} is not a receipt or a proof: {error}") from None
    with _opened(ledger) as source, _progress("verifying") as show:
        found = verify_document(read, known_key=known_key, ledger=LedgerFile(source) if source else None, show=show)
    if as_json:
        out(msgspec.json.encode(_findings(read, found)).decode() + "\n")
    else:
        _tell(read, found, "--key" if key else "the configuration")
    if not found.is_known:
        note("whose key it is was not checked: name the one that you trust with --key")
        return ExitCode.SOME_FAILED
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
        with _progress("reading the ledger") as show:
            return await make(redis, show)


def _public_key(text: str) -> str:
    """Return a public key that is given as text, or as the name of a file with its text."""
    if not text.startswith(KEY_PREFIX):
        with Path(text).open("rb") as file:
            text = file.read(MOST_BYTES).decode(errors="replace").strip()
    try:
        return check_public_key(text)
    except BadPublicKey as error:
        raise UsageError(f"--key: {error}") from None


def _configured_key(settings: Settings) -> str | None:
    return public_key_of(signing_key(settings.receipts)) if settings.receipts.key_file else None


@contextlib.contextmanager
def _opened(file: Path | None) -> Iterator[BufferedReader | None]:
    if file is None:
        yield None
    elif str(file) == "-":
        yield cast("BufferedReader", sys.stdin.buffer)
    else:
        with file.open("rb") as source:
            yield source


@contextlib.contextmanager
def _progress(what: str) -> Iterator[_Show]:
    """Yield a function that shows how many lines are done, of how many: a bar on a terminal, else nothing."""
    console = notes()
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("lines")
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _findings(document: Receipt | Proof, found: Verified) -> _Findings:
    said = found.statement
    return _Findings(
        document="proof" if isinstance(document, Proof) else "receipt",
        job=said.job,
        portal=said.portal,
        state=said.state,
        finished_at=said.finished,
        total=said.total,
        counts=dict(said.counts),
        key=found.key,
        key_is_known=found.is_known,
        line=found.line,
        ledger_lines=found.ledger_lines,
    )


def _tell(document: Receipt | Proof, found: Verified, known_from: str) -> None:
    """Say what was checked, and what was not."""
    said, is_proof = found.statement, isinstance(document, Proof)
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in said.counts.items() if count)
    ended = f"portal {said.portal or '-'}, {said.state} {clock(said.finished)}"
    lines = [
        f"{'proof from' if is_proof else 'receipt of'} job {said.job}, {ended}",
        f"signature  agrees, made with {found.key}",
        f"key        {f'that of {known_from}' if found.is_known else 'not compared'}",
        f"counts     {plural(said.total, 'contact')}{': ' if counts else ''}{counts}",
    ]
    if isinstance(document, Proof):
        lines.append(f"line       {document.line} is line {document.index + 1:,} of what was signed")
    if found.ledger_lines is None:
        lines.append("ledger     not compared")
    elif is_proof:
        lines.append("ledger     has this line in its place, and these counts; its other lines were not compared")
    else:
        lines.append(f"ledger     every line is the one that was signed: {found.ledger_lines:,}")
    out("".join(f"{line}\n" for line in lines))
