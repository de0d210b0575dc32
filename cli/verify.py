"""`crm-sweep verify`: whether a receipt or a proof agrees with itself, with a key and with a ledger."""

import contextlib
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer

from cli.context import AsJson, settings_of
from cli.errors import UsageError
from cli.exit_codes import ExitCode
from cli.output import note, out, plural
from cli.receipts import lines_done
from config.settings import Settings
from jobs.receipts.documents import MOST_BYTES, Proof, Receipt, read_document
from jobs.receipts.errors import BadPublicKey, BadReceipt
from jobs.receipts.ledger_file import LedgerFile
from jobs.receipts.signing import KEY_PREFIX, check_public_key, public_key_of, signing_key
from jobs.receipts.verify import Verified
from jobs.receipts.verify import verify as verify_document
from jobs.store.times import clock
from jobs.words.outcomes import Outcome


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
    with _opened(ledger) as source, lines_done("verifying") as show:
        found = verify_document(read, known_key=known_key, ledger=LedgerFile(source) if source else None, show=show)
    if as_json:
        out(msgspec.json.encode(_findings(read, found)).decode() + "\n")
    else:
        _tell(read, found, "--key" if key else "the configuration")
    if not found.is_known:
        note("whose key it is was not checked: name the one that you trust with --key")
        return ExitCode.SOME_FAILED
    return ExitCode.DONE


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
