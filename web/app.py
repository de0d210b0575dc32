"""Puts the HTTP API together."""

import asyncio
from functools import cache, partial

from aiohttp import web
from arq.connections import ArqRedis

from config.settings import Settings
from config.tracing import is_on
from web.api.downloads import install as install_downloads
from web.api.openapi import DOCUMENT, write_document
from web.api.operation import add_routes
from web.api.operations import OPERATIONS
from web.api.receipts import install as install_receipts
from web.api.submission import INTAKES, Intakes
from web.http.context import ENDING, LIMITS, REDIS, SETTINGS
from web.http.limits import Limits
from web.http.middleware import add_headers, announce_end, answer
from web.http.tracing import trace_request
from web.live.job_reader import READER, JobReader
from web.live.watcher import install as install_watcher
from web.live.webhooks import announcing
from web.ops.health import probing
from web.ops.metrics import measuring
from web.page.routes import add_page


def make_app(settings: Settings, redis: ArqRedis, limits: Limits | None = None) -> web.Application:
    """Make the application: the API under /v1, the page, and what supervisors ask.

    Args:
        settings: the whole configuration.
        redis: the connection; it stays the caller's to close.
        limits: bounds of the server; the usual ones if not given.
    """
    app = web.Application(middlewares=[trace_request, answer] if is_on() else [answer])
    app[SETTINGS] = settings
    app[REDIS] = redis
    app[READER] = JobReader(redis)
    app[LIMITS] = limits = limits or Limits()
    app[INTAKES] = Intakes(limits.submissions, limits.submission_wait_s)
    app[ENDING] = asyncio.Event()
    app[DOCUMENT] = partial(_document, keys=bool(settings.api.keys))
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(announce_end)
    app.cleanup_ctx.append(measuring)
    app.cleanup_ctx.append(probing)
    app.cleanup_ctx.append(announcing)
    install_watcher(app)
    install_downloads(app)
    install_receipts(app)
    add_routes(app, OPERATIONS)
    add_page(app)
    return app


@cache
def _document(*, keys: bool) -> bytes:
    return write_document(OPERATIONS, keys=keys)
