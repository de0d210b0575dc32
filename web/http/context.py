"""What every handler finds in the application."""

import asyncio

from aiohttp import web
from arq.connections import ArqRedis

from config.settings import Settings
from web.http.limits import Limits

SETTINGS = web.AppKey("settings", Settings)
"""The whole configuration."""

REDIS = web.AppKey("redis", ArqRedis)
"""The connection to Redis, shared by all requests."""

LIMITS = web.AppKey("limits", Limits)
"""Sizes, waiting times, and how much can happen at the same time."""

ENDING = web.AppKey("ending", asyncio.Event)
"""Set when the server is told to stop: endless streams end now."""
