"""Webhooks in the API's process: they are announced here as well, and shown to those who may see them."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from redis.exceptions import RedisError

from jobs.store.connection import AWAY
from jobs.webhooks.outbox import announce
from jobs.webhooks.view import WebhookView, read_webhooks
from web.http.callers import caller
from web.http.context import REDIS, SETTINGS

#: Far below the day for which an announcement counts; and after one that failed.
_AGAIN_S, _RETRY_S = 600.0, 5.0


async def announcing(app: web.Application) -> AsyncIterator[None]:
    """Have events kept for webhooks even if no worker has run yet (an aiohttp `cleanup_ctx`)."""
    task = asyncio.create_task(_announce(app)) if app[SETTINGS].webhooks else None
    yield
    if task is not None:
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)


async def _announce(app: web.Application) -> None:
    while True:
        try:
            await announce(app[REDIS], app[SETTINGS].webhooks)
        except (*AWAY, RedisError):
            await asyncio.sleep(_RETRY_S)
        else:
            await asyncio.sleep(_AGAIN_S)


async def visible_webhooks(request: web.Request) -> list[WebhookView]:
    """Read the webhooks that tell of portals that the caller may see, with the tries about those portals."""
    known = caller(request)
    webhooks = [
        webhook
        for webhook in request.app[SETTINGS].webhooks
        if webhook.portals is None or any(known.sees(name) for name in webhook.portals)
    ]
    return await read_webhooks(request.app[REDIS], webhooks, known.sees)
