"""`GET /metrics`: what Prometheus reads. The facts of all workers are in Redis, so every API process shows the same."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from aiohttp import web
from arq.connections import ArqRedis
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from redis.exceptions import RedisError

from config.settings import Settings
from jobs.schedules.view import read_schedules
from jobs.store.replicas import read_replicas
from jobs.view.backlog import read_backlog
from jobs.view.portal import read_portals
from jobs.view.stats import read_all_stats
from jobs.webhooks.view import read_webhooks
from web.http.context import REDIS, SETTINGS
from web.ops.exposition import Reading, render

#: How long a scrape waits for Redis before it says that Redis is away.
PATIENCE_S = 1.0

#: Scrapes that come closer together than this share one reading: no key is needed here, so it must not cost much.
SHARED_FOR_S = 1.0


class Gauges:
    """Reads Redis for all who scrape, once at a time and at most once per `SHARED_FOR_S`.

    Args:
        redis: the connection.
        settings: its portals are those that are shown.
    """

    def __init__(self, redis: ArqRedis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._reading: asyncio.Task[Reading | None] | None = None
        self._rendering: asyncio.Task[bytes] | None = None
        self._read_at_s = 0.0

    async def text(self) -> bytes:
        """Return an exposition at most `SHARED_FOR_S` old; one that knows nothing if Redis takes over `PATIENCE_S`."""
        if self._reading is None or (self._reading.done() and time.monotonic() - self._read_at_s > SHARED_FOR_S):
            self._reading, self._rendering = asyncio.create_task(self._read()), None
        # The reading goes on when no scrape is waiting any more: the next scrape finds it, and no second one is begun.
        reading = self._reading
        await asyncio.wait({reading}, timeout=PATIENCE_S)
        if not reading.done():
            return render(None)
        if self._rendering is None:
            # In a thread: for a hundred portals it takes a tenth of a second, in which other calls are answered.
            self._rendering = asyncio.create_task(asyncio.to_thread(render, reading.result()))
        return await asyncio.shield(self._rendering)

    async def close(self) -> None:
        """End a reading that is still waiting for Redis."""
        for task in filter(None, (self._reading, self._rendering)):
            task.cancel()
            await asyncio.wait({task}, timeout=PATIENCE_S)

    async def _read(self) -> Reading | None:
        reading: Reading | None = None
        with contextlib.suppress(RedisError, TimeoutError):
            portals = self._settings.portals
            reading = Reading(
                backlog=await read_backlog(self._redis),
                portals=await read_portals(self._redis, portals.values()),
                stats=await read_all_stats(self._redis, portals),
                schedules=await read_schedules(self._redis, self._settings.schedules),
                webhooks=await read_webhooks(self._redis, self._settings.webhooks),
                min_replicas=self._settings.redis.min_replicas,
                replicas=await self._read_replicas(),
            )
        self._read_at_s = time.monotonic()
        return reading

    async def _read_replicas(self) -> int | None:
        replicas = await read_replicas(self._redis) if self._settings.redis.min_replicas else None
        return replicas.keeping_up if replicas else None


GAUGES = web.AppKey("gauges", Gauges)
"""What answers scrapes."""


async def measuring(app: web.Application) -> AsyncIterator[None]:
    """Prepare what scrapes need, and end it with the application (an aiohttp `cleanup_ctx`)."""
    app[GAUGES] = Gauges(app[REDIS], app[SETTINGS])
    yield
    await app[GAUGES].close()


async def metrics(request: web.Request) -> web.Response:
    """Return the metrics of the fleet as Prometheus text. Answers 200 while Redis is away as well, and says so."""
    return web.Response(body=await request.app[GAUGES].text(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
