"""The connection to Redis: the same kind everywhere, with as much patience as wanted, and JSON for arq."""

import socket
from typing import Any

import msgspec
from arq.connections import ArqRedis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from config.fields import plain
from config.settings import RedisConfig, RedisUrl
from jobs.store.bounds import BoundedTcp, BoundedTls, RedisStalled
from jobs.store.discreet_redis import DiscreetRedis
from jobs.store.keys import QUEUE
from jobs.store.primary import PrimaryPool, WatchedTcp, WatchedTls, WatchedUnix
from jobs.store.replication import Replication
from jobs.store.sentinel import ANSWER_S, Sentinel
from jobs.store.sentinel_pool import SentinelPool
from jobs.store.tls import Tls

#: What a server that is away, restarting or out of reach looks like from here. OSError is needed besides redis-py's own
#: classes: without it, a refused reconnect is raised immediately, whatever the number of retries.
AWAY = (RedisConnectionError, RedisTimeoutError, RedisStalled, OSError)

#: A payload stays this long in arq's queue, so that a backlog of days is not dropped (arq's own default is one day).
QUEUE_LIFE_MS = 30 * 24 * 3600 * 1000


def encode_payload(value: Any) -> bytes:
    """Write an arq payload or result as JSON; an exception, which JSON cannot represent, becomes its `repr`."""
    return msgspec.json.encode(value, enc_hook=repr)


def decode_payload(data: bytes) -> Any:
    """Read an arq payload. Anything but JSON, such as a pickle, is refused with `msgspec.DecodeError`."""
    return msgspec.json.decode(data)


def connect(config: RedisConfig | RedisUrl, *, patience_s: float = 3.0, stall_s: float = 5.0) -> ArqRedis:
    """Return a client; it connects when it is first used.

    Any command may be sent again after the connection broke, so only commands that are safe to repeat may be sent
    with it: reads, and scripts that guard themselves.

    Args:
        config: how to reach Redis; an address alone if all else is as usual.
        patience_s: about how long a command is retried while the server is away: seconds for a person at the command
            line, minutes for a worker.
        stall_s: how long one reply may take. A command without a reply is retried if the patience is longer than this.
    """
    if isinstance(config, RedisUrl):
        config = RedisConfig(url=config)
    return DiscreetRedis(
        _pool(config, patience_s, stall_s),
        job_serializer=encode_payload,
        job_deserializer=decode_payload,
        default_queue_name=QUEUE,
        expires_extra_ms=QUEUE_LIFE_MS,
        replication=Replication(config.min_replicas, config.replica_timeout_s),
    )


def what_holds(redis: ArqRedis, error: Exception) -> Exception:
    """Return why a command has not completed within the caller's own time limit.

    Args:
        redis: the connection.
        error: what that time limit raised; returned if nothing better is known.
    """
    pool = redis.connection_pool
    return pool.refused if isinstance(pool, PrimaryPool) and pool.refused else error


def _pool(config: RedisConfig, patience_s: float, stall_s: float) -> PrimaryPool:
    address = config.url.address
    # Waits of 0.05, 0.1, … 0.8 s, then 1 s each.
    retries = 5 + round(patience_s)
    options: dict[str, Any] = {
        "retries": retries,
        "retry": Retry(ExponentialBackoff(cap=1, base=0.05), retries),
        "retry_on_error": [error for error in AWAY if error is not RedisStalled or patience_s > stall_s],
        "db": address.db,
        "username": address.username,
        "password": address.password,
        "socket_connect_timeout": 5,
        "stall_s": stall_s,
        **_PLAIN,
    }
    if address.socket_path is not None:
        return PrimaryPool(WatchedUnix, path=address.socket_path, **options)
    options |= _keepalive()
    secured: dict[str, Any] = {"tls": Tls(config)} if address.tls else {}
    kind = WatchedTls if address.tls else WatchedTcp
    if not address.sentinels:
        return PrimaryPool(kind, host=address.host, port=address.port, **options, **secured)
    asking = {
        "username": config.sentinel_username,
        "password": plain(config.sentinel_password),
        "socket_connect_timeout": ANSWER_S,
        "stall_s": ANSWER_S,
        **_PLAIN,
        **_keepalive(),
        **secured,
    }
    door = BoundedTls if address.tls else BoundedTcp
    sentinels = [Sentinel(at, door(host=at.host, port=at.port, **asking), address.service) for at in address.sentinels]
    return SentinelPool(kind, sentinels=sentinels, **options, **secured)


#: No socket_timeout: redis-py would wrap every write in asyncio.wait_for, which costs time and, on Python 3.11,
#: sometimes swallows a cancellation. The client library is not announced: that takes two commands per connection, and
#: the rights to run them.
_PLAIN: dict[str, Any] = {"lib_name": None, "lib_version": None}


def _keepalive() -> dict[str, Any]:
    """Return the options that end a TCP connection to a machine that has been silent for about 20 s."""
    options = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
    known = {getattr(socket, name): value for name, value in options.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": known}
