"""The check by hand, as the documentation has it, agrees with what we sign, and with nothing else."""

import re
import subprocess
from pathlib import Path

import pytest

from jobs.receipts.documents import to_json
from tests.support.documents import ROOT
from tests.support.receipts import PUBLIC, Signed, a_ledger, sign

_TEXT = (ROOT / "docs" / "receipts.md").read_text().partition("### By hand\n")[2].partition("\n## ")[0]
SIGNATURE, LINE, SALT = re.findall(r"```sh\n(.*?)```", _TEXT, re.DOTALL)


def run(script: str, directory: Path) -> str:
    """Type the commands where the files are; return what they print."""
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=directory, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout + done.stderr


def written(directory: Path, signed: Signed, index: int) -> Path:
    """Write the files that the commands name."""
    (directory / "4711.json").write_bytes(to_json(signed.proof(index)))
    (directory / "receipt.json").write_bytes(to_json(signed.receipt()))
    (directory / "spring.csv").write_bytes(signed.ledger)
    (directory / "receipts.pub").write_text(f"{PUBLIC}\n")
    return directory


@pytest.mark.parametrize(("count", "index"), [(1, 0), (2, 1), (5, 4), (13, 12), (20, 16), (20, 3)])
def test_it_agrees_with_what_we_sign(tmp_path: Path, count: int, index: int) -> None:
    written(tmp_path, sign(a_ledger(count), bytes(range(32))), index)
    assert "Signature Verified Successfully" in run(SIGNATURE, tmp_path)
    first, second = run(LINE, tmp_path).splitlines()
    assert first == second


def test_it_does_not_agree_with_what_was_changed(tmp_path: Path) -> None:
    written(tmp_path, sign(a_ledger(20), bytes(range(32))), 16)
    proof = tmp_path / "4711.json"
    proof.write_text(proof.read_text().replace("117,deleted", "117,refused"))
    assert "Signature Verified Successfully" in run(SIGNATURE, tmp_path)
    first, second = run(LINE, tmp_path).splitlines()
    assert first != second
    proof.write_text(proof.read_text().replace("portal: main", "portal: test"))
    assert "Signature Verified Successfully" not in run(SIGNATURE, tmp_path)


def test_the_salt_and_the_line_of_a_proof_are_found_in_receipt_and_ledger(tmp_path: Path) -> None:
    signed = sign(a_ledger(20), bytes(range(32)))
    proof = signed.proof(16)
    assert run(SALT, written(tmp_path, signed, 16)).splitlines() == [proof.salt, proof.line]
