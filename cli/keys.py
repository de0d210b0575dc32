"""`crm-sweep keys`: new keys, for receipts and for undo."""

import contextlib
import os
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyrage import x25519

from cli.errors import UsageError
from cli.exit_codes import ExitCode
from cli.output import OutputLost, note, out_after
from cli.report import check_target
from jobs.receipts.signing import public_key_of


class Deed(StrEnum):
    """What can be done with keys."""

    NEW = "new"


class KeyKind(StrEnum):
    """What a key is for."""

    RECEIPT = "receipt"
    UNDO = "undo"


_NEXT = {
    KeyKind.RECEIPT: "name it as receipts.key_file; whoever verifies receipts needs the public key",
    KeyKind.UNDO: "keep it where no worker can read it; workers need the public key, in undo_recipients",
}


def keys(
    _deed: Annotated[Deed, typer.Argument(metavar="new", help="Makes a key.", show_default=False)],
    kind: Annotated[
        KeyKind,
        typer.Argument(
            metavar="receipt|undo",
            help="receipt: an Ed25519 key that signs receipts; undo: an age identity that opens bundles.",
            show_default=False,
        ),
    ],
    *,
    target: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="File for the private key; must not exist.", show_default=False
        ),
    ],
) -> ExitCode:
    """Make a key: the private part goes to a file that only you can read, the public part to standard output.

    A key for receipts is a PEM file; one for undo is a file as age-keygen writes it. A file is never overwritten. Keep
    a copy of the private key: nobody can restore it, and what it opens stays closed without it.

    Exit codes: 0 done, 1 the file or standard output cannot be written, 2 bad usage, or the file exists.

    Examples:
      crm-sweep keys new receipt -o receipts.pem > receipts.pub
      crm-sweep keys new undo -o undo-key.txt
    """
    check_target(target)
    private, public = _receipt_key() if kind is KeyKind.RECEIPT else _undo_key()
    _write_private(target, private)
    out_after(f"{target} is written", "its public key", f"{public}\n")
    note(f"{target}: {_NEXT[kind]}")
    return ExitCode.DONE


def _receipt_key() -> tuple[bytes, str]:
    """Return a new private key as a PEM file, and its public key."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), public_key_of(key)


def _undo_key() -> tuple[bytes, str]:
    """Return a new age identity as a file, and its recipient."""
    identity = x25519.Identity.generate()
    public = str(identity.to_public())
    created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"# created: {created}\n# public key: {public}\n{identity}\n".encode(), public


def _write_private(target: Path, content: bytes) -> None:
    """Write a new file for its owner alone.

    Raises:
        UsageError: there is something of this name.
        OutputLost: it cannot be written.
    """
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{target} exists, and a key is never overwritten; name another file") from None
    except OSError as error:
        raise OutputLost(f"{target} cannot be written: {error.strerror or error}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            target.unlink()
        raise OutputLost(f"{target} cannot be written: {error.strerror or error}") from None
