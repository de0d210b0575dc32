"""Nudges: an idle worker reads arq's queue as soon as there is something in it, not when it would look next.

Whoever puts a wake-up into the queue publishes that it has (jobs/store/lua/wake.lua). Nothing relies on it: a nudge
that is lost costs one `worker.poll_delay_s`.

A subscription can fall silent without an error: the server hangs, is cut off, or is no longer the primary that others
publish to. So after a while of silence the listener publishes to itself, and subscribes anew if that does not arrive.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from arq.connections import ArqRedis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from config.logging import get_logger
from config.settings import Settings
from jobs.store import keys
from jobs.store.connection import AWAY, connect
from jobs.store.trouble import trouble_of
from worker.drain import cancel

#: After this long without a message, the listener checks that it would hear one, and waits as long for that.
SILENCE_S = 3.0

#: How long a reply may take, seconds; longer than the silence, which is no fault of the server.
_STALL_S = 4.0

#: Pauses before subscribing anew: the first, and the longest, to which they double.
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0

#: A worker whose clock is a little behind the sender's would find that a message is not due yet.
_LATE_S = 0.01

#: A message that is due later than this gets no nudge: one poll delay more makes no difference to it.
_FAR_AHEAD_S = 60.0


class Unheard(RedisConnectionError):
    """What the listener published to itself did not arrive."""


class Nudges:
    """What the listener has heard and arq's loop has not yet acted on: any number of nudges are one."""

    def __init__(self) -> None:
        self._nudged = asyncio.Event()
        self._later: set[asyncio.TimerHandle] = set()

    def nudge(self, delay_s: float = 0.0) -> None:
        """Have the queue read at once, or when a message in it becomes due.

        Args:
            delay_s: seconds until then.
        """
        if delay_s <= 0:
            self._nudged.set()
        elif delay_s <= _FAR_AHEAD_S:
            loop = asyncio.get_running_loop()

            def now() -> None:
                self._later.discard(timer)
                self._nudged.set()

            timer = loop.call_later(delay_s + _LATE_S, now)
            self._later.add(timer)

    def forget(self) -> None:
        """Forget nudges so far: the queue is about to be read."""
        self._nudged.clear()

    async def within(self, wait_s: float) -> None:
        """Wait for a time, or until the next nudge."""
        try:
            async with asyncio.timeout(wait_s):
                await self._nudged.wait()
        except TimeoutError:
            pass

    def close(self) -> None:
        """Forget nudges for later."""
        while self._later:
            self._later.pop().cancel()


@contextlib.asynccontextmanager
async def listening(settings: Settings, worker: str) -> AsyncIterator[Nudges]:
    """Listen for nudges while the block lasts, whatever happens to the server.

    The nudges also come with each subscription, since some may have been missed before it.

    Args:
        settings: the configuration.
        worker: this worker's name, unique among all workers.
    """
    nudges = Nudges()
    # With little patience: what takes patience is done here.
    redis = connect(settings.redis, patience_s=0, stall_s=_STALL_S)
    listener = asyncio.create_task(_listen(redis, f"{keys.NUDGE}:{worker}", nudges))
    try:
        yield nudges
    finally:
        await cancel(listener)
        nudges.close()
        # Not by the listener itself: it can be cancelled again while it cleans up.
        await redis.aclose(close_connection_pool=True)


async def _listen(redis: ArqRedis, own_channel: str, nudges: Nudges) -> None:
    """Listen, and subscribe anew whenever a subscription breaks."""
    pause_s = _PAUSE_S

    def heard() -> None:
        nonlocal pause_s
        pause_s = _PAUSE_S

    while True:
        try:
            await _subscribe(redis, own_channel, nudges, heard)
        except (*AWAY, RedisError) as error:
            trouble = trouble_of(error)
            if pause_s == _PAUSE_S:  # once per outage; the heartbeat goes on reporting it
                get_logger().warning("nudges_lost", error=trouble.reason.word, detail=trouble.what)
            # None is kept: a connection that is not used says nothing about where it leads.
            with contextlib.suppress(*AWAY, RedisError):
                await redis.connection_pool.disconnect()
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def _subscribe(redis: ArqRedis, own_channel: str, nudges: Nudges, heard: Callable[[], None]) -> None:
    """Listen on one subscription until it breaks.

    Raises:
        Unheard: it has fallen silent.
        redis.exceptions.RedisError: Redis is away, or refuses.
    """
    async with redis.pubsub() as subscription:
        await subscription.subscribe(keys.NUDGE, own_channel)
        asked = False
        while True:
            message = await _next(subscription)
            if message is None:
                if asked:
                    raise Unheard("the subscription has fallen silent")
                await redis.publish(own_channel, b"")
                asked = True
                continue
            asked = False
            heard()
            kind, channel, data = message
            if kind == "subscribe":
                nudges.nudge()
            elif channel == keys.NUDGE:
                nudges.nudge(_seconds(data))


async def _next(subscription: PubSub) -> tuple[str, str, object] | None:
    """Return the kind, channel and content of the next message; None after a while of silence."""
    message = await subscription.get_message(timeout=SILENCE_S)
    return None if message is None else (message["type"], message["channel"].decode(), message["data"])


def _seconds(data: object) -> float:
    """Read in how many seconds a message is due; what cannot be read is taken for now."""
    return int(data) / 1000 if isinstance(data, bytes) and data.isdigit() and len(data) < 12 else 0.0
