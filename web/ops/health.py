"""Checks whether the process is alive, and whether it can do its work."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
from aiohttp import web
from arq.connections import ArqRedis
from redis.exceptions import RedisError, ResponseError

from jobs.store import keys
from jobs.store.clock import read_clocks
from jobs.store.format_number import check_format
from jobs.store.server_check import UnsuitableServer, check_server
from jobs.store.trouble import Trouble, trouble_of
from jobs.store.try_write import try_write
from web.http.as_json import as_json
from web.http.context import REDIS

#: A probe wants an answer soon, whatever is wrong.
_PATIENCE_S = 3.0

#: How long the result of a try to write is reused, however often it is asked for: with `appendfsync always`, each try
#: costs the server's disk what a batch costs.
_TRY_EVERY_S = 2.0


class Alive(msgspec.Struct, frozen=True):
    """The process lives."""

    status: Literal["ok"] = "ok"


class Condition(msgspec.Struct, frozen=True):
    """One thing that was checked."""

    about: Literal["redis", "workers"]
    level: Literal["ok", "warning", "error"]
    """Only an error makes the service unready."""
    message: str
    """What was found, and what to do."""
    reason: str | msgspec.UnsetType = msgspec.UNSET
    """What is wrong with Redis, as a stable word."""


class Readiness(msgspec.Struct, frozen=True):
    """Whether jobs can be accepted and looked up."""

    ready: bool
    findings: tuple[Condition, ...]


class Probe:
    """Checks Redis once for all who ask at the same moment: no key is needed here.

    A check includes a real write, at most one in `_TRY_EVERY_S`.

    Args:
        redis: the connection.
    """

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self._look: asyncio.Task[list[Condition]] | None = None
        self._trouble: Trouble | None = None
        self._try_again_at_s = 0.0

    async def findings(self) -> list[Condition]:
        """Return what is found now, or what was found for another caller a moment ago."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_now())
        return await asyncio.shield(self._look)

    async def close(self) -> None:
        """End a look that is still waiting for Redis."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.wait({self._look}, timeout=_PATIENCE_S)

    async def _look_now(self) -> list[Condition]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await check_format(self._redis)
                warnings = await check_server(self._redis)
                await self._try_write()
                workers = await _workers(self._redis)
        except UnsuitableServer as error:
            return [Condition("redis", "error", str(error), "unsuitable")]
        except (RedisError, TimeoutError) as error:
            return [_trouble(trouble_of(error))]
        if self._trouble is not None:
            return [_trouble(self._trouble)]
        findings = [Condition("redis", "warning", warning) for warning in warnings]
        findings = findings or [Condition("redis", "ok", "takes jobs in")]
        if workers:
            return [*findings, Condition("workers", "ok", f"{workers} alive")]
        # Jobs can be taken in all the same; they wait with `no_worker`.
        return [*findings, Condition("workers", "warning", "no worker is alive: jobs wait; start `crm-sweep worker`")]

    async def _try_write(self) -> None:
        if time.monotonic() < self._try_again_at_s:
            return
        try:
            await try_write(self._redis)
        except ResponseError as error:
            self._trouble = trouble_of(error)
        else:
            self._trouble = None
        self._try_again_at_s = time.monotonic() + _TRY_EVERY_S


PROBE = web.AppKey("probe", Probe)
"""What answers whether all is ready."""


async def probing(app: web.Application) -> AsyncIterator[None]:
    """Make the probe, and end it with the application (an aiohttp `cleanup_ctx`)."""
    app[PROBE] = Probe(app[REDIS])
    yield
    await app[PROBE].close()


async def healthz(_request: web.Request) -> web.Response:
    """Answer that the process is alive, without asking Redis."""
    return as_json(Alive())


async def readyz(request: web.Request) -> web.Response:
    """Check whether Redis takes writes, and look for workers: 200 when jobs can be taken in, else 503."""
    findings = await request.app[PROBE].findings()
    ready = all(finding.level != "error" for finding in findings)
    return as_json(Readiness(ready, tuple(findings)), status=200 if ready else 503)


def _trouble(trouble: Trouble) -> Condition:
    """Tell a trouble without its detail, which may hold an address: anyone may ask here."""
    reason = trouble.reason
    return Condition("redis", "error", f"Redis {reason.what}; {reason.to_do}", reason.word)


async def _workers(redis: ArqRedis) -> int:
    return int(await redis.zcount(keys.WORKERS, f"({(await read_clocks(redis)).presence_ms}", "+inf"))
