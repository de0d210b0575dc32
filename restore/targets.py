"""Which contacts a restore is about: those that the job's ledger says are gone by its hand."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from pyroaring import BitMap
from redis.asyncio import Redis

from jobs.ledger.rows import read_rows
from jobs.words.outcomes import Code, Outcome

#: Contacts that are gone, certainly or very likely because this job deleted them.
GONE = frozenset(code.value for code in Code if code.outcome in {Outcome.DELETED, Outcome.PRESUMED_DELETED})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contact is in the job's list: its segment, and its place in that."""

    segment: int
    offset: int


@dataclass(slots=True)
class Targets:
    """The contacts to restore, and where each is in the job's list.

    Attributes:
        wanted: their IDs.
        gone: all contacts that the job deleted, wanted or not.
    """

    wanted: BitMap = field(default_factory=BitMap)
    gone: BitMap = field(default_factory=BitMap)
    _segments: list[Sequence[int]] = field(default_factory=list)

    @classmethod
    async def read(cls, redis: Redis, job_id: str, only: BitMap | None) -> "Targets":
        """Read them from the job's ledger.

        Args:
            redis: the connection.
            job_id: the job.
            only: restore no others; None for all.

        Raises:
            UnknownJob: no such job.
        """
        targets = cls()
        async for rows in read_rows(redis, job_id):
            targets._segments.append(array("I", rows.ids))
            targets.gone |= BitMap(
                contact_id for contact_id, code in zip(rows.ids, rows.codes, strict=True) if code in GONE
            )
        targets.wanted = targets.gone if only is None else targets.gone & only
        return targets

    def place_of(self, contact_id: int) -> Place | None:
        """Return where a contact is in the job's list; None if it is not in it."""
        segment = bisect_left(self._segments, contact_id, key=lambda ids: ids[-1])
        if segment == len(self._segments):
            return None
        ids = self._segments[segment]
        offset = bisect_left(ids, contact_id)
        return Place(segment, offset) if ids[offset] == contact_id else None

    def at(self, contact_id: int) -> Place:
        """Return where a contact of the job is in its list.

        Raises:
            KeyError: it is not in it.
        """
        place = self.place_of(contact_id)
        if place is None:
            raise KeyError(contact_id)
        return place

    def id_at(self, segment: int, offset: int) -> int:
        """Return the contact ID at a place."""
        return self._segments[segment][offset]
