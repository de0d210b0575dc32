"""The one place that starts an event loop for a command: uvloop where available."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

from cli.interrupts import heeded

T = TypeVar("T")

#: How long tasks that still run at the end of a command may take to clean up, seconds.
_LEAVE_S = 5.0

_left_behind: list[asyncio.Runner] = []


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end.

    A signal cancels it, a second one aborts. Tasks that it has started and not waited for are cancelled, and left
    behind if they do not end within a few seconds: they may wait for a Redis that will never answer.

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
    """Check whether tasks were left behind that do not end: then the process must not wait for them."""
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

    # Not with the loop's own handlers: `interruptible` restores the handlers it finds, which does not work with those.
    before = {number: signal.signal(number, on_signal) for number in heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(loop: asyncio.AbstractEventLoop) -> bool:
    """Cancel the tasks that still run; return False if they do not end in time."""
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
        import uvloop  # noqa: PLC0415 - not available on some platforms
    except ImportError:
        return None
    return uvloop.new_event_loop
