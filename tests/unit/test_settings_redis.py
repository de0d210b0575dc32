"""The address of Redis is checked, taken apart, and shown without its password."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.redis_url import RedisAddress, RedisUrl, parse_redis_url, redact_url
from config.settings import ConfigError, Settings, load_settings

NO_FILE = Path("/dev/null")


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
    ],
)
def test_an_address_is_taken_apart(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address
    assert load(url=url).redis.url.address == address


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h", "begins with redis://"),
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


def test_two_passwords_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected one password"):
        load(url="redis://:one@h", password="two")


@given(st.text(min_size=1, max_size=30), st.sampled_from(["redis://{}@h:1/2", "unix://{}@/run/s?db=1"]))
def test_any_password_survives_and_none_is_shown(password: str, template: str) -> None:
    encoded = quote(password, safe="", errors="replace")
    url = RedisUrl(template.format(f"ann:{encoded}"))
    assert url.redacted == str(url) == template.format("ann:***")
    assert repr(url) == f"RedisUrl('{url.redacted}')"
    expected = password.encode(errors="replace").decode()
    assert url.address.password == expected
    assert RedisUrl(template.format("ann")).with_password(expected).address == url.address


@given(st.text(max_size=20), st.sampled_from(["redis://u:{}hush-hush@h", "x{}hush-hush@h", "http://h?{}hush-hush"]))
def test_a_broken_address_is_shown_without_what_could_be_a_password(text: str, template: str) -> None:
    assert "hush-hush" not in redact_url(template.format(text))
