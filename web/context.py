"""What every handler finds in the application."""

from aiohttp import web
from arq.connections import ArqRedis

from config.settings import Settings

SETTINGS = web.AppKey("settings", Settings)
"""The whole configuration."""

REDIS = web.AppKey("redis", ArqRedis)
"""The connection to Redis, shared by all requests."""
