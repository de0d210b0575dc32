"""The connection to Redis: one kind for all, patient by choice, speaking JSON to arq."""

import contextlib
import socket
from pathlib import Path
from typing import Any

import msgspec
from arq.connections import ArqRedis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from config.authorities import read_authorities
from config.redis_url import RedisUrl
from jobs.discreet_redis import DiscreetRedis
from jobs.keys import QUEUE
from jobs.primary import PrimaryPool
from jobs.redis_bounds import RedisStalled

#: What a server that is away, restarting or out of reach looks like from here. OSError is needed beside redis-py's own
#: classes: without it a refused reconnect is raised at once, whatever the number of retries.
AWAY = (RedisConnectionError, RedisTimeoutError, RedisStalled, OSError)

#: Settings of the server on which the ledger depends.
SETTINGS = ("maxmemory-policy", "appendonly", "appendfsync")

#: A payload lives this long in arq's queue, so that a backlog of days is not dropped (arq's own default is one day).
QUEUE_LIFE_MS = 30 * 24 * 3600 * 1000


def encode_payload(value: Any) -> bytes:
    """Write an arq payload or result as JSON; an exception, which JSON cannot hold, becomes its text."""
    return msgspec.json.encode(value, enc_hook=repr)


def decode_payload(data: bytes) -> Any:
    """Read an arq payload. Anything but JSON, such as a pickle, is refused by `msgspec.DecodeError`."""
    return msgspec.json.decode(data)


def connect(
    url: RedisUrl, *, patience_s: float = 3.0, stall_s: float = 5.0, tls_ca_file: Path | None = None
) -> ArqRedis:
    """Make a client; it connects when it is first used.

    Every command may be sent again after a connection broke, so only commands that are safe to repeat belong here:
    reads, and scripts that guard themselves.

    Args:
        url: the server's address.
        patience_s: about how long a command is tried again while the server is away: seconds for a person at the
            command line, minutes for a worker.
        stall_s: how long one reply may take to come. A command whose reply did not come is tried again where the
            patience is longer than this.
        tls_ca_file: the authorities that the certificate of a `rediss://` server may come from; by default those of
            the system.
    """
    # Waits of 0.05, 0.1, … 0.8 s, then 1 s each.
    retries = 5 + round(patience_s)
    pool = PrimaryPool.from_url(
        url.get_secret_value(),
        retries=retries,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), retries),
        retry_on_error=[error for error in AWAY if error is not RedisStalled or patience_s > stall_s],
        socket_connect_timeout=5,
        # Nothing is told about the client library: that takes two commands per connection, and rights for them.
        lib_name=None,
        lib_version=None,
        # No socket_timeout: redis-py would wrap every write in asyncio.wait_for, which costs time and, on Python 3.11,
        # now and then swallows a cancellation.
        stall_s=stall_s,
        **_keepalive(url),
        **_tls(url, tls_ca_file),
    )
    return DiscreetRedis(
        pool,
        job_serializer=encode_payload,
        job_deserializer=decode_payload,
        default_queue_name=QUEUE,
        expires_extra_ms=QUEUE_LIFE_MS,
    )


def what_holds(redis: ArqRedis, error: Exception) -> Exception:
    """Say why a command has not come back within somebody's own patience.

    Args:
        redis: the connection.
        error: what that patience ended with; told if nothing better is known.
    """
    pool = redis.connection_pool
    return pool.refused if isinstance(pool, PrimaryPool) and pool.refused else error


def _keepalive(url: RedisUrl) -> dict[str, Any]:
    """Options that end a TCP connection to a machine that has been silent for about 20 s."""
    if url.address.socket_path is not None:
        return {}
    options = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
    known = {getattr(socket, name): value for name, value in options.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": known}


def _tls(url: RedisUrl, ca_file: Path | None) -> dict[str, Any]:
    """Options of a connection over TLS. By itself redis-py takes the certificate of any other host as well."""
    if not url.address.tls:
        return {}
    return {"ssl_check_hostname": True, "ssl_ca_data": None if ca_file is None else read_authorities(ca_file)}


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


class UnsuitableServer(Exception):
    """The Redis server is reachable and its settings put the ledger at risk; the message says how to set it right."""
