"""Commands leave data of a newer version alone."""

import contextlib
from collections.abc import Callable

import pytest
import redis as sync_redis

from jobs.store import keys
from jobs.store.format_number import FORMAT
from tests.support.home import Home
from tests.support.portal_process import Portal

NEWER = FORMAT + 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("submit", "ids.txt", "--portal", "main"),
        ("select", "--portal", "main", "--tag", "trash", "-o", "trash.csv"),
        ("worker",),
        ("api", "--port", "0"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_data_of_a_newer_version_is_refused_in_one_line(
    home: Home, portal: Callable[..., Portal], arguments: tuple[str, ...]
) -> None:
    home.configure(main={"url": portal("--contacts", 3).url})
    home.ids(1, 2, 3)
    with contextlib.closing(sync_redis.Redis.from_url(home.redis_url)) as client:
        client.set(keys.FORMAT, NEWER)
    result = home.cli(*arguments)
    assert (result.code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert f"data of format {NEWER}" in line
    assert "install the version" in line
    assert home.keys() == [keys.FORMAT.encode()], "nothing else was written"


def test_check_says_it_as_a_finding(home: Home, portal: Callable[..., Portal]) -> None:
    home.configure(main={"url": portal("--contacts", 3).url})
    with contextlib.closing(sync_redis.Redis.from_url(home.redis_url)) as client:
        client.set(keys.FORMAT, NEWER)
    result = home.cli("check")
    assert result.code == 2
    assert f"error   redis: Redis holds data of format {NEWER}" in result.stdout


def test_a_command_leaves_the_number_for_versions_to_come(home: Home, portal: Callable[..., Portal]) -> None:
    home.configure(main={"url": portal("--contacts", 3).url})
    assert home.cli("list").code == 0
    assert home.keys() == [keys.FORMAT.encode()]
