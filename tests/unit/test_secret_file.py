"""A secret from a file is its one line; what prevents that is reported without the secret."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.fields import plain
from config.secret_file import BadSecret, check_token, read_secret
from config.settings import ConfigError, Settings, load_settings

SECRET = "hush-0123456789"
NO_FILE = Path("/dev/null")
URL = {"CRM_SWEEP_PORTALS__MAIN__URL": "http://crm"}
TOKEN = {"CRM_SWEEP_PORTALS__MAIN__TOKEN": "tok-1"}

#: Every setting that names a file with a secret: the variables that it needs, and where its secret ends up.
KINDS: dict[str, tuple[dict[str, str], Callable[[Settings], SecretStr | None]]] = {
    "PORTALS__MAIN__TOKEN_FILE": ({}, lambda settings: settings.portal("main").token),
    "PORTALS__MAIN__PASSWORD_FILE": (
        {"CRM_SWEEP_PORTALS__MAIN__USERNAME": "ann"},
        lambda settings: settings.portal("main").password,
    ),
    "PORTALS__MAIN__PROXY_PASSWORD_FILE": (
        TOKEN | {"CRM_SWEEP_PORTALS__MAIN__PROXY": "http://p:3128", "CRM_SWEEP_PORTALS__MAIN__PROXY_USERNAME": "ann"},
        lambda settings: settings.portal("main").proxy_password,
    ),
    "REDIS__PASSWORD_FILE": (TOKEN, lambda settings: settings.redis.password),
}


def load(kind: str, path: Path) -> str:
    more, secret_of = KINDS[kind]
    settings = load_settings(NO_FILE, URL | more | {f"CRM_SWEEP_{kind}": str(path)})
    return plain(secret_of(settings)) or ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("after", [b"", b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n"])
def test_a_byte_order_mark_and_line_ends_behind_are_no_part_of_the_secret(
    tmp_path: Path, kind: str, before: bytes, after: bytes
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(before + SECRET.encode() + after)
    assert load(kind, path) == SECRET


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"{SECRET}\n{SECRET}\n".encode(), "it has 2 lines"),
        (f"# token\r\n{SECRET}\r\n".encode(), "it has 2 lines"),
        (f"\n{SECRET}".encode(), "it has 2 lines; the first one is empty"),
        (f"{SECRET}\u2028{SECRET}".encode(), "it has 2 lines"),
        (f"{SECRET}\0".encode(), "a NUL at position 16"),
        (f"hush\t{SECRET}".encode(), "a tab at position 5"),
        (f"\x1b[0m{SECRET}".encode(), "the invisible character U+001B at position 1"),
        (f"hush\ufeff{SECRET}".encode(), "a byte order mark at position 5"),
        (SECRET.encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        (b"\xfe\xff" + SECRET.encode("utf-16-be"), "it is UTF-16; save it as UTF-8"),
        (SECRET.encode("utf-16-le"), "it looks like UTF-16 without a byte order mark; save it as UTF-8"),
        (SECRET.encode("utf-16-be"), "it looks like UTF-16 without a byte order mark; save it as UTF-8"),
        (SECRET.encode("utf-32"), "it is UTF-32; save it as UTF-8"),
        (SECRET.encode() + b"\xe9", "byte 16 is not UTF-8"),
        (b"\xef\xbb\xbf" + SECRET.encode() + b"\xe9", "byte 19 is not UTF-8"),
        (b"", "a file that is not empty"),
        (b"\xef\xbb\xbf\r\n", "a file that is not empty"),
        (b"  \n", "a file that holds more than blanks"),
        (SECRET.encode() * 6000, "larger than 64 kB"),
    ],
)
def test_what_is_in_the_way_is_told_and_never_the_secret(
    tmp_path: Path, kind: str, content: bytes, expected: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(kind, path)
    (problem,) = caught.value.problems
    assert f"(environment variable CRM_SWEEP_{kind}): given {path}, expected " in problem
    assert expected in problem
    assert "hush" not in problem
    assert "None" not in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{SECRET} ", "it ends with a blank"),
        (f" {SECRET}", "it begins with a blank"),
        (f"hush {SECRET}", "there is a blank at position 5"),
        (f"{SECRET}\u00a0", "it ends with a no-break space"),
        (f"hush\u200b{SECRET}", "there is the invisible character U+200B at position 5"),
        (f"{SECRET}é", "it ends with a character that is not ASCII"),
        (f"Bearer {SECRET}", "without the word Bearer before it"),
    ],
)
def test_a_token_says_what_it_must_not_hold_given_either_way(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "token"
    path.write_text(text + "\n", encoding="utf-8")
    for variable, value, shown in (("TOKEN_FILE", str(path), str(path)), ("TOKEN", text, "***")):
        with pytest.raises(ConfigError) as caught:
            load_settings(NO_FILE, URL | {f"CRM_SWEEP_PORTALS__MAIN__{variable}": value})
        (problem,) = caught.value.problems
        assert f"given {shown}, expected a token of visible ASCII characters" in problem
        assert expected in problem
        assert "hush" not in problem
        assert "é" not in problem


def test_blanks_around_a_password_belong_to_it(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(f" {SECRET} \n")
    assert load("PORTALS__MAIN__PASSWORD_FILE", path) == f" {SECRET} "


def test_a_file_that_is_not_there_or_a_directory_says_so(tmp_path: Path) -> None:
    for path, expected in ((tmp_path / "no", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(BadSecret, match=rf"^a readable file \({expected}\)$"):
            read_secret(path)


@pytest.mark.parametrize("given_as", [SECRET, f"hush/{SECRET}==", SECRET * 20])
def test_a_secret_in_place_of_the_name_of_its_file_is_not_shown(given_as: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(NO_FILE, URL | {"CRM_SWEEP_PORTALS__MAIN__TOKEN_FILE": given_as})
    (problem,) = caught.value.problems
    assert "given the name of a file that does not exist, expected a readable file (" in problem
    assert "hush" not in problem


@settings(deadline=None)  # a busy machine may take long over a file
@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufeff"), min_size=1))
def test_any_line_of_text_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any-secret"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_bytes((text + "\r\n").encode(encoding))
        if text.strip():
            assert read_secret(path) == text


@settings(deadline=None)  # a busy machine may take long over a file
@given(st.binary(max_size=40))
def test_bytes_of_any_kind_are_a_secret_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-bytes"
    path.write_bytes(data)
    try:
        secret = read_secret(path)
        check_token(secret)
    except BadSecret:
        return
    assert secret.encode() == data.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_configuration_with_a_byte_order_mark_is_read(tmp_path: Path, end: str) -> None:
    path = tmp_path / "crm-sweep.toml"
    path.write_bytes(b"\xef\xbb\xbf" + f"confirm_above = 7{end}[redis]{end}".encode())
    assert load_settings(path, {}).confirm_above == 7


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-16", "it is UTF-16; save it as UTF-8"),
        ("utf-32", "it is UTF-32; save it as UTF-8"),
        ("utf-16-le", "it looks like UTF-16 without a byte order mark; save it as UTF-8"),
        ("latin-1", "byte 21 is not UTF-8"),
    ],
)
def test_a_configuration_in_another_encoding_is_called_by_its_name(tmp_path: Path, encoding: str, named: str) -> None:
    path = tmp_path / "crm-sweep.toml"
    path.write_bytes("confirm_above = 7 # ä\n".encode(encoding))
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    assert caught.value.problems == [f"{path}: not UTF-8 text: {named}"]
