"""How many replicas must have a write before it counts.

Replication is asynchronous: after a fail-over, the new primary may lack what the old one had answered. What must not be
lost is therefore followed by WAIT on the same connection, which tells how many replicas have everything that was
written before it. Replicas have a write only together with all writes before it, so whatever led to it is safe as well.
"""

from dataclasses import dataclass
from typing import Any

from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from jobs.store.keys import REPLICATED
from jobs.store.round_trip import Command


@dataclass(frozen=True, slots=True)
class Replication:
    """What a connection demands of its server's replicas.

    Attributes:
        min_replicas: how many must have a write; 0 asks none.
        timeout_s: how long to wait for them, in seconds.
    """

    min_replicas: int = 0
    timeout_s: float = 1.0

    def question(self) -> list[Command]:
        """Return the commands that ask whether replicas have all that was written before, also by other connections."""
        if not self.min_replicas:
            return []
        # The server answers for what this very connection has written last, and that may be nothing.
        return [("INCRBY", REPLICATED, 1), ("WAIT", self.min_replicas, round(self.timeout_s * 1000))]

    def ask(self, pipe: Pipeline) -> None:
        """Queue the question in a pipeline."""
        for command in self.question():
            pipe.execute_command(*command)

    def take(self, replies: list[Any]) -> bool:
        """Remove the answer from the end of a round trip's replies; return whether enough replicas have it.

        Args:
            replies: those of the round trip. Those to what was sent before the question stay, and so do exceptions.
        """
        if not self.min_replicas:
            return True
        answer = replies[-2:]
        refusals = [reply for reply in answer if isinstance(reply, Exception)]
        replies[-2:] = refusals
        return not refusals and bool(answer[1] >= self.min_replicas)


#: What a single server can be asked for.
NO_REPLICAS = Replication()


class NotReplicated(RedisError):
    """Too few replicas had a write in time. It was made, but a fail-over could undo it."""
