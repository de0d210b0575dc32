"""The program as its users have it: real processes, a real Redis, a simulated portal as a process of its own."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis as sync_redis
from pyroaring import BitMap

from cli.embedded import EmbeddedServer

PROGRAM = str(Path(sys.executable).parent / "crm-sweep")
TIMEOUT_S = 60


class Result(NamedTuple):
    """What a command came to."""

    code: int
    stdout: str
    stderr: str


@dataclass
class Portal:
    """A simulated portal in a process of its own."""

    url: str
    process: "subprocess.Popen[bytes]"

    def contacts(self, name: str) -> BitMap:
        """One of the sets of contact IDs that the portal knows."""
        with urllib.request.urlopen(f"{self.url}/truth/contacts/{name}?format=roaring", timeout=10) as answer:  # noqa: S310
            return BitMap.deserialize(answer.read())

    def summary(self) -> dict[str, Any]:
        """Its counts."""
        with urllib.request.urlopen(f"{self.url}/truth/summary", timeout=10) as answer:  # noqa: S310
            return dict(json.loads(answer.read()))

    def has_committed(self, calls: int = 1) -> bool:
        """Whether so many calls have deleted something."""
        return int(self.summary()["deletions_committed"]) >= calls

    def change(self, **switches: object) -> None:
        """Change how it behaves."""
        self._post("behaviour", switches)

    def misbehave(self, **rule: object) -> None:
        """Let a fault strike."""
        self._post("faults", rule)

    def change_world(self, **changes: object) -> None:
        """Change which contacts there are and what they are like."""
        self._post("world", changes)

    def _post(self, route: str, changes: dict[str, object]) -> None:
        body = json.dumps(changes).encode()
        request = urllib.request.Request(f"{self.url}/truth/{route}", body, method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310
            pass


def until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until something is true, for a bounded time."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError("it did not come true")
        time.sleep(0.02)


@dataclass
class Home:
    """A user's working directory, with a configuration file, and the commands they type in it."""

    directory: Path
    redis_url: str
    running: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def configure(self, *, redis: str | None = None, more: str = "", **portals: dict[str, object]) -> None:
        """Write crm-sweep.toml."""
        lines = [more, "[redis]", f'url = "{redis or self.redis_url}"']
        for name, settings in portals.items():
            values = {"token": "simulator-token", "requests_per_second": 200.0, "max_concurrency": 2} | settings
            if "username" in values:
                del values["token"]
            lines += [f"[portals.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        (self.directory / "crm-sweep.toml").write_text("\n".join(lines) + "\n")

    def write(self, name: str, content: str | bytes) -> str:
        """Write a file there."""
        (self.directory / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def ids(self, *ids: int) -> str:
        """Write a list of contact IDs there."""
        return self.write("ids.txt", "".join(f"{contact_id}\n" for contact_id in ids))

    def environment(self, **more: str) -> dict[str, str]:
        """An environment without settings of ours, as wide as a terminal usually is."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("CRM_SWEEP_", "FORCE_"))}
        return clean | {"COLUMNS": "100"} | more

    def cli(self, *args: str, stdin: str | bytes = b"", env: dict[str, str] | None = None) -> Result:
        """Run a command to its end."""
        done = subprocess.run(
            [PROGRAM, *args],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            cwd=self.directory,
            env=self.environment(**env or {}),
            timeout=TIMEOUT_S,
            check=False,
        )
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in result.stderr, result.stderr
        return result

    def start(self, *args: str) -> "subprocess.Popen[bytes]":
        """Start a command that goes on until it is told to stop; it writes to files."""
        with (self.directory / f"{args[0]}.{len(self.running)}.log").open("wb") as log:
            process = subprocess.Popen(
                [PROGRAM, *args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self.environment(),
            )
        self.running.append(process)
        return process

    def submit(self, portal: str, *ids: int, more: tuple[str, ...] = ()) -> str:
        """Submit a list and give the job's ID."""
        result = self.cli("submit", self.ids(*ids), "--portal", portal, "--yes", *more)
        assert result.code == 0, result.stderr
        return result.stdout.strip()

    def keys(self) -> list[bytes]:
        """All keys in Redis."""
        with contextlib.closing(sync_redis.Redis.from_url(self.redis_url)) as client:
            return list(client.scan_iter())

    def state(self, job_id: str) -> str:
        """A job's state as it stands in Redis: what waits for it need not start a command for every look."""
        with contextlib.closing(sync_redis.Redis.from_url(self.redis_url)) as client:
            return str(client.execute_command("HGET", f"crm-sweep:job:{job_id}", "state").decode())

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as `status --json` shows it."""
        result = self.cli("status", job_id, "--json")
        assert result.code == 0, result.stderr
        return dict(json.loads(result.stdout))


@pytest.fixture
def redis_server(server: EmbeddedServer) -> str:
    """The address of a Redis that is empty."""
    with contextlib.closing(sync_redis.Redis.from_url(server.url.get_secret_value())) as client:
        client.flushall()
    return server.url.get_secret_value()


@pytest.fixture
def home(tmp_path: Path, redis_server: str) -> Iterator[Home]:
    """A user's working directory. Whatever was started there is ended with the test."""
    home = Home(tmp_path, redis_server)
    yield home
    for process in home.running:
        process.kill()
        process.wait()
    end_embedded_servers(tmp_path)


@pytest.fixture
def portal() -> Iterator[Callable[..., Portal]]:
    """Start simulated portals: `portal("--contacts", "100")`."""
    with contextlib.ExitStack() as stack:

        def start(*args: object) -> Portal:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "simulator", *map(str, args)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], 30)
            assert readable, "the simulated portal did not start"
            return Portal(process.stdout.readline().decode().removeprefix("listening on ").strip(), process)

        yield start


def end_embedded_servers(directory: Path) -> None:
    """End the servers of `run` processes that a test has killed."""
    for pid_file in directory.rglob("valkey.pid"):
        with contextlib.suppress(ValueError, ProcessLookupError, FileNotFoundError):
            pid = int(pid_file.read_text())
            if directory in Path(f"/proc/{pid}/cwd").resolve(strict=True).parents:
                os.kill(pid, signal.SIGKILL)
