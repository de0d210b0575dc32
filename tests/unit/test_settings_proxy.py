"""The settings of the way to a portal: a proxy, its credentials, and which authorities to trust."""

from pathlib import Path

import pytest

from config.authorities import read_authorities
from config.masking import mask_text
from config.proxy import Proxy, environment_proxy
from config.settings import ConfigError, Portal, load_settings
from tests.support.authority import Authority

PREFIX = "CRM_SWEEP_PORTALS__MAIN__"
NO_FILE = Path("/dev/null")
SECRET = "hush-proxy-1"


def load(**given: object) -> Portal:
    variables = {"url": "https://crm.example.com", "token": "tok-1"} | given
    environ = {PREFIX + key.upper(): str(value) for key, value in variables.items()}
    return load_settings(NO_FILE, environ).portal("main")


def problems(**given: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(**given)
    return caught.value.problems


@pytest.fixture(autouse=True)
def _no_proxies_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("given", "url", "at"),
    [
        ("http://proxy:3128", "http://proxy:3128", ("proxy", 3128)),
        ("HTTPS://Proxy.Example.com:8443/", "https://proxy.example.com:8443", ("proxy.example.com", 8443)),
        ("http://[::1]:3128", "http://[::1]:3128", ("::1", 3128)),
        ("http://proxy", "http://proxy", ("proxy", 80)),
        ("https://proxy", "https://proxy", ("proxy", 443)),
    ],
)
def test_a_proxy_is_an_address(given: str, url: str, at: tuple[str, int]) -> None:
    proxy = load(proxy=given).proxy_on_the_way()
    assert proxy == Proxy(url, "proxy")
    assert (proxy.host, proxy.port) == at
    assert proxy.authorization == ""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("proxy:3128", "begins with http:// or https://"),
        ("socks5://proxy:1080", "such as SOCKS"),
        (f"http://ann:{SECRET}@proxy:3128", "without credentials"),
        ("http://proxy:0", "port from 1 to 65535"),
        ("http://proxy:99999", "port from 1 to 65535"),
        ("http://:3128", "host name"),
        ("http://pro xy", "without blanks"),
        ("http://proxy:3128/path", "ends after the host name or port"),
        (f"http://proxy:3128?{SECRET}", "ends after the host name or port"),
    ],
)
def test_a_wrong_proxy_is_refused_without_showing_what_could_be_secret(given: str, expected: str) -> None:
    (found,) = problems(proxy=given)
    assert found.startswith(f"portals.main.proxy (environment variable {PREFIX}PROXY): given '")
    assert expected in found
    assert SECRET not in found


def test_credentials_of_a_proxy_are_a_user_name_and_a_password(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    for password in ({"proxy_password": SECRET}, {"proxy_password_file": file}):
        portal = load(proxy="http://proxy:3128", proxy_username="ann", **password)
        proxy = portal.proxy_on_the_way()
        assert proxy == Proxy("http://proxy:3128", "proxy", "ann", SECRET)
        assert proxy.authorization == "Basic YW5uOmh1c2gtcHJveHktMQ=="
        assert SECRET not in f"{portal!r} {proxy!r} {portal.model_dump_json()}"
    assert mask_text(f"sent {SECRET} as YW5uOmh1c2gtcHJveHktMQ==") == "sent *** as ***"


@pytest.mark.parametrize(
    ("given", "blamed", "expected"),
    [
        ({"proxy_username": "ann", "proxy_password": SECRET}, "proxy", "proxy to go with proxy_username"),
        ({"proxy": "http://p", "proxy_username": "ann"}, "proxy_password", "proxy_password or proxy_password_file"),
        ({"proxy": "http://p", "proxy_password": SECRET}, "proxy_username", "proxy_username to go with"),
        ({"proxy": "http://p", "proxy_username": "a:b", "proxy_password": SECRET}, "proxy_username", "without a colon"),
        (
            {"proxy": "http://p", "proxy_username": "a", "proxy_password": SECRET, "proxy_password_file": "/x"},
            "proxy_password_file",
            "not both",
        ),
        ({"proxy": "http://p", "proxy_username": "ann", "proxy_password": ""}, "proxy_password", "not empty"),
        (
            {"proxy": "http://p", "proxy_from_environment": "true"},
            "proxy_from_environment",
            "either proxy or proxy_from_environment, not both",
        ),
        ({"proxy_from_environment": "yes"}, "proxy_from_environment", "given 'yes', expected true or false"),
    ],
)
def test_a_proxy_that_is_half_set_is_refused(given: dict[str, object], blamed: str, expected: str) -> None:
    (found,) = problems(**given)
    assert found.startswith(f"portals.main.{blamed} (")
    assert expected in found
    assert SECRET not in found


def test_the_environments_proxies_are_ignored_unless_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://ann:{SECRET}%21@proxy:3128/")
    assert load().proxy_on_the_way() is None
    assert load(proxy_from_environment="false").proxy_on_the_way() is None
    portal = load(proxy_from_environment="TRUE")
    assert portal.proxy_on_the_way() == Proxy("http://proxy:3128", "HTTPS_PROXY", "ann", f"{SECRET}!")
    assert mask_text(f"{SECRET}!") == "***"
    assert load(url="http://crm.example.com", proxy_from_environment="true").proxy_on_the_way() is None


@pytest.mark.parametrize(
    ("no_proxy", "straight"),
    [
        ("crm.example.com", True),
        (".example.com", True),
        ("example.com", True),
        ("*", True),
        ("localhost, example.com", True),
        ("ample.com", False),
        ("other.example.com", False),
    ],
)
def test_no_proxy_names_hosts_to_reach_directly(no_proxy: str, straight: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    proxy = environment_proxy("https://crm.example.com")
    assert proxy == (None if straight else Proxy("http://proxy:3128", "HTTPS_PROXY"))


def test_a_proxy_of_the_environment_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://ann:{SECRET}@proxy:1080")
    (found,) = problems(proxy_from_environment="true")
    assert "given true, expected in HTTPS_PROXY an address that begins with http://" in found
    assert SECRET not in found
    load()  # no problem unless it is wanted


def test_authorities_are_read_and_anything_else_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    assert load(tls_ca_file=authority.file).tls_ca_file == authority.file
    assert read_authorities(authority.file).count("BEGIN CERTIFICATE") == 1
    pem = authority.file.read_bytes()
    for number, (content, expected) in enumerate(
        (
            (None, "a readable file (No such file or directory)"),
            (b"", "it is empty"),
            (b"hush-hush", "it has no -----BEGIN CERTIFICATE-----"),
            (authority.der, "it is in DER format"),
            (authority.key_file.read_bytes(), "it holds a private key"),
            (pem.replace(pem[40:60], b"A" * 20), "one of them is damaged"),
        )
    ):
        path = tmp_path / f"ca-{number}.pem"
        if content is not None:
            path.write_bytes(content)
        (found,) = problems(tls_ca_file=path)
        assert f"portals.main.tls_ca_file (environment variable {PREFIX}TLS_CA_FILE): given {path}, expected " in found
        assert expected in found
        assert "hush" not in found


def test_authorities_for_redis_need_tls(tmp_path: Path) -> None:
    file = str(Authority(tmp_path).file)
    environ = {"CRM_SWEEP_REDIS__TLS_CA_FILE": file}
    settings = load_settings(NO_FILE, environ | {"CRM_SWEEP_REDIS__URL": "rediss://h:6380/0"})
    assert str(settings.redis.tls_ca_file) == file
    with pytest.raises(
        ConfigError, match=r"redis\.tls_ca_file .*expected tls_ca_file only with a url that begins with"
    ):
        load_settings(NO_FILE, environ)
