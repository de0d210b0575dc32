"""Ctrl-C, SIGTERM and a closed terminal mean the same: stop in an orderly way.

The handlers are set explicitly, because process 1 of a container has no default action for any signal.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heeded() -> tuple[signal.Signals, ...]:
    """Return the signals that stop a command; under `nohup`, a closed terminal does not."""
    return tuple(
        number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    )


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Make SIGTERM and a closed terminal raise KeyboardInterrupt as well, so that `finally` blocks run."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.asynccontextmanager
async def interruptible() -> AsyncIterator[asyncio.Event]:
    """Set an event at the first signal instead of aborting; a second signal cancels the block."""
    stop = asyncio.Event()
    loop, block = asyncio.get_running_loop(), asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and block is not None:
            block.cancel()
        stop.set()

    before = {number: signal.getsignal(number) for number in heeded()}
    for number in before:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore signals during a short clean-up."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
