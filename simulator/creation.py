"""When contacts were created, on the portal's own clock: a formula of the ID, unless it was set for a contact."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from pyroaring import BitMap

from simulator.chance import seeded

#: The creation of the contacts with the lowest IDs, on the portal's clock. Moments are counted in seconds from here.
START = datetime(2010, 1, 1, tzinfo=UTC)
_LAST_S = int((datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - START).total_seconds())

#: By default contacts were imported in blocks; all contacts of a block have the same creation time.
IMPORT_BLOCK = 512
IMPORT_EVERY_S = 60

_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,7})?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)


class Creation:
    """The creation times of the contacts of one portal.

    Args:
        moments: those that do not follow the formula: ISO dates or times on the portal's clock, by contact ID.
        import_block: how many consecutive IDs share a moment by the formula.
        import_every_s: seconds from one block to the next.

    Raises:
        ValueError: a moment is not an ISO date or time, or a number is not positive.
    """

    def __init__(
        self,
        moments: Mapping[int, str] | None = None,
        *,
        import_block: int = IMPORT_BLOCK,
        import_every_s: int = IMPORT_EVERY_S,
    ) -> None:
        if min(import_block, import_every_s) < 1:
            raise ValueError("import_block and import_every_s must be at least 1")
        self._block, self._every_s = import_block, import_every_s
        self._moments: dict[int, int] = {}
        self._irregular = BitMap()
        for contact_id, moment in (moments or {}).items():
            self.set(contact_id, moment)

    def second(self, contact_id: int) -> int:
        """Return when the contact was created, in seconds from START."""
        if contact_id in self._moments:
            return self._moments[contact_id]
        return min(contact_id // self._block * self._every_s, _LAST_S)

    def moment(self, contact_id: int) -> datetime:
        """Return when the contact was created: the portal's wall time, marked as UTC."""
        return START + timedelta(seconds=self.second(contact_id))

    def text(self, contact_id: int, utc_offset_minutes: int = 0) -> str:
        """Return when the contact was created as the portal writes it, with the offset of its time zone."""
        return moment_text(self.second(contact_id), utc_offset_minutes)

    def set(self, contact_id: int, moment: str) -> None:
        """Set when the contact was created.

        Args:
            contact_id: the contact.
            moment: an ISO date or time on the portal's clock, to the second.

        Raises:
            ValueError: the moment is neither.
        """
        self.set_second(contact_id, parse_moment(moment))

    def set_second(self, contact_id: int, second: int) -> None:
        """Set when the contact was created, in seconds from START."""
        self._moments[contact_id] = second
        self._irregular.add(contact_id)

    def set_now(self, contact_id: int, utc_offset_minutes: int) -> None:
        """Say that the contact is created now, to the second."""
        wall = datetime.now(timezone(timedelta(minutes=utc_offset_minutes))).replace(tzinfo=UTC)
        self.set_second(contact_id, int((wall - START).total_seconds()))

    def forget(self, contact_ids: Iterable[int]) -> None:
        """Let the contacts follow the formula again."""
        for contact_id in self._irregular & BitMap(contact_ids):
            del self._moments[contact_id]
            self._irregular.remove(contact_id)

    def within(self, contact_ids: BitMap, first_s: int | None, last_s: int | None) -> BitMap:
        """Return those of the contacts that were created in a span of seconds from START, both ends included."""
        if not contact_ids:
            return BitMap()
        regular, start, end = BitMap(), 0, contact_ids.max() + 1
        if first_s is not None:
            start = max(0, -(-first_s // self._every_s) * self._block)
        if last_s is not None:
            end = min(end, (last_s // self._every_s + 1) * self._block)
        if start < end:
            regular.add_range(start, end)
        irregular = self._irregular & contact_ids
        return ((contact_ids - irregular) & regular) | BitMap(
            contact_id
            for contact_id in irregular
            if (first_s is None or self._moments[contact_id] >= first_s)
            and (last_s is None or self._moments[contact_id] <= last_s)
        )

    def page(self, contact_ids: BitMap, start: int, count: int, *, newest_first: bool, salt: int) -> list[int]:
        """Return a piece of the contacts in the order of their creation.

        The order of contacts with the same creation time depends on the salt.
        """
        if not self._irregular.isdisjoint(contact_ids):
            shuffled = seeded("creation", salt).sample(list(contact_ids), len(contact_ids))
            return sorted(shuffled, key=self.second, reverse=newest_first)[start : start + count]
        ascending = start if not newest_first else max(0, len(contact_ids) - start - count)
        page = contact_ids[ascending : ascending + count if not newest_first else max(0, len(contact_ids) - start)]
        if not page:
            return []
        low, high = page.min() // self._block, page.max() // self._block
        blocks = range(high, low - 1, -1) if newest_first else range(low, high + 1)
        if newest_first:
            before = len(contact_ids) - contact_ids.rank((high + 1) * self._block - 1)
        else:
            before = contact_ids.rank(low * self._block - 1) if low else 0
        in_order: list[int] = []
        for block in blocks:
            members = contact_ids & BitMap(range(block * self._block, (block + 1) * self._block))
            in_order.extend(seeded("block", salt, block).sample(list(members), len(members)))
        return in_order[start - before : start - before + count]


def parse_moment(text: str, utc_offset_minutes: int = 0) -> int:
    """Return a date or time as seconds from START, on the portal's clock.

    Args:
        text: ``yyyy-MM-dd``, or a time with or without fractions and a time zone; without one it is the portal's.
        utc_offset_minutes: the offset of the portal's time zone.

    Raises:
        ValueError: the text is not such a date.
    """
    if not _DATE.fullmatch(text):
        raise ValueError(f"{text!r} is not a date or time such as 2024-05-31 or 2024-05-31T23:59:30")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone(timedelta(minutes=utc_offset_minutes)))
    return int((moment.replace(tzinfo=UTC) - START).total_seconds() // 1)


@lru_cache(maxsize=8192)
def moment_text(second: int, utc_offset_minutes: int) -> str:
    """Return a moment in seconds from START as the portal writes it."""
    moment = START + timedelta(seconds=second)
    hours, minutes = divmod(abs(utc_offset_minutes), 60)
    zone = f"{'-' if utc_offset_minutes < 0 else '+'}{hours:02}:{minutes:02}" if utc_offset_minutes else "Z"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.0000000{zone}"
