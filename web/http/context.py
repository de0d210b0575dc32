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
"""Sizes, waiting times, and how much goes on at once."""

ENDING = web.AppKey("ending", asyncio.Event)
"""Set when the server was told to stop: streams that go on forever end now."""
