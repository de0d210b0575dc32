"""Whether a Redis server can be trusted with the ledger."""

import contextlib
from typing import Any

from arq.connections import ArqRedis
from redis.exceptions import ResponseError

from config.errors import CrmSweepError

#: Settings of the server on which the ledger depends.
SETTINGS = ("maxmemory-policy", "appendonly", "appendfsync")


async def check_server(redis: ArqRedis) -> list[str]:
    """Look whether the server can be trusted with a ledger.

    Returns:
        Warnings for a person, each with what to do.

    Raises:
        UnsuitableServer: the ledger would not be safe there.
        redis.exceptions.RedisError: the server cannot be reached.
    """
    settings = await server_settings(redis)
    version = settings.get("redis_version")
    if version is not None and _numbers(version) < (6, 2):
        raise UnsuitableServer(f"Redis {version} is too old: version 6.2 or newer, or Valkey, is needed")
    policy = settings.get("maxmemory-policy")
    if policy not in (None, "noeviction"):
        raise UnsuitableServer(
            f"Redis would drop parts of the ledger when memory is short (maxmemory-policy {policy}): "
            "set it with `redis-cli CONFIG SET maxmemory-policy noeviction` and in redis.conf, or where the server is "
            "managed"
        )
    warnings = [] if policy else [_POLICY_UNKNOWN]
    match settings.get("appendonly"), settings.get("appendfsync"):
        case None, _:
            warnings.append(_DISK_UNKNOWN)
        case "yes", "always":
            pass
        case "yes", None:
            warnings.append(_FSYNC_UNKNOWN)
        case "yes", _:
            warnings.append(_LAST_SECOND)
        case _:
            warnings.append(_MEMORY_ONLY)
    return warnings


async def server_settings(redis: ArqRedis) -> dict[str, str]:
    """Ask the server how it keeps the ledger: by CONFIG, or by INFO where CONFIG is forbidden, as on managed servers.

    Returns:
        `server` (its name and version), `redis_version`, `maxmemory-policy`, `appendonly` and `appendfsync`, as far as
        the server tells.

    Raises:
        redis.exceptions.RedisError: the server cannot be reached.
    """
    told: dict[str, str] = {}
    try:
        info: dict[str, Any] = await redis.info()
    except ResponseError:  # INFO is forbidden as well
        pass
    else:
        known = {
            "server": f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info.get('redis_version')}",
            "redis_version": info.get("redis_version"),
            "maxmemory-policy": info.get("maxmemory_policy"),
            "appendonly": {0: "no", 1: "yes"}.get(info.get("aof_enabled", -1)),
        }
        told = {name: str(value) for name, value in known.items() if value is not None}
    with contextlib.suppress(ResponseError):
        config: dict[str, str] = await redis.config_get("*")
        told |= {name: config[name] for name in SETTINGS if name in config}
    return told


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


_POLICY_UNKNOWN = (
    "Redis does not tell what it does when memory is short; see that its maxmemory-policy is noeviction, or it may "
    "drop parts of the ledger"
)
_DISK_UNKNOWN = (
    "Redis does not tell whether it keeps the ledger on disk; see to `appendonly yes` and `appendfsync always`, or a "
    "restart of the server may lose jobs and outcomes"
)
_FSYNC_UNKNOWN = (
    "Redis does not tell how soon it writes to disk; unless appendfsync is always, a crash may lose the last second of "
    "the ledger, and contacts that were deleted in it can end as not_found"
)
_MEMORY_ONLY = (
    "Redis keeps the ledger in memory only (appendonly is off): a restart of the server loses jobs and outcomes; "
    "set `appendonly yes` and `appendfsync always`"
)
_LAST_SECOND = (
    "Redis may lose the last second of the ledger in a crash (appendfsync is not always): contacts that were deleted "
    "in that second can end as not_found; set `appendfsync always`"
)


class UnsuitableServer(CrmSweepError):
    """The Redis server is reachable and its settings put the ledger at risk; the message says how to set it right."""
