"""Opening hours in OpenStreetMap's syntax: when a portal's contacts may be deleted."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from opening_hours import OpeningHours, validate

#: How far ahead an opening or a closing is looked for; what changes later is taken for something that stays.
_HORIZON = timedelta(days=800)

#: The clock of a zone is changed at most once within this time.
_BETWEEN_TURNS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Interval:
    """A time during which it stays open, or closed.

    Attributes:
        is_open: which of both.
        from_ms: a moment at which that is so, Unix milliseconds; it may have begun earlier.
        until_ms: when that changes; None if it stays so.
    """

    is_open: bool
    from_ms: int
    until_ms: int | None


class Windows:
    """When contacts may be deleted, by the clock of a time zone.

    The library is asked about the clock on the wall alone. Where that clock is changed an hour comes twice, or never:
    the time before and the time after are looked at separately.

    Args:
        hours: such as `Mo-Fr 20:00-06:00; Sa-Su`; empty for always.
        timezone: the zone's IANA name.
    """

    def __init__(self, hours: str, timezone: str) -> None:
        self._hours = OpeningHours(hours) if hours else None
        self._zone = ZoneInfo(timezone)

    def at(self, moment_ms: int) -> Interval:
        """Return whether it is open at a moment, and how long that stays so.

        Args:
            moment_ms: Unix milliseconds.
        """
        start = datetime.fromtimestamp(moment_ms // 60_000 * 60, UTC)
        parts = self._parts(start)
        is_open, until = next(parts)
        while until and until < start + _HORIZON:
            still_open, later = next(parts)
            if still_open is not is_open:
                return Interval(is_open, _ms(start), _ms(until))
            until = later
        return Interval(is_open, _ms(start), None)

    def _parts(self, at: datetime) -> Iterator[tuple[bool, datetime | None]]:
        """Yield whether it is open, and until when at least; None if nothing changes any more."""
        last = at + _HORIZON
        while self._hours:
            wall = at.astimezone(self._zone).replace(tzinfo=None, fold=0)
            change = self._hours.next_change(wall)
            end = min(at + (change - wall), last) if change else last
            end = self._turn_of_clock(at, end) or end
            yield self._hours.is_open(wall), end
            at = end
        yield True, None

    def _turn_of_clock(self, at: datetime, end: datetime) -> datetime | None:
        """Return when the clock is changed for the first time between two moments; None if it is not."""
        offset = at.astimezone(self._zone).utcoffset()
        while at < end:
            later = min(at + _BETWEEN_TURNS, end)
            if later.astimezone(self._zone).utcoffset() != offset:
                while later - at > timedelta(minutes=1):
                    middle = at + (later - at) // timedelta(minutes=2) * timedelta(minutes=1)
                    if middle.astimezone(self._zone).utcoffset() == offset:
                        at = middle
                    else:
                        later = middle
                return later
            at = later
        return None


def check_windows(windows: str) -> str:
    """Return opening hours without blanks around them.

    Args:
        windows: such as `Mo-Fr 20:00-06:00; Sa-Su`; empty for always.

    Raises:
        ValueError: they are not opening hours; the message says what was expected.
    """
    text = windows.strip()
    if text and not validate(text):
        raise ValueError('opening hours such as "Mo-Fr 20:00-06:00; Sa-Su"')
    return text


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
