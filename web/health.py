"""Whether the process lives, and whether it can do its work."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
from aiohttp import web
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from jobs import keys
from jobs.connection import AWAY, UnsuitableServer, check_server
from jobs.times import server_ms
from web.answers import as_json
from web.context import REDIS

#: A probe wants an answer soon, whatever is wrong.
_PATIENCE_S = 3.0


class Alive(msgspec.Struct, frozen=True):
    """The process lives."""

    status: Literal["ok"] = "ok"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    about: Literal["redis", "workers"]
    level: Literal["ok", "warning", "error"]
    """Only an error makes the service unready."""
    message: str
    """What was found, and what to do."""


class Readiness(msgspec.Struct, frozen=True):
    """Whether jobs can be taken in and looked up."""

    ready: bool
    findings: tuple[Finding, ...]


class Probe:
    """Looks at Redis for everybody who asks at the same moment, once: nobody needs a key here.

    Args:
        redis: the connection.
    """

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self._look: asyncio.Task[list[Finding]] | None = None

    async def findings(self) -> list[Finding]:
        """Give what is found now, or was while somebody else asked."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(_look(self._redis))
        return await asyncio.shield(self._look)

    async def close(self) -> None:
        """End a look that is still waiting for Redis."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.wait({self._look}, timeout=_PATIENCE_S)


PROBE = web.AppKey("probe", Probe)
"""What answers whether all is ready."""


async def probing(app: web.Application) -> AsyncIterator[None]:
    """Make the probe, and end it with the application (an aiohttp `cleanup_ctx`)."""
    app[PROBE] = Probe(app[REDIS])
    yield
    await app[PROBE].close()


async def healthz(_request: web.Request) -> web.Response:
    """Say that the process lives; asks nobody."""
    return as_json(Alive())


async def readyz(request: web.Request) -> web.Response:
    """Look at Redis and for workers: 200 when jobs can be taken in, else 503."""
    findings = await request.app[PROBE].findings()
    ready = all(finding.level != "error" for finding in findings)
    return as_json(Readiness(ready, tuple(findings)), status=200 if ready else 503)


async def _look(redis: ArqRedis) -> list[Finding]:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            warnings = await check_server(redis)
            workers = await _workers(redis)
    except UnsuitableServer as error:
        return [Finding("redis", "error", str(error))]
    except (RedisError, *AWAY, TimeoutError):
        # Not the error itself: it may hold an address.
        return [Finding("redis", "error", "Redis cannot be reached; jobs go on by themselves when it is back")]
    findings = [Finding("redis", "warning", warning) for warning in warnings] or [Finding("redis", "ok", "reachable")]
    if workers:
        return [*findings, Finding("workers", "ok", f"{workers} alive")]
    # Jobs can be taken in all the same; they wait with `no_worker`.
    return [*findings, Finding("workers", "warning", "no worker is alive: jobs wait; start `crm-sweep worker`")]


async def _workers(redis: ArqRedis) -> int:
    return int(await redis.zcount(keys.WORKERS, f"({server_ms(await redis.time())}", "+inf"))
