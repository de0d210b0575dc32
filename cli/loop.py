"""The one place that starts an event loop for a command: uvloop where there is one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end.

    Raises:
        KeyboardInterrupt: Ctrl-C came; the coroutine was cancelled and has cleaned up.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - there is none for some platforms
    except ImportError:
        return None
    return uvloop.new_event_loop
