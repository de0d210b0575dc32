"""The private key of receipts: read once, and never shown, whatever the file holds."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from cli.check import _receipts
from config.settings import ConfigError, Settings, load_settings
from jobs.receipts.errors import NoReceiptKey
from jobs.receipts.signing import public_key_of, signing_key
from tests.support.receipts import KEY, PUBLIC

PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def settings_of(path: Path) -> Settings:
    return load_settings(Path("/dev/null"), {"CRM_SWEEP_RECEIPTS__KEY_FILE": str(path)})


def refused(path: Path) -> str:
    """Return what is wrong with the file."""
    with pytest.raises(ConfigError) as caught:
        settings_of(path)
    [problem] = caught.value.problems
    assert problem.startswith("receipts.key_file (environment variable CRM_SWEEP_RECEIPTS__KEY_FILE): ")
    return problem


def test_the_key_signs_and_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "receipts.pem"
    file.write_bytes(PEM)
    settings = settings_of(file)
    assert public_key_of(signing_key(settings.receipts)) == PUBLIC
    secret = PEM.splitlines()[1].decode()
    assert secret not in repr(settings) + settings.model_dump_json()
    [finding] = _receipts(settings)
    assert (finding.level, finding.message) == ("ok", f"signed with the key {PUBLIC}")


def test_without_a_key_nothing_is_signed() -> None:
    with pytest.raises(NoReceiptKey):
        signing_key(load_settings(Path("/dev/null"), {}).receipts)
    assert not list(_receipts(load_settings(Path("/dev/null"), {})))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "a PEM file with a private key (it is empty)"),
        (PUBLIC.encode(), "a PEM file with a private key (it is a public key)"),
        (b"hunter2-hunter2", "a PEM file with a private key (it has no -----BEGIN PRIVATE KEY-----)"),
        (PEM[:70], "a PEM file with a private key (it is damaged)"),
        (PEM.replace(b"MC4", b"MC5"), "a PEM file with a private key (it is damaged)"),
        (
            KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")),
            "a private key that needs no password",
        ),
        (
            ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "an Ed25519 private key (it is of another kind)",
        ),
    ],
    ids=["empty", "public", "other", "cut off", "damaged", "encrypted", "of another kind"],
)
def test_what_is_not_such_a_key_is_refused_without_showing_it(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "receipts.pem"
    file.write_bytes(content)
    problem = refused(file)
    assert f"expected {told}" in problem
    for line in content.splitlines():
        assert not line or b"-----" in line or line.decode() not in problem


def test_a_file_that_does_not_exist_is_not_named_if_it_may_be_the_key_itself(tmp_path: Path) -> None:
    assert str(tmp_path / "absent.pem") in refused(tmp_path / "absent.pem")
    secret = PEM.splitlines()[1].decode().replace("/", "")
    assert secret not in refused(Path(secret))
