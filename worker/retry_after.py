"""Reads the header `Retry-After`."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

#: A portal that wants to be left alone for longer is asked again after a day.
LONGEST_S = 86_400.0

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return how many seconds to stay away, from 0 to one day.

    Args:
        value: the header as it came: seconds, or an HTTP date; None when there was none.
        now: seconds since 1970 (UTC).

    Returns:
        None when the header is missing or means nothing. A date in the past is 0.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_S)
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
