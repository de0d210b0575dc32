"""How many calls a plan takes, and how long."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a portal can be driven.

    Attributes:
        requests_per_second: calls per second now: its ceiling, or what was learned.
        max_concurrency: calls in flight at most.
        batch_size: contact IDs of a PUT now.
        batch_size_max: contact IDs of a PUT at most.
        look_up_size: contact IDs of a look-up.
        batch_target_s: how long a PUT takes at most once its size has been learned, seconds.
    """

    requests_per_second: float
    max_concurrency: int
    batch_size: int
    batch_size_max: int
    look_up_size: int
    batch_target_s: float

    def calls(self, deletable: int, others: int) -> int:
        """Return how many calls it takes at the present size of batches.

        Args:
            deletable: contacts that are sent.
            others: contacts that are only looked up.
        """
        return math.ceil(deletable / self.batch_size) + math.ceil(others / self.look_up_size)

    def seconds(self, deletable: int, others: int) -> tuple[float, float]:
        """Return how long it takes, from and to, in seconds; arguments are those of `calls`.

        It cannot be faster than the rate with the largest batches. It should not be slower than with batches of the
        present size that take as long as they may.
        """
        fewest = math.ceil(deletable / self.batch_size_max) + math.ceil(others / self.look_up_size)
        fastest = fewest / self.requests_per_second
        most = self.calls(deletable, others)
        slowest = most * max(1 / self.requests_per_second, self.batch_target_s / self.max_concurrency)
        return round(fastest, 1), round(max(slowest, fastest), 1)
