"""Puts the HTTP API together."""

import asyncio

from aiohttp import web
from arq.connections import ArqRedis

from config.settings import Settings
from web.context import ENDING, LIMITS, REDIS, SETTINGS
from web.guard import add_headers, announce_end, log_request, only_local
from web.health import probing
from web.job_reader import READER, JobReader
from web.limits import Limits
from web.metrics import measuring
from web.openapi import DOCUMENT, write_document
from web.operation import add_routes
from web.operations import OPERATIONS
from web.page.routes import add_page
from web.problems import problems
from web.results import install as install_downloads
from web.submission import INTAKES, Intakes
from web.watcher import install as install_watcher


def make_app(settings: Settings, redis: ArqRedis, limits: Limits | None = None) -> web.Application:
    """Make the application: the API under /v1, the page, and what supervisors ask.

    Args:
        settings: the whole configuration.
        redis: the connection; it stays the caller's to close.
        limits: bounds of the server; the usual ones if not given.
    """
    # From the outside in: whatever goes wrong further in has become an answer when the line is written.
    app = web.Application(middlewares=[log_request, problems, only_local])
    app[SETTINGS] = settings
    app[REDIS] = redis
    app[READER] = JobReader(redis)
    app[LIMITS] = limits = limits or Limits()
    app[INTAKES] = Intakes(limits.submissions, limits.submission_wait_s)
    app[ENDING] = asyncio.Event()
    app[DOCUMENT] = write_document(OPERATIONS, keys=bool(settings.api.keys))
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(announce_end)
    app.cleanup_ctx.append(measuring)
    app.cleanup_ctx.append(probing)
    install_watcher(app)
    install_downloads(app)
    add_routes(app, OPERATIONS)
    add_page(app)
    return app
