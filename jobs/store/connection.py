"""The connection to Redis: the same kind everywhere, with as much patience as wanted, and JSON for arq."""

import socket
from pathlib import Path
from typing import Any

import msgspec
from arq.connections import ArqRedis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from config.authorities import read_authorities
from config.redis_url import RedisUrl
from jobs.store.bounds import RedisStalled
from jobs.store.discreet_redis import DiscreetRedis
from jobs.store.keys import QUEUE
from jobs.store.primary import PrimaryPool
from jobs.store.replication import NO_REPLICAS, Replication

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


def connect(
    url: RedisUrl,
    *,
    patience_s: float = 3.0,
    stall_s: float = 5.0,
    tls_ca_file: Path | None = None,
    replication: Replication = NO_REPLICAS,
) -> ArqRedis:
    """Return a client; it connects when it is first used.

    Any command may be sent again after the connection broke, so only commands that are safe to repeat may be sent
    with it: reads, and scripts that guard themselves.

    Args:
        url: the server's address.
        patience_s: about how long a command is retried while the server is away: seconds for a person at the command
            line, minutes for a worker.
        stall_s: how long one reply may take. A command without a reply is retried if the patience is longer than this.
        replication: what is demanded of the server's replicas.
        tls_ca_file: certificate authorities trusted for a `rediss://` server; by default those of the system.
    """
    # Waits of 0.05, 0.1, … 0.8 s, then 1 s each.
    retries = 5 + round(patience_s)
    pool = PrimaryPool.from_url(
        url.get_secret_value(),
        retries=retries,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), retries),
        retry_on_error=[error for error in AWAY if error is not RedisStalled or patience_s > stall_s],
        socket_connect_timeout=5,
        # The client library is not announced: that takes two commands per connection, and the rights to run them.
        lib_name=None,
        lib_version=None,
        # No socket_timeout: redis-py would wrap every write in asyncio.wait_for, which costs time and, on Python 3.11,
        # sometimes swallows a cancellation.
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
        replication=replication,
    )


def what_holds(redis: ArqRedis, error: Exception) -> Exception:
    """Return why a command has not completed within the caller's own time limit.

    Args:
        redis: the connection.
        error: what that time limit raised; returned if nothing better is known.
    """
    pool = redis.connection_pool
    return pool.refused if isinstance(pool, PrimaryPool) and pool.refused else error


def _keepalive(url: RedisUrl) -> dict[str, Any]:
    """Return the options that end a TCP connection to a machine that has been silent for about 20 s."""
    if url.address.socket_path is not None:
        return {}
    options = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
    known = {getattr(socket, name): value for name, value in options.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": known}


def _tls(url: RedisUrl, ca_file: Path | None) -> dict[str, Any]:
    """Return the options of a connection over TLS. By default, redis-py also accepts a certificate of another host."""
    if not url.address.tls:
        return {}
    return {"ssl_check_hostname": True, "ssl_ca_data": None if ca_file is None else read_authorities(ca_file)}
