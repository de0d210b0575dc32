"""A portal's address, its one form of credentials, and its limits."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from config.settings import ConfigError, Portal, load_settings

PREFIX = "CRM_SWEEP_PORTALS__MAIN__"
NO_FILE = Path("/dev/null")


Given = Mapping[str, object]


def load_over(path: Path, given: Given) -> Portal:
    """Load portal `main` from a file, with these variables overriding it."""
    return load_settings(path, {PREFIX + key.upper(): str(value) for key, value in given.items()}).portal("main")


def load(**given: object) -> Portal:
    return load_over(NO_FILE, {"url": "https://crm.example.com"} | given)


def problems(**given: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(**given)
    return caught.value.problems


def write(path: Path, credentials: str) -> Path:
    path.write_text(f'[portals.main]\nurl = "http://crm"\n{credentials}', encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("https://crm.example.com", "https://crm.example.com"),
        ("HTTPS://CRM.Example.com/", "https://crm.example.com"),
        ("http://10.0.0.5:8092//", "http://10.0.0.5:8092"),
        ("http://[::1]:8092", "http://[::1]:8092"),
        ("https://host/Office/", "https://host/Office"),
        ("https://host/apiary", "https://host/apiary"),
    ],
)
def test_an_address_is_normalised(given: str, normal: str) -> None:
    assert load(url=given, token="tok-1").url == normal


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "begins with http:// or https://"),
        ("crm.example.com", "begins with http:// or https://"),
        ("https://", "host name"),
        ("https://:80", "host name"),
        ("https://host:0", "port from 1 to 65535"),
        ("https://host:99999", "port from 1 to 65535"),
        ("https://[::1", "well-formed"),
        ("https://ho st", "without blanks"),
        ("https://host/api", "without /api"),
        ("https://host/API/2.0", "without /api"),
        ("https://host/x/api/", "without /api"),
        ("https://ann:hush-hush@host", "without credentials"),
        ("https://host?asc_auth_key=hush-hush", "without '?'"),
        ("https://host/#hush-hush", "without '?' and '#'"),
    ],
)
def test_a_wrong_address_is_refused_without_showing_what_could_be_secret(given: str, expected: str) -> None:
    (found,) = problems(url=given, token="tok-1")
    assert found.startswith("portals.main.url (environment variable")
    assert expected in found
    assert "hush-hush" not in found


def test_a_token_or_a_user_name_with_a_password_is_one_form() -> None:
    by_token = load(token="tok-1")
    assert by_token.token is not None
    assert by_token.token.get_secret_value() == "tok-1"
    by_password = load(username="ann@example.com", password=" with blank ")
    assert by_password.password is not None
    assert by_password.password.get_secret_value() == " with blank "


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_its_file_without_the_line_ends_behind_it(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"tok-in-file" + ending.encode())
    by_token = load(token_file=path)
    assert by_token.token is not None
    assert by_token.token.get_secret_value() == "tok-in-file"
    path.write_bytes(b"pass word" + ending.encode())
    by_password = load(username="ann", password_file=path)
    assert by_password.password is not None
    assert by_password.password.get_secret_value() == "pass word"


def test_a_secret_file_that_is_missing_a_directory_empty_or_not_text_is_an_error_that_names_it(tmp_path: Path) -> None:
    empty, binary, missing = tmp_path / "empty", tmp_path / "binary", tmp_path / "missing"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe")
    for path, expected in (
        (missing, "expected a readable file (No such file or directory)"),
        (tmp_path, "expected a readable file (Is a directory)"),
        (empty, "expected a file that is not empty"),
        (binary, "expected a file of UTF-8 text (it is UTF-16; save it as UTF-8)"),
    ):
        cases: tuple[tuple[str, Given], ...] = (("token_file", {}), ("password_file", {"username": "ann"}))
        for field, others in cases:
            (found,) = problems(**{field: path}, **others)
            assert (
                found
                == f"portals.main.{field} (environment variable {PREFIX}{field.upper()}): given {path}, {expected}"
            )


@pytest.mark.parametrize(
    ("variables", "blamed", "expected"),
    [
        ({}, "password", "credentials: token, token_file, or username"),
        ({"username": "ann"}, "password", "password or password_file to go with username"),
        ({"password": "hush-hush"}, "username", "username to go with the password"),
        ({"token": "hush-hush", "username": "ann"}, "username", "either a token or username"),
        ({"token": "hush-hush", "password": "hush-hush"}, "password", "either a token or username"),
        ({"token": "hush-hush", "token_file": "/x"}, "token_file", "either token or token_file, not both"),
        ({"username": "a", "password": "hush-hush", "password_file": "/x"}, "password_file", "either password or"),
        ({"token": ""}, "token", "a token of visible ASCII"),
        ({"token": "Bearer hush-hush"}, "token", "without the word Bearer"),
        ({"token": "hush-hush\r\nX-Evil: 1"}, "token", "a token of visible ASCII"),
        ({"token": "hush-hush-é"}, "token", "a token of visible ASCII"),
        ({"username": "ann", "password": ""}, "password", "a password that is not empty"),
        ({"username": " ", "password": "hush-hush"}, "username", "a user name"),
    ],
)
def test_credentials_in_another_form_are_refused(variables: dict[str, str], blamed: str, expected: str) -> None:
    (found,) = problems(**variables)
    assert found.startswith(f"portals.main.{blamed} (")
    assert expected in found
    assert "hush-hush" not in found


@pytest.mark.parametrize(
    "in_file",
    [
        'token_file = "/nowhere"',
        'username = "ann"\npassword = "from-file"',
        'username = "ann"\npassword_file = "/nowhere"',
    ],
)
def test_a_token_in_the_environment_displaces_other_credentials_in_the_file(tmp_path: Path, in_file: str) -> None:
    portal = load_over(write(tmp_path / "c.toml", in_file), {"token": "tok-env"})
    assert portal.token is not None
    assert portal.token.get_secret_value() == "tok-env"
    assert (portal.token_file, portal.username, portal.password) == (None, None, None)


def test_a_password_in_the_environment_goes_with_the_user_name_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", 'username = "ann"\npassword_file = "/nowhere"')
    portal = load_over(path, {"password": "from-env"})
    assert portal.username == "ann"
    assert portal.password is not None
    assert portal.password.get_secret_value() == "from-env"


def test_the_first_batch_cannot_be_larger_than_the_largest() -> None:
    (found,) = problems(token="tok-1", batch_size_start=300)
    assert "portals.main.batch_size_max" in found
    assert "given 200, expected at least batch_size_start, which is 300" in found
    assert load(token="tok-1", batch_size_start=300, batch_size_max=300).batch_size_max == 300


def test_the_longest_backoff_cannot_be_shorter_than_the_first() -> None:
    (found,) = problems(token="tok-1", backoff_base_s=2, backoff_max_s=1)
    assert "given 1.0, expected at least backoff_base_s, which is 2" in found


@pytest.mark.parametrize(
    ("key", "inside", "outside"),
    [
        ("requests_per_second", (0.01, 1000), (0.009, 1000.1)),
        ("burst", (1, 1000), (0, 1001)),
        ("max_concurrency", (1, 64), (0, 65)),
        ("batch_size_start", (1, 200), (0, 1001)),
        ("batch_size_max", (50, 1000), (0, 1001)),
        ("request_timeout_s", (1, 600), (0.5, 601)),
        ("approval_above", (0, 10**9), (-1,)),
        ("lookup_url_max_chars", (256, 16000), (255, 16001)),
        ("max_attempts", (1, 20), (0, 21)),
        ("answer_format", ("json", "xml"), ("yaml", "")),
        ("auth_scheme", ("token", "bearer"), ("Bearer", "basic")),
    ],
)
def test_a_limit_takes_its_range_and_nothing_else(key: str, inside: tuple[object], outside: tuple[object]) -> None:
    for value in inside:
        assert getattr(load(**{"token": "tok-1", key: value}), key) == value
    for value in outside:
        assert any(
            problem.startswith(f"portals.main.{key} (") for problem in problems(**{"token": "tok-1", key: value})
        )


@pytest.mark.parametrize("name", ["Main", "-x", "_x", "a.b", "a b", "", "x" * 33, "ä"])
def test_a_portal_name_is_a_short_plain_word(tmp_path: Path, name: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f'[portals."{name}"]\nurl = "http://crm"\ntoken = "tok-1"', encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a name of 1 to 32 characters"):
        load_settings(path, {})
