"""What one run has to do; the same for every variant."""

import dataclasses
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """Contacts `1..contacts` to delete from a portal, in batches, with several calls in flight."""

    portal_url: str  #: base address of the stub portal
    redis_url: str  #: an empty server, for variants that need one
    contacts: int
    batch: int  #: IDs per PUT
    concurrency: int  #: calls in flight
    webhooks: str = "[]"  #: receivers of events, as in the environment: a JSON array
    min_replicas: int = 0  #: replicas that must have a claim before its PUT is sent

    @property
    def ids(self) -> range:
        """The contact IDs, ascending."""
        return range(1, self.contacts + 1)

    def batches(self) -> list[list[int]]:
        """Return the IDs of each PUT, in order; the last list may be shorter."""
        ids = self.ids
        return [list(ids[start : start + self.batch]) for start in range(0, self.contacts, self.batch)]

    def as_argument(self) -> str:
        """Return the load as one command-line argument, which a worker process reads with `from_argument`."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_argument(cls, argument: str) -> "Load":
        """Read what `as_argument` has written."""
        return cls(**json.loads(argument))
