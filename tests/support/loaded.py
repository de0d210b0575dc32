"""Processes of the program that start in a moment, because a copy is made of one that has loaded everything.

Loading takes longer than what most commands do. Apart from that, a copy is a process like any other: it has its own
directory, environment and standard streams, it is signalled and killed, and it ends with an exit code. What concerns
the start itself, or an environment that Python reads when it starts, has to be tested with a new process.
"""

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO

from tests.support.loaded_server import MOST_BYTES, NUMBER

ROOT = Path(__file__).parents[2]

#: How long a copy may take to start on a busy machine; the first one waits for the loading.
_START_S = 60.0


class Loaded:
    """A running process; the methods are those of `subprocess.Popen`.

    Attributes:
        args: its arguments.
        pid: its process ID.
        returncode: its exit code, or minus the signal that ended it; None until it was found to have ended.
    """

    def __init__(self, args: list[str], reply: int) -> None:
        self.args = args
        self.returncode: int | None = None
        self._reply = reply
        self.pid = self._read(_START_S)

    def poll(self) -> int | None:
        """Return its exit code if it has ended."""
        if self.returncode is None and select.select([self._reply], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs after so many seconds.
        """
        if self.returncode is None:
            self.returncode = self._read(timeout)
            os.close(self._reply)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _read(self, timeout: float | None) -> int:
        if not select.select([self._reply], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        data = os.read(self._reply, NUMBER.size)
        assert data, "the process that makes copies has ended"
        return int(NUMBER.unpack(data)[0])


def start(
    program: str,
    arguments: list[str],
    *,
    cwd: Path,
    env: dict[str, str],
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
) -> Loaded:
    """Start a process.

    Args:
        program: `crm-sweep`, `simulator` or `bench`.
        arguments: its command line.
        cwd: its working directory.
        env: its environment.
        stdin: where it reads; by default nothing.
        stdout: where it writes.
        stderr: where it writes errors.
    """
    request = json.dumps({"program": program, "arguments": arguments, "cwd": str(cwd), "env": env}).encode()
    assert len(request) <= MOST_BYTES, "arguments and environment are too long"
    ours, theirs = os.pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        streams = [nothing if stream == subprocess.DEVNULL else _number(stream) for stream in (stdin, stdout, stderr)]
        socket.send_fds(_server(), [request], [*streams, theirs])
    finally:
        os.close(theirs)
        os.close(nothing)
    return Loaded([program, *arguments], ours)


def _number(stream: int | IO[bytes]) -> int:
    return stream if isinstance(stream, int) else stream.fileno()


@functools.cache
def _server() -> socket.socket:
    """Load the program, once per test process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.loaded_server", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            env=plain_environment(),
        )

    @atexit.register
    def end() -> None:
        ours.close()
        process.wait()

    return ours


def plain_environment(**more: str) -> dict[str, str]:
    """Return an environment without settings of ours, with the width of a usual terminal."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CRM_SWEEP_", "FORCE_"))}
    return clean | {"COLUMNS": "100"} | more
