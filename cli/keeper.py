"""Working on a server of our own: it is kept running, and its death is noticed immediately.

With a remote server one has to be patient, because it may come back. Our own server comes back only if we start it
again, and if it cannot come back, there is nothing to wait for.
"""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

from redis.exceptions import RedisError

from cli.embedded import EmbeddedServer, EmbeddedServerError
from cli.errors import Interrupted
from cli.output import note
from jobs.store.connection import AWAY

T = TypeVar("T")

#: A server that ends more often than this within the time below is not started again.
MOST_RESTARTS = 5
_RESTARTS_WITHIN_S = 600.0

#: How often it is checked, seconds.
_LOOK_S = 0.1

#: How long it may stay silent while we want to stop, seconds. A healthy one answers immediately.
_SILENT_S = 10.0

_GO_ON = "then start the same command again: it carries on"


async def on_server(
    server: EmbeddedServer, work: Coroutine[Any, Any, T], stop: asyncio.Event | None = None, go_on: str = _GO_ON
) -> T:
    """Do some work and keep the server running until it is done.

    The work is abandoned if the server cannot be brought back, or if the work is told to stop and the server does not
    answer: it could not record anything. `run_async` ends what is left of it.

    Args:
        server: a running server.
        work: uses the server, patiently enough to outlast a restart.
        stop: set when the work has been told to stop; None if the work is stopped by cancelling this call.
        go_on: what the user should do after fixing the problem.

    Raises:
        EmbeddedServerError: the server has ended, and starting it again does not help.
        Interrupted: the work was told to stop, and the server does not answer.
    """
    working = asyncio.create_task(work)
    keeping: asyncio.Task[None] = asyncio.create_task(_keep_up(server, go_on))
    helpers: list[asyncio.Task[Any]] = [keeping]
    if stop is not None:
        helpers.append(asyncio.create_task(_silence(server, stop)))
    try:
        await asyncio.wait({working, *helpers}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            if keeping.done():
                keeping.result()
            raise Interrupted("interrupted while the embedded server did not answer; the same command carries on")
        try:
            return working.result()
        except (*AWAY, RedisError) as error:
            fate = server.fate() or f"the embedded server does not work ({error})"
            raise EmbeddedServerError(f"{fate}; see {server.log}, {go_on}") from None
    finally:
        for task in (working, *helpers):
            task.cancel()


async def _keep_up(server: EmbeddedServer, go_on: str) -> None:
    """Start the server again whenever it ends.

    Raises:
        EmbeddedServerError: that does not help.
    """
    restarts: deque[float] = deque()
    while True:
        while (fate := server.fate()) is None:  # noqa: ASYNC110 - a process that dies sets no event
            await asyncio.sleep(_LOOK_S)
        if server.disk_is_full():
            raise EmbeddedServerError(f"{fate}: free some space, {go_on}")
        now_s = time.monotonic()
        while restarts and now_s - restarts[0] > _RESTARTS_WITHIN_S:
            restarts.popleft()
        if len(restarts) == MOST_RESTARTS:
            raise EmbeddedServerError(f"{fate}, after {MOST_RESTARTS} restarts; see {server.log}, {go_on}")
        restarts.append(now_s)
        note(f"{fate}; starting it again")
        await server.restart()


async def _silence(server: EmbeddedServer, stop: asyncio.Event) -> None:
    """Wait until the work has been told to stop and the server no longer answers."""
    await stop.wait()
    heard_s = time.monotonic()
    while time.monotonic() - heard_s < _SILENT_S:
        if await server.answers():
            heard_s = time.monotonic()
        await asyncio.sleep(_LOOK_S)
