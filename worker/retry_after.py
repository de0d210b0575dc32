"""Reads the header `Retry-After`."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

#: A portal that wants to be left alone for longer is asked again after a day.
LONGEST_S = 86_400.0
#: A number this close to the present, taken for a time since 1970, is one: nobody asks for a rest of fifty years.
_AN_AGE_S = 10 * 365 * LONGEST_S

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return how many seconds to stay away, from 0 to one day.

    Some gateways write a point in time in place of a number of seconds: the seconds since 1970, or the milliseconds.
    A number that looks like one is read as one.

    Args:
        value: the header as it came: seconds, or an HTTP date; None when there was none.
        now: seconds since 1970 (UTC).

    Returns:
        None when the header is missing or means nothing. A point in time in the past is 0.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return min(_seconds(float(text), now), LONGEST_S)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # "-0000" gives a date without a zone; HTTP dates are UTC by definition.
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    try:
        return min(max(aware.timestamp() - now, 0.0), LONGEST_S)
    except (ValueError, OverflowError):
        return None


def _seconds(number: float, now: float) -> float:
    for moment in (number, number / 1000):
        if abs(moment - now) < _AN_AGE_S:
            return max(moment - now, 0.0)
    return number
