"""The connection to Redis: one kind for all, patient by choice, speaking JSON to arq."""

import socket
from typing import Any

import msgspec
from arq.connections import ArqRedis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from config.redis_url import RedisUrl
from jobs.keys import QUEUE
from jobs.primary import PrimaryPool

#: What a server that is away, restarting or out of reach looks like from here. OSError is needed beside redis-py's own
#: classes: without it a refused reconnect is raised at once, whatever the number of retries.
AWAY = (RedisConnectionError, RedisTimeoutError, OSError)

#: A payload lives this long in arq's queue, so that a backlog of days is not dropped (arq's own default is one day).
QUEUE_LIFE_MS = 30 * 24 * 3600 * 1000


def encode_payload(value: Any) -> bytes:
    """Write an arq payload or result as JSON; an exception, which JSON cannot hold, becomes its text."""
    return msgspec.json.encode(value, enc_hook=repr)


def decode_payload(data: bytes) -> Any:
    """Read an arq payload. Anything but JSON, such as a pickle, is refused by `msgspec.DecodeError`."""
    return msgspec.json.decode(data)


def connect(url: RedisUrl, *, patience_s: float = 3.0) -> ArqRedis:
    """Make a client; it connects when it is first used.

    Every command may be sent again after a connection broke, so only commands that are safe to repeat belong here:
    reads, and scripts that guard themselves.

    Args:
        url: the server's address.
        patience_s: about how long a command is tried again while the server is away: seconds for a person at the
            command line, minutes for a worker.
    """
    # Waits of 0.05, 0.1, … 0.8 s, then 1 s each.
    retries = 5 + round(patience_s)
    pool = PrimaryPool.from_url(
        url.get_secret_value(),
        retries=retries,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), retries),
        retry_on_error=list(AWAY),
        socket_connect_timeout=5,
        # No socket_timeout: redis-py would wrap every command in asyncio.wait_for, which costs time and, on Python
        # 3.11, now and then swallows a cancellation. A server that has vanished is noticed by the kernel instead.
        **_keepalive(url),
    )
    return ArqRedis(
        pool,
        job_serializer=encode_payload,
        job_deserializer=decode_payload,
        default_queue_name=QUEUE,
        expires_extra_ms=QUEUE_LIFE_MS,
    )


def _keepalive(url: RedisUrl) -> dict[str, Any]:
    """Options that end a TCP connection to a machine that has been silent for about 20 s."""
    if url.address.socket_path is not None:
        return {}
    options = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
    known = {getattr(socket, name): value for name, value in options.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": known}


async def check_server(redis: ArqRedis) -> list[str]:
    """Look whether the server can be trusted with a ledger.

    Returns:
        Warnings for a person, each with what to do.

    Raises:
        UnsuitableServer: the ledger would not be safe there.
        redis.exceptions.RedisError: the server cannot be reached.
    """
    info: dict[str, Any] = await redis.info("server")
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < (6, 2):
        raise UnsuitableServer(f"Redis {version} is too old: version 6.2 or newer, or Valkey, is needed")
    try:
        config: dict[str, str] = await redis.config_get("*")
    except RedisError:
        return ["the server does not let its settings be read; see to maxmemory-policy noeviction and appendonly yes"]
    policy = config.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        raise UnsuitableServer(
            f"Redis would drop parts of the ledger when memory is short (maxmemory-policy {policy}): "
            "set it with `redis-cli CONFIG SET maxmemory-policy noeviction` and in redis.conf"
        )
    if config.get("appendonly") != "yes":
        return [_MEMORY_ONLY]
    return [] if config.get("appendfsync") == "always" else [_LAST_SECOND]


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
