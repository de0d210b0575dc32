"""The program as users have it: commands typed in a working directory of their own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import redis as sync_redis

from jobs.store import keys
from tests.support import loaded

Process = subprocess.Popen[bytes] | loaded.Loaded

PROGRAM = str(Path(sys.executable).parent / "crm-sweep")
TIMEOUT_S = 60


class Result(NamedTuple):
    """The result of a command."""

    code: int
    stdout: str
    stderr: str


def run_to_its_end(start: Callable[[IO[bytes], IO[bytes]], Process], timeout_s: float = TIMEOUT_S) -> Result:
    """Start a process that writes to the two files that it is given, and wait for its end."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = start(output, errors)
        try:
            code = process.wait(timeout_s)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        errors.seek(0)
        return Result(code, output.read().decode(), errors.read().decode())


def until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until a condition is true, for a limited time."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError("it did not come true")
        time.sleep(0.02)


@dataclass
class Home:
    """A user's working directory, with a configuration file, and the commands they type in it.

    Attributes:
        directory: the directory.
        redis_url: the Redis of its configuration.
        running: what was started and is to be ended with the test.
        from_scratch: whether each command is a new process that loads the program, where that is what matters.
    """

    directory: Path
    redis_url: str
    running: list[Process] = field(default_factory=list)
    from_scratch: bool = False

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
        """Write a file in the directory."""
        (self.directory / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def ids(self, *ids: int) -> str:
        """Write a list of contact IDs in the directory."""
        return self.write("ids.txt", "".join(f"{contact_id}\n" for contact_id in ids))

    def environment(self, **more: str) -> dict[str, str]:
        """Return an environment without settings of ours, with the width of a usual terminal."""
        return loaded.plain_environment(**more)

    def cli(
        self,
        *args: str,
        stdin: str | bytes = b"",
        stdout: int | IO[bytes] | None = None,
        env: dict[str, str] | None = None,
    ) -> Result:
        """Run a command to its end.

        Args:
            args: the command.
            stdin: what it reads.
            stdout: where it writes; nothing of that is in the result.
            env: further variables.
        """
        text = stdin.encode() if isinstance(stdin, str) else stdin
        with tempfile.TemporaryFile() as given:
            given.write(text)
            given.seek(0)
            result = run_to_its_end(
                lambda output, errors: self._start(args, given, output if stdout is None else stdout, errors, env or {})
            )
        assert "Traceback" not in result.stderr, result.stderr
        return result

    def start(self, *args: str) -> Process:
        """Start a command that runs until it is told to stop; its output goes to files."""
        with (self.directory / f"{args[0]}.{len(self.running)}.log").open("wb") as output:
            process = self._start(args, subprocess.DEVNULL, output, output, {})
        self.running.append(process)
        return process

    def _start(
        self,
        args: tuple[str, ...],
        stdin: int | IO[bytes],
        stdout: int | IO[bytes],
        stderr: IO[bytes],
        env: dict[str, str],
    ) -> Process:
        # Other variables than ours may change how Python itself starts.
        is_usual = all(name.startswith("CRM_SWEEP_") for name in env)
        environment = self.environment(**env)
        if is_usual and not self.from_scratch:
            return loaded.start(
                "crm-sweep", list(args), cwd=self.directory, env=environment, stdin=stdin, stdout=stdout, stderr=stderr
            )
        return subprocess.Popen(
            [PROGRAM, *args], cwd=self.directory, env=environment, stdin=stdin, stdout=stdout, stderr=stderr
        )

    def start_program(self, *command: str, log: str = "program") -> "subprocess.Popen[bytes]":
        """Start any program in the same way."""
        with (self.directory / f"{log}.{len(self.running)}.log").open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self.environment(),
            )
        self.running.append(process)
        return process

    def submit(self, portal: str, *ids: int, more: tuple[str, ...] = ()) -> str:
        """Submit a list and return the job's ID."""
        result = self.cli("submit", self.ids(*ids), "--portal", portal, "--yes", *more)
        assert result.code == 0, result.stderr
        return result.stdout.strip()

    def keys(self) -> list[bytes]:
        """Return all keys in Redis."""
        with contextlib.closing(sync_redis.Redis.from_url(self.redis_url)) as client:
            return list(client.scan_iter())

    def state(self, job_id: str) -> str:
        """Return a job's state from Redis, so that waiting for it does not start a command for every check."""
        with contextlib.closing(sync_redis.Redis.from_url(self.redis_url)) as client:
            return str(client.execute_command("HGET", keys.job(job_id), "state").decode())

    def until_in(self, job_id: str, state: str) -> None:
        """Wait until a job is in a state."""
        until(lambda: self.state(job_id) == state)

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job as `status --json` shows it."""
        result = self.cli("status", job_id, "--json")
        assert result.code == 0, result.stderr
        return dict(json.loads(result.stdout))


def end_embedded_servers(directory: Path) -> None:
    """End the servers of `run` processes that a test has killed."""
    for pid_file in directory.rglob("valkey.pid"):
        with contextlib.suppress(ValueError, ProcessLookupError, FileNotFoundError):
            pid = int(pid_file.read_text())
            if directory in Path(f"/proc/{pid}/cwd").resolve(strict=True).parents:
                os.kill(pid, signal.SIGKILL)
