"""What one run is to do: the same for every variant."""

import dataclasses
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """Contacts `1..contacts` to delete from a portal, in batches, with so many calls in flight."""

    portal_url: str  #: base address of the stub portal
    redis_url: str  #: an empty server, for variants that need one
    contacts: int
    batch: int  #: IDs of one PUT
    concurrency: int  #: calls in flight

    @property
    def ids(self) -> range:
        """The contact IDs, ascending."""
        return range(1, self.contacts + 1)

    def batches(self) -> list[list[int]]:
        """The IDs of each PUT, in order; the last one may be shorter."""
        ids = self.ids
        return [list(ids[start : start + self.batch]) for start in range(0, self.contacts, self.batch)]

    def as_argument(self) -> str:
        """One command-line argument from which a worker process reads it back."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_argument(cls, argument: str) -> "Load":
        """The opposite of `as_argument`."""
        return cls(**json.loads(argument))
