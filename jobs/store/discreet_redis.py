"""A Redis client whose errors do not repeat what was sent: redis-py puts a pipeline's command into the error's text."""

from collections.abc import Iterable

from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline


class _DiscreetPipeline(Pipeline):
    def annotate_exception(self, exception: Exception, number: int, command: Iterable[object]) -> None:
        """Leave an error as the server sent it, without the command and its arguments."""


class DiscreetRedis(ArqRedis):
    """arq's client, used for everything that this program sends, including arq's own commands."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Begin a pipeline."""
        return _DiscreetPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
