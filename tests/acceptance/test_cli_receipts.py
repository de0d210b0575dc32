"""The story of a receipt as its users live it: a key, a receipt, proofs, whoever verifies them, and whoever cheats."""

import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from jobs.receipts.signing import public_key_of
from tests.support.examples import EXAMPLES, run
from tests.support.home import Home, Result
from tests.support.portal_process import Portal
from tests.support.receipts import KEY, PUBLIC

MakePortal = Callable[..., Portal]


def test_receipt_and_proof_of_a_job_are_verified_by_two_programs(home: Home, portal: MakePortal) -> None:
    home.write("receipts.pem", KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    home.configure(
        more='[receipts]\nkey_file = "receipts.pem"', main={"url": portal("--contacts", 280, "--read-only", 5).url}
    )
    job_id = home.submit("main", *range(1, 301))
    early = home.cli("receipt", job_id, "-o", "receipt.json")
    assert early.code == 1
    assert early.stderr.endswith("is queued: there is a receipt once it has ended; `crm-sweep watch` waits for that\n")
    assert not (home.directory / "receipt.json").exists()

    home.start("worker")
    home.until_in(job_id, "completed")
    assert home.cli("receipt", job_id, "-o", "receipt.json") == Result(0, "", "")
    home.write("117.json", home.cli("prove", job_id, "117").stdout)
    absent = home.cli("prove", job_id, "301")
    assert (absent.code, absent.stderr) == (4, f"crm-sweep: job {job_id} has no contact 301\n")
    assert home.cli("results", job_id, "-o", "ledger.csv").code == 0

    # Whoever has neither the configuration nor the server can verify them.
    done = home.cli("verify", "receipt.json", "ledger.csv", "--key", PUBLIC, env={"CRM_SWEEP_CONFIG": "/dev/null"})
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "ledger     every line is the one that was signed: 300"
    for files in (("receipt.json", "ledger.csv"), ("117.json",)):
        checked = run(home, sys.executable, str(EXAMPLES / "check_receipt.py"), PUBLIC, *files)
        assert checked == Result(0, "agrees\n", "")


def test_without_a_key_there_is_nothing_to_sign_with(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    unset = home.cli("receipt", "any")
    assert unset.code == 2
    assert "receipts.key_file is not set; `crm-sweep keys new receipt -o FILE` makes a key" in unset.stderr


@pytest.mark.parametrize("kind", ["receipt", "undo"])
def test_a_new_key_is_for_its_owner_alone_and_never_replaces_another(home: Home, kind: str) -> None:
    made = home.cli("keys", "new", kind, "-o", "private.key")
    file = home.directory / "private.key"
    assert (made.code, made.stdout.count("\n")) == (0, 1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.stdout.strip() == public_part(file, kind)
    secret = file.read_bytes()
    assert not set(secret.decode().splitlines()[-2:]) & set(made.stderr.split())
    again = home.cli("keys", "new", kind, "-o", "private.key")
    assert (again.code, again.stdout) == (2, "")
    assert "never overwritten" in again.stderr
    assert file.read_bytes() == secret
    assert sorted(path.name for path in home.directory.iterdir() if path.suffix == ".key") == ["private.key"]


def public_part(file: Path, kind: str) -> str:
    """Work out the public key from the file, as the libraries read it."""
    if kind == "receipt":
        key = load_pem_private_key(file.read_bytes(), None)
        return public_key_of(key)  # type: ignore[arg-type]
    lines = file.read_text().splitlines()
    identity = pyrage.x25519.Identity.from_str(lines[-1])
    assert pyrage.decrypt(pyrage.encrypt(b"kept", [identity.to_public()]), [identity]) == b"kept"
    assert f"# public key: {identity.to_public()}" in lines
    return str(identity.to_public())
