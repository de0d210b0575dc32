"""The one place that starts an event loop for a command: uvloop where there is one."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

from cli.interrupts import heeded

T = TypeVar("T")

#: How long whatever still runs may take to clean up when a command has come to its end, seconds.
_LEAVE_S = 5.0

_left_behind: list[asyncio.Runner] = []


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end.

    A signal cancels it, a second one breaks off. What it has started and not waited for is cancelled, and left behind
    if it does not end within some seconds: it may wait for a Redis that will never answer.

    Raises:
        KeyboardInterrupt, asyncio.CancelledError: a signal came; the coroutine was cancelled and has cleaned up.
    """
    runner = asyncio.Runner(loop_factory=_loop_factory())
    try:
        return runner.run(_cancelled_by_signals(main))
    finally:
        if _ended(runner.get_loop()):
            runner.close()
        else:
            _left_behind.append(runner)


def left_behind() -> bool:
    """Whether something still runs that does not end: then the process must not wait for it."""
    return bool(_left_behind)


async def _cancelled_by_signals(main: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    with _on_signals(asyncio.get_running_loop(), task.cancel if task else lambda: None):
        return await main


@contextlib.contextmanager
def _on_signals(loop: asyncio.AbstractEventLoop, cancel: Callable[[], object]) -> Iterator[None]:
    asked = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        loop.call_soon_threadsafe(cancel)

    # Not by the loop's own handlers: `interruptible` puts back what it finds here, which those would not survive.
    before = {number: signal.signal(number, on_signal) for number in heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(loop: asyncio.AbstractEventLoop) -> bool:
    """Cancel what still runs; False if it does not end in time."""
    running = asyncio.all_tasks(loop)
    for task in running:
        task.cancel()
    if not running:
        return True
    with contextlib.suppress(KeyboardInterrupt):
        loop.run_until_complete(asyncio.wait(running, timeout=_LEAVE_S))
    return not asyncio.all_tasks(loop)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - there is none for some platforms
    except ImportError:
        return None
    return uvloop.new_event_loop
