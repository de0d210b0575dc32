"""The address of Redis is checked, taken apart, and shown without its password."""

from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from config.masking import mask_text
from config.redis_url import Endpoint, RedisAddress, RedisUrl, parse_redis_url, redact_url
from config.settings import ConfigError, Settings, load_settings
from tests.support.authority import Authority

NO_FILE = Path("/dev/null")
TEMPLATES = ["redis://{}@h:1/2", "unix://{}@/run/s?db=1", "rediss+sentinel://{}@[::1]:1,h/n/2"]
BEHIND = "redis+sentinel://h/ledger/0"


def load(**variables: object) -> Settings:
    return load_settings(NO_FILE, {f"CRM_SWEEP_REDIS__{key.upper()}": str(value) for key, value in variables.items()})


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", RedisAddress("h", 6379, 0, None, None, False, None)),
        ("redis://h:1/15", RedisAddress("h", 1, 15, None, None, False, None)),
        ("rediss://u:p%40ss@h:6380/2", RedisAddress("h", 6380, 2, "u", "p@ss", True, None)),
        ("redis://:only@[::1]:6379/", RedisAddress("::1", 6379, 0, None, "only", False, None)),
        ("unix:///run/redis.sock?db=3", RedisAddress("", 0, 3, None, None, False, "/run/redis.sock")),
        ("unix://:pw@/run/redis.sock", RedisAddress("", 0, 0, None, "pw", False, "/run/redis.sock")),
        ("redis+sentinel://h/n", RedisAddress("", 0, 0, None, None, False, None, (Endpoint("h", 26379),), "n")),
        (
            "rediss+sentinel://u:p%40ss@One:1,[::1],[2001:DB8::2]:3/my-ledger_1.x/15",
            RedisAddress(
                "", 0, 15, "u", "p@ss", True, None,
                (Endpoint("one", 1), Endpoint("::1", 26379), Endpoint("2001:db8::2", 3)), "my-ledger_1.x",
            ),
        ),
        (
            "redis+sentinel://:a,b@h,h:26379/n/",
            RedisAddress("", 0, 0, None, "a,b", False, None, (Endpoint("h", 26379),), "n"),
        ),
    ],
)  # fmt: skip
def test_an_address_is_taken_apart(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address
    assert load(url=url).redis.url.address == address


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h", "begins with redis://"),
        ("redis+sentinel://h", "the name that the Sentinels give"),
        ("redis+sentinel://h/", "the name that the Sentinels give"),
        ("redis+sentinel://h/a name", "without blanks"),
        ("redis+sentinel://h/a%20name", "the name that the Sentinels give"),
        ("redis+sentinel://h/n/x", "a database number"),
        ("redis+sentinel://h/n/0/1", "a database number"),
        ("redis+sentinel:///n", "host:port for each Sentinel"),
        ("redis+sentinel://h,/n", "host:port for each Sentinel"),
        ("redis+sentinel://:hush-hush@h;g/n", "host:port for each Sentinel"),
        ("redis+sentinel://h:0/n", "a port from 1 to 65535"),
        ("redis+sentinel://h:/n", "a port from 1 to 65535"),
        ("redis+sentinel://h:65536/n", "a port from 1 to 65535"),
        ("redis+sentinel://::1/n", "host:port for each Sentinel"),
        ("redis+sentinel://[h]/n", "an IPv6 address between brackets"),
        ("redis+sentinel://h/n?password=hush-hush", "without '?'"),
        ("redis+sentinel://:hush#hush-hush@h/n", "write %23"),
        ("redis://", "a host name"),
        ("redis://:hush-hush@", "a host name"),
        ("redis://:hush-hush@h:0", "a port from 1 to 65535"),
        ("redis://h:65536", "a port from 1 to 65535"),
        ("redis://h:x", "a port from 1 to 65535"),
        ("redis://h/-1", "a database number"),
        ("redis://h/one", "a database number"),
        ("redis://h/0/1", "a database number"),
        ("redis://h/²", "a database number"),
        ("redis://h/99999999999", "a database number"),
        ("redis://h?password=hush-hush", "without '?'"),
        ("redis://:hush#hush-hush@h", "write %23"),
        ("redis://h /0", "without blanks"),
        ("unix://run/redis.sock", "absolute path of a socket"),
        ("unix://", "absolute path of a socket"),
        ("unix:///s?password=hush-hush", "no option but db"),
        ("unix:///s?db=x", "a database number"),
    ],
)
def test_a_wrong_address_is_refused_without_showing_the_password(url: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(url=url)
    (found,) = caught.value.problems
    assert found.startswith("redis.url (environment variable CRM_SWEEP_REDIS__URL): given ")
    assert expected in found
    assert "hush" not in found


def test_a_password_of_its_own_becomes_part_of_the_address(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("p@ss/word\n")
    for settings in (load(url="redis://h:1/2", password="p@ss/word"), load(url="redis://h:1/2", password_file=path)):
        assert settings.redis.url.get_secret_value() == "redis://:p%40ss%2Fword@h:1/2"
        assert settings.redis.redacted == "redis://:***@h:1/2"
    assert load(url="redis://ann@h", password="p").redis.url.get_secret_value() == "redis://ann:p@h"
    assert load(url="unix:///s?db=1", password="p").redis.url.address.password == "p"
    behind = load(url="redis+sentinel://ann@[::1]:1,h/n/2", password="p/w").redis.url
    assert behind.get_secret_value() == "redis+sentinel://ann:p%2Fw@[::1]:1,h/n/2"
    assert behind.redacted == "redis+sentinel://ann:***@[::1]:1,h/n/2"


def test_two_passwords_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected one password"):
        load(url="redis://:one@h", password="two")


@given(st.text(min_size=1, max_size=30), st.sampled_from(TEMPLATES))
def test_any_password_survives_and_none_is_shown(password: str, template: str) -> None:
    encoded = quote(password, safe="", errors="replace")
    url = RedisUrl(template.format(f"ann:{encoded}"))
    assert url.redacted == str(url) == template.format("ann:***")
    assert repr(url) == f"RedisUrl('{url.redacted}')"
    expected = password.encode(errors="replace").decode()
    assert url.address.password == expected
    assert RedisUrl(template.format("ann")).with_password(expected).address == url.address


def problem(**variables: object) -> str:
    """Return the one thing that is wrong with these settings."""
    with pytest.raises(ConfigError) as caught:
        load(**variables)
    [found] = caught.value.problems
    return found


def test_sentinels_have_a_login_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("hush-hush\n")
    redis = load(url=BEHIND, sentinel_username="ann", sentinel_password_file=path).redis
    assert redis.sentinel_username == "ann"
    assert redis.sentinel_password is not None
    assert redis.sentinel_password.get_secret_value() == "hush-hush"
    assert redis.url.address.password is None
    assert "hush-hush" not in f"{redis!r} {redis} {redis.model_dump_json()}"
    assert mask_text("it was hush-hush") == "it was ***"


def test_a_login_for_sentinels_is_whole_and_has_sentinels(tmp_path: Path) -> None:
    assert "expected sentinel_password or sentinel_password_file" in problem(url=BEHIND, sentinel_username="ann")
    assert "expected a password that is not empty" in problem(url=BEHIND, sentinel_password="")
    found = problem(url="redis://h", sentinel_password="hush-hush")
    assert found.startswith("redis.sentinel_password (")
    assert "only with a url that begins with redis+sentinel://" in found
    assert "hush" not in found
    path = tmp_path / "password"
    path.write_text("hush-hush\n")
    found = problem(url="redis://h", sentinel_password_file=path)
    assert found.startswith("redis.sentinel_password_file (")
    assert f"given {path}, expected sentinel_password_file only" in found


def test_a_client_certificate_and_its_key_go_together(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    certificate, key = ours.certificate_file, ours.key_file
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    for url in ("rediss://h", "rediss+sentinel://h/n"):
        redis = load(url=url, tls_cert_file=certificate, tls_key_file=key).redis
        assert (redis.tls_cert_file, redis.tls_key_file) == (certificate, key)
        assert load(url=url, tls_cert_file=both, tls_key_file=both).redis.tls_key_file == both
    for one in ({"tls_cert_file": certificate}, {"tls_key_file": key}):
        assert "expected tls_cert_file and tls_key_file together" in problem(url="rediss://h", **one)
    assert "only with a url that begins with rediss://" in problem(
        url="redis://h", tls_cert_file=certificate, tls_key_file=key
    )


def test_a_client_certificate_that_cannot_be_used_is_told_with_its_file(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path), Authority(tmp_path, "other")
    certificate, key = ours.certificate_file, ours.key_file
    missing, encrypted, damaged = tmp_path / "missing", tmp_path / "encrypted", tmp_path / "damaged"
    encrypted.write_bytes(
        load_pem_private_key(key.read_bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush-hush")
        )
    )
    damaged.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for files, setting, expected in (
        ((missing, key), "tls_cert_file", "a readable file (No such file or directory)"),
        ((certificate, missing), "tls_key_file", "a readable file (No such file or directory)"),
        ((key, key), "tls_key_file", "a PEM file that begins with the client's certificate"),
        ((certificate, certificate), "tls_key_file", "a PEM file with the private key"),
        ((certificate, other.key_file), "tls_key_file", "the private key that belongs to the certificate"),
        ((certificate, encrypted), "tls_key_file", "a private key without a pass phrase"),
        ((damaged, key), "tls_cert_file", "a certificate and its private key in PEM format"),
    ):
        found = problem(url="rediss://h", tls_cert_file=files[0], tls_key_file=files[1])
        assert found.startswith(f"redis.{setting} ("), (files, found)
        assert expected in found


@given(st.text(max_size=20), st.sampled_from(["redis://u:{}hush-hush@h", "x{}hush-hush@h", "http://h?{}hush-hush"]))
def test_a_broken_address_is_shown_without_what_could_be_a_password(text: str, template: str) -> None:
    assert "hush-hush" not in redact_url(template.format(text))
