"""How many replicas must have a write before it counts.

Replication is asynchronous: after a fail-over, the new primary may lack what the old one had answered. What must not be
lost is therefore followed by WAIT on the same connection, which tells how many replicas have everything that was
written before it. Replicas have a write only together with all writes before it, so whatever led to it is safe as well.
"""

from dataclasses import dataclass

from redis.exceptions import RedisError


@dataclass(frozen=True, slots=True)
class Replication:
    """What a connection demands of its server's replicas.

    Attributes:
        min_replicas: how many must have a write; 0 asks none.
        timeout_s: how long to wait for them, in seconds.
    """

    min_replicas: int = 0
    timeout_s: float = 1.0

    @property
    def wait(self) -> tuple[str, int, int]:
        """The command that waits for the replicas."""
        return "WAIT", self.min_replicas, round(self.timeout_s * 1000)


#: What a single server can be asked for.
NO_REPLICAS = Replication()


class NotReplicated(RedisError):
    """Too few replicas had a write in time. It was made, but a fail-over could undo it."""
