"""A fingerprint tells configurations of a portal apart without revealing what is in them."""

from pathlib import Path
from typing import Any

import pytest

from config.portal import Portal
from tests.support.authority import Authority
from worker.fingerprint import REACHED_BY, fingerprint_of

TOKEN: dict[str, Any] = {"name": "main", "url": "https://crm.example.com", "token": "a-token"}
LOG_IN: dict[str, Any] = {
    "name": "main",
    "url": "https://crm.example.com",
    "username": "ann@example.com",
    "password": "a secret",
}


def of(settings: dict[str, Any], **changed: Any) -> str:
    return fingerprint_of(Portal.model_validate(settings | changed))


@pytest.mark.parametrize("settings", [TOKEN, LOG_IN], ids=["token", "log-in"])
def test_the_same_configuration_has_the_same_fingerprint(settings: dict[str, Any]) -> None:
    assert of(settings) == of(settings)
    limits = {"requests_per_second": 1.0, "max_concurrency": 7, "batch_size_max": 77, "approval_above": 5}
    assert of(settings) == of(settings, **limits), "what does not decide whether the portal lets us in is left out"


def test_whatever_reaches_the_portal_makes_another_one() -> None:
    made = [
        of(TOKEN),
        of(TOKEN, token="another"),
        of(TOKEN, url="http://crm.example.com"),
        of(TOKEN, auth_scheme="bearer"),
        of(TOKEN, answer_format="xml"),
        of(LOG_IN),
        of(LOG_IN, password="another"),
        of(LOG_IN, username="bob@example.com"),
        of(LOG_IN, username="ann@example.com\0a", password=" secret"),
        of(TOKEN, name="other"),
        of(TOKEN, proxy="http://proxy.example:3128"),
        of(TOKEN, proxy="http://proxy.example:3129"),
        of(TOKEN, proxy="http://proxy.example:3128", proxy_username="ann", proxy_password="a"),
        of(TOKEN, proxy="http://proxy.example:3128", proxy_username="ann", proxy_password="b"),
    ]
    assert len(set(made)) == len(made)


def test_what_a_setting_only_names_counts_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert of(TOKEN, proxy_from_environment=True) != of(TOKEN)
    made = set()
    for directory in (tmp_path / "one", tmp_path / "two"):
        directory.mkdir()
        made.add(of(TOKEN, tls_ca_file=str(Authority(directory).file)))
    assert len(made) == 2


def test_every_setting_that_holds_a_secret_or_an_address_is_part_of_it() -> None:
    kinds = {name: str(field.annotation) for name, field in Portal.model_fields.items()}
    secrets = {name for name, kind in kinds.items() if "SecretStr" in kind}
    assert secrets | {"url", "username"} <= set(REACHED_BY)


def test_a_guess_at_what_is_in_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each guess takes a pass of scrypt over at least 16 MiB, including the secrets."""
    asked: list[tuple[bytes, dict[str, Any]]] = []

    def scrypt(secret: bytes, **cost: Any) -> bytes:
        asked.append((secret, cost))
        return bytes(32)

    monkeypatch.setattr("worker.fingerprint.hashlib.scrypt", scrypt)
    of(LOG_IN)
    [(secret, cost)] = asked
    assert b"a secret" in secret
    assert 128 * cost["n"] * cost["r"] >= 16 * 1024**2


def test_it_is_a_short_text_of_digits() -> None:
    made = of(LOG_IN)
    assert len(made) == 32
    assert set(made) <= set("0123456789abcdef")
