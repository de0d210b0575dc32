"""The canary: contact IDs of a job that are sent first, spread evenly over its list. The others are the *rest*.

Which they are follows from two numbers alone, so nothing is stored per contact ID: of a list of `total`, contact
number j of a canary of `contacts` is at place floor(j * total / contacts). jobs/store/lua/includes/canary.lua does the
same arithmetic with numbers of 53 bits, so products must stay below that.

A place counts from the beginning of the list; a position, from the beginning of its segment.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_EXACT = 2**53
"""Whole numbers up to this one are exact in Lua."""


@dataclass(frozen=True, slots=True)
class Canary:
    """The canary of one job.

    Attributes:
        contacts: how many contact IDs go first, 1 to `total`.
        total: contact IDs of the job.
    """

    contacts: int
    total: int

    def place(self, index: int) -> int:
        """Return the place of canary contact number `index` in the list, counted from 0."""
        return index * self.total // self.contacts

    def before(self, place: int) -> int:
        """Return how many of the canary are before a place of the list."""
        return -(-place * self.contacts // self.total)

    def places(self, start: int, stop: int, most: int) -> Iterator[int]:
        """Return the places of the canary from `start` up to `stop`, of its first `most` contact IDs only."""
        return (self.place(index) for index in range(self.before(start), min(self.before(stop), most)))


def largest_canary(total: int) -> int:
    """Return how large the canary of a list can be: all of it, unless it has more than 94 million contact IDs."""
    return min(total, _EXACT // total)
