"""Days of a time zone, from midnight to midnight: an hour longer or shorter where its clock is changed."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a time zone.

    Attributes:
        name: its date, such as 2026-11-26.
        from_ms: its first moment, Unix milliseconds.
        until_ms: the first moment of the next day.
    """

    name: str
    from_ms: int
    until_ms: int


def day_at(moment_ms: int, timezone: str) -> Day:
    """Return the day of a moment.

    Args:
        moment_ms: Unix milliseconds.
        timezone: the zone's IANA name.
    """
    zone = ZoneInfo(timezone)
    day = datetime.fromtimestamp(moment_ms // 1000, zone).date()
    return Day(day.isoformat(), _midnight_ms(day, zone), _midnight_ms(day + timedelta(days=1), zone))


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    # Where the clock skips midnight, this is the moment at which it does.
    return round(datetime.combine(day, time(), zone).timestamp() * 1000)
