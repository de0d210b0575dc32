"""A client like those of other programs: it does not check what it is connected to, be it a replica."""

from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool

from config.redis_url import RedisUrl
from jobs.store.connection import decode_payload, encode_payload
from jobs.store.keys import QUEUE


def plain_redis(url: RedisUrl) -> ArqRedis:
    """Make a client that speaks JSON to arq; for tests that change the server, and for services with plain arq."""
    return ArqRedis(
        ConnectionPool.from_url(url.get_secret_value(), lib_name=None, lib_version=None),
        job_serializer=encode_payload,
        job_deserializer=decode_payload,
        default_queue_name=QUEUE,
    )
