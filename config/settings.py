"""All settings as one frozen object, built once at start. The rest of the program imports this module."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from pydantic import ValidationError

from config.errors import ConfigError, UnknownPortal, UnknownWebhook
from config.fields import plain
from config.masking import register_secret
from config.models import Api, ApiKey, LogConfig, RedisConfig, Settings, WorkerConfig
from config.portal import Portal
from config.problems import describe, describe_errors
from config.redis_url import RedisAddress, RedisUrl
from config.schedules import Schedule
from config.sources import read_sources
from config.webhooks import Webhook

__all__ = [
    "Api",
    "ApiKey",
    "ConfigError",
    "LogConfig",
    "Portal",
    "RedisAddress",
    "RedisConfig",
    "RedisUrl",
    "Schedule",
    "Settings",
    "UnknownPortal",
    "UnknownWebhook",
    "Webhook",
    "WorkerConfig",
    "load_settings",
]


#: Finds what is wrong with settings that are right one by one: the path of each, what was given and what was expected.
Check: TypeAlias = Callable[[Settings], Iterable[tuple[tuple[str | int, ...], str]]]


def load_settings(
    path: Path | None = None, environ: Mapping[str, str] | None = None, checks: Iterable[Check] = ()
) -> Settings:
    """Read the configuration file and the environment; for each setting, the environment takes precedence.

    Every secret found is registered with `config.masking`, so that no log line shows it.

    Args:
        path: the TOML file; by default the one named by `CRM_SWEEP_CONFIG`, else `./crm-sweep.toml` if it exists,
            else none.
        environ: the environment; by default that of the process.
        checks: what packages above this one have to say about the settings.

    Raises:
        ConfigError: something is wrong; its `problems` list everything that is.
    """
    sources = read_sources(path, os.environ if environ is None else environ)
    settings: Settings | None = None
    problems = list(sources.problems)
    try:
        settings = Settings.model_validate(sources.data)
    except ValidationError as error:
        problems += describe_errors(error, sources)
    if settings is not None:
        problems += [describe(wrong, problem, sources) for check in checks for wrong, problem in check(settings)]
    if settings is None or problems:
        # Raised outside the handler: pydantic's error holds the input and must not become this one's context.
        raise ConfigError(problems)
    for secret in _secrets(settings):
        register_secret(secret)
    return settings


def _secrets(settings: Settings) -> list[str]:
    """Return every secret in the settings."""
    portals = settings.portals.values()
    redis = settings.redis
    found = [redis.url.address.password, plain(redis.password), plain(redis.sentinel_password)]
    for portal in portals:
        found += [plain(secret) for secret in (portal.token, portal.password)]
        if proxy := portal.proxy_on_the_way():
            found += [proxy.password, proxy.authorization.removeprefix("Basic ")]
    for webhook in settings.webhooks:
        found += webhook.secrets
    return [secret for secret in found if secret]
