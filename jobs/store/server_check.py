"""Checking whether a Redis server can be trusted with the ledger."""

import contextlib
from typing import Any

from arq.connections import ArqRedis
from redis.exceptions import ResponseError

from config.errors import CrmSweepError
from jobs.store.discreet_redis import replication_of
from jobs.store.replicas import check_replicas

#: Settings of the server on which the ledger depends.
SETTINGS = ("maxmemory-policy", "appendonly", "appendfsync")


async def check_server(redis: ArqRedis) -> list[str]:
    """Check whether the server, and the replicas that the connection demands, can be trusted with the ledger.

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
            f"Redis would evict parts of the ledger when it runs out of memory (maxmemory-policy {policy}): "
            "run `redis-cli CONFIG SET maxmemory-policy noeviction` and set it in redis.conf too, or in the settings "
            "of a managed server"
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
    return warnings + await check_replicas(redis, replication_of(redis).min_replicas)


async def server_settings(redis: ArqRedis) -> dict[str, str]:
    """Ask the server how it keeps the ledger: with CONFIG, or INFO if CONFIG is forbidden, as on managed servers.

    Returns:
        `server` (its name and version), `redis_version`, `maxmemory-policy`, `appendonly` and `appendfsync`, as far as
        the server reports them.

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
    "Redis does not report what it does when it runs out of memory; make sure that its maxmemory-policy is noeviction, "
    "or it may evict parts of the ledger"
)
_DISK_UNKNOWN = (
    "Redis does not report whether it keeps the ledger on disk; make sure that it has `appendonly yes` and "
    "`appendfsync always`, or a restart of the server may lose jobs and outcomes"
)
_FSYNC_UNKNOWN = (
    "Redis does not report how soon it writes to disk; unless appendfsync is always, a crash may lose the last second "
    "of the ledger, and contacts that were deleted in that second can end as not_found"
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
    """The Redis server is reachable, but its settings put the ledger at risk; the message says how to change them."""
