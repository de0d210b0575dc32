"""The check in the documentation, which imports nothing of ours, agrees with us on what agrees and what does not."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.receipts.documents import Proof, Receipt, to_json
from tests.support.documents import ROOT
from tests.support.receipts import KEY, PUBLIC, a_ledger, sign

EXAMPLE = ROOT / "docs" / "examples" / "check_receipt.py"


class Checking:
    """Runs the example as a program is run.

    Args:
        directory: for its files.
        patch: gives it its arguments.
    """

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._patch = patch

    def __call__(self, document: Receipt | Proof, ledger: bytes | None = None, key: str = PUBLIC) -> None:
        (file := self._directory / "document.json").write_bytes(to_json(document))
        (lines := self._directory / "ledger.csv").write_bytes(ledger or b"")
        files = [str(file)] + ([] if ledger is None else [str(lines)])
        self._patch.setattr(sys, "argv", [str(EXAMPLE), key, *files])
        runpy.run_path(str(EXAMPLE), run_name="__main__")


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checking:
    return Checking(tmp_path, monkeypatch)


def test_it_imports_nothing_of_ours_and_can_be_read_in_a_minute() -> None:
    text = EXAMPLE.read_text()
    assert not [name for name in ("jobs", "config", "cli", "web") if f"import {name}" in text or f"from {name}" in text]
    code = text.partition('"""\n\n')[2].splitlines()
    assert len([line for line in code if line.strip() and not line.strip().startswith('"""')]) <= 50


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 7, 8, 13])
def test_it_agrees_with_what_we_sign(check: Checking, count: int) -> None:
    signed = sign(a_ledger(count), bytes(range(32)))
    check(signed.receipt(), signed.ledger)
    check(signed.receipt(sealed=True))
    for index in range(count):
        check(signed.proof(index))


@pytest.mark.parametrize("arguments", [[], [PUBLIC], [PUBLIC, "receipt.json", "ledger.csv", "more"]])
def test_it_says_how_it_is_used(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "usage: python check_receipt.py PUBLIC_KEY receipt.json [ledger.csv]\n"


def test_it_refuses_what_we_refuse(check: Checking) -> None:
    signed = sign(a_ledger(5))
    changed = signed.ledger.replace(b"101,deleted", b"101,refused")
    with pytest.raises(SystemExit, match="the ledger's lines"):
        check(signed.receipt(), changed)
    with pytest.raises(SystemExit, match="the ledger's lines"):
        check(signed.receipt(), signed.ledger[: signed.ledger.rindex(b"105")])
    lying = sign(signed.lines, counts=dict.fromkeys(signed.statement.counts, 0))
    with pytest.raises(SystemExit, match="the counts"):
        check(lying.receipt(), lying.ledger)
    proof = signed.proof(4)
    lies: tuple[dict[str, Any], ...] = (
        {"index": 3},
        {"line": proof.line.replace("105", "106")},
        {"salt": "00" * 16},
        {"path": []},
    )
    for changes in lies:
        values = {name: getattr(proof, name) for name in proof.__struct_fields__} | changes
        with pytest.raises(SystemExit, match="line, salt, index and path"):
            check(Proof(**values))
    receipt = signed.receipt()
    text = receipt.statement.replace("main", "test")
    with pytest.raises(SystemExit, match="signature, statement and public key"):
        check(Receipt(statement=text, signature=receipt.signature, key=PUBLIC, opening=None))
    other = f"ed25519:{KEY.sign(b'')[:32].hex()}"
    with pytest.raises((SystemExit, ValueError)):
        check(receipt, key=other)
