"""A Redis client whose errors do not repeat what was sent: redis-py puts a pipeline's command into the error's text."""

from collections.abc import Iterable
from typing import Any

from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from jobs.store.replication import NO_REPLICAS, Replication


class _DiscreetPipeline(Pipeline):
    def annotate_exception(self, exception: Exception, number: int, command: Iterable[object]) -> None:
        """Leave an error as the server sent it, without the command and its arguments."""


class DiscreetRedis(ArqRedis):
    """arq's client, used for everything that this program sends, including arq's own commands.

    Args:
        arguments, options: those of arq's client.
        replication: what is demanded of the server's replicas (jobs/store/scripts.py).
    """

    def __init__(self, *arguments: Any, replication: Replication = NO_REPLICAS, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.replication = replication

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Begin a pipeline."""
        return _DiscreetPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def replication_of(redis: Redis) -> Replication:
    """Return what a client demands of its server's replicas."""
    return redis.replication if isinstance(redis, DiscreetRedis) else NO_REPLICAS
