"""`crm-sweep verify`: what it says and claims, and its exit codes. It needs no server, so it runs in this process."""

import contextlib
import gzip
import io
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cli.errors import explain
from cli.main import _app
from jobs.receipts.documents import to_json
from tests.support.home import Result
from tests.support.receipts import KEY, PUBLIC, a_ledger, sign

SIGNED = sign(a_ledger(30))
OTHER = f"ed25519:{'11' * 32}"


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a directory with a receipt, a proof and their ledger."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRM_SWEEP_CONFIG", raising=False)
    Path("receipt.json").write_bytes(to_json(SIGNED.receipt()))
    Path("sealed.json").write_bytes(to_json(SIGNED.receipt(sealed=True)))
    Path("117.json").write_bytes(to_json(SIGNED.proof(16)))
    Path("ledger.csv").write_bytes(SIGNED.ledger)
    Path("public.txt").write_text(f"{PUBLIC}\n")


def verify(*args: str) -> Result:
    """Run the command as `cli.main` does."""
    out, err = io.StringIO(), io.StringIO()
    words = ("verify", *args)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = _app(words)(args=words, standalone_mode=False)
        except Exception as error:
            explained = explain(error)
            if explained is None:
                raise
            message, code = explained
            err.write(message)
    return Result(code, out.getvalue(), err.getvalue())


def test_it_says_what_agrees() -> None:
    done = verify("receipt.json", "ledger.csv", "--key", PUBLIC)
    assert done == Result(
        0,
        "receipt of job 01JD4M6Y9Q, portal main, completed 2026-11-23 13:00:00 UTC\n"
        f"signature  agrees, made with {PUBLIC}\n"
        "key        that of --key\n"
        "counts     30 contacts: 20 deleted, 10 refused\n"
        "ledger     every line is the one that was signed: 30\n",
        "",
    )
    done = verify("117.json", "--key", "public.txt")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith("proof from job 01JD4M6Y9Q, ")
    assert done.stdout.endswith(
        f"line       {SIGNED.lines[16].decode()} is line 17 of what was signed\nledger     not compared\n"
    )
    done = verify("117.json", "ledger.csv", "--key", PUBLIC)
    assert done.stdout.endswith(
        "ledger     has this line in its place, and these counts; its other lines were not compared\n"
    )


def test_programs_read_it_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress(SIGNED.ledger)))))
    found = json.loads(verify("receipt.json", "-", "--key", PUBLIC, "--json").stdout)
    assert found == {
        "document": "receipt",
        "job": "01JD4M6Y9Q",
        "portal": "main",
        "state": "completed",
        "finished_at": "2026-11-23T13:00:00.000Z",
        "total": 30,
        "counts": {str(outcome): count for outcome, count in SIGNED.statement.counts.items()},
        "key": PUBLIC,
        "key_is_known": True,
        "line": None,
        "ledger_lines": 30,
    }
    proof = verify("117.json", "--json")
    assert proof.code == 3
    found = json.loads(proof.stdout)
    assert (found["document"], found["line"], found["ledger_lines"], found["key_is_known"]) == (
        "proof", SIGNED.lines[16].decode(), None, False,
    )  # fmt: skip


def test_nothing_is_claimed_of_a_key_that_was_not_compared() -> None:
    done = verify("receipt.json", "ledger.csv")
    assert done.code == 3
    assert "key        not compared\n" in done.stdout
    assert "name the one that you trust with --key" in done.stderr


def test_the_key_of_the_configuration_is_the_one_that_is_known() -> None:
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    Path("receipts.pem").write_bytes(pem)
    Path("crm-sweep.toml").write_text('[receipts]\nkey_file = "receipts.pem"\n')
    done = verify("receipt.json", "ledger.csv")
    assert (done.code, done.stderr) == (0, "")
    assert "key        that of the configuration\n" in done.stdout
    assert verify("receipt.json", "--key", OTHER).code == 1


def test_a_key_needs_no_configuration() -> None:
    Path("crm-sweep.toml").write_text("not TOML")
    assert verify("receipt.json", "ledger.csv", "--key", PUBLIC).code == 0
    assert verify("receipt.json", "ledger.csv").code == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((b"\n117,deleted,,200,1", b"\n117,deleted,,200,2"), "root: at least one line of the ledger is not what"),
        ((b"\n117,deleted,,", b"\n117,refused,read_only,"), "counts: 19 deleted in the ledger, and 20 were signed"),
        ((SIGNED.lines[16] + b"\n", b""), "total: the ledger has 29 lines, and 30 were signed"),
        ((b"\n102,", b"\n101,"), "line 3: contact 101 comes twice"),
        ((SIGNED.ledger[-5:], SIGNED.ledger[-5:-1]), "line 31: it has no line end"),
    ],
)
def test_a_changed_ledger_is_refused_in_one_line(change: tuple[bytes, bytes], told: str) -> None:
    changed = SIGNED.ledger.replace(*change) if change[1] or change[0] in SIGNED.ledger else b""
    assert changed != SIGNED.ledger
    Path("changed.csv").write_bytes(changed)
    done = verify("receipt.json", "changed.csv", "--key", PUBLIC)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"not verified: {told}")
    assert "\n" not in done.stderr


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("receipt.json", "portal: main", "portal: test", "signature: "),
        ("receipt.json", "deleted: 20", "deleted: 21", "signature: "),
        ("117.json", "117,deleted", "118,deleted", "root: "),
        ("117.json", '"index": 16', '"index": 17', "root: "),
    ],
)
def test_a_changed_document_is_refused(name: str, old: str, new: str, told: str) -> None:
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new))
    done = verify(name, "--key", PUBLIC)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"not verified: {told}")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("absent.json",), "absent.json: No such file"),
        (("receipt.json", "absent.csv"), "absent.csv: No such file"),
        (("ledger.csv",), "ledger.csv is not a receipt or a proof"),
        (("receipt.json", "--key", "ledger.csv"), "--key: expected a public key"),
        (("receipt.json", "--key", "ed25519:00"), "--key: expected a public key"),
        (("receipt.json", "--key", "absent.pub"), "absent.pub: No such file"),
        (("sealed.json", "ledger.csv", "--key", PUBLIC), "it is sealed: a ledger can only be compared with"),
    ],
)
def test_what_cannot_be_verified_is_bad_usage(args: tuple[str, ...], told: str) -> None:
    done = verify(*args)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith(told)
