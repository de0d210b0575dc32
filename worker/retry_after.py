"""Reads the `Retry-After` header."""

import re
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime

#: No rest is longer than a year, whatever the header says; a setting limits how much of it a portal gets.
LONGEST_S = 366 * 86_400.0
#: A number that is this close to the present if read as a time since 1970 is one: no portal asks for fifty years.
_AN_AGE_S = 10 * LONGEST_S
#: What gateways write instead of seconds since 1970: milli-, micro- and nanoseconds.
_PER_SECOND = (1, 1e3, 1e6, 1e9)

_DAY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)[a-z]*", re.ASCII | re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)


def parse_retry_after(value: str | None, now: float, date: str | None = None) -> float | None:
    """Return how many seconds to stay away, from 0 to a year.

    Some gateways write a point in time instead of a number of seconds: the seconds since 1970, or the milliseconds. A
    number that looks like a point in time is read as one.

    Args:
        value: the header as received: seconds, or an HTTP date in any of its three forms; None if there was none. Of
            several, joined with commas, the longest counts.
        now: seconds since 1970 (UTC).
        date: the `Date` header of the same answer, as a point in time refers to the sender's clock. It is used if it
            makes sense, which is if the point is within a year after it.

    Returns:
        None if the header is missing or makes no sense. A point in time in the past is 0.
    """
    wishes = [
        wish for part in _parts(value or "") if (wish := _read(part.strip(), now, _moment(date or ""))) is not None
    ]
    return min(max(wishes), LONGEST_S) if wishes else None


def _parts(text: str) -> Iterator[str]:
    pieces = iter(text.split(","))
    for piece in pieces:
        # After the name of a day, the comma is part of a date.
        yield f"{piece},{next(pieces, '')}" if _DAY.fullmatch(piece.strip()) else piece


def _read(text: str, now: float, portal_now: float | None) -> float | None:
    if not _SECONDS.fullmatch(text):
        moment = _moment(text)
        return None if moment is None else _until(moment, now, portal_now)
    number = float(text)
    for moment in (number / unit for unit in _PER_SECOND):
        if abs(moment - now) < _AN_AGE_S:
            return _until(moment, now, portal_now)
    return number


def _moment(text: str) -> float | None:
    """Return an HTTP date as seconds since 1970; None if it is not one."""
    try:
        when = parsedate_to_datetime(text)
        # "-0000" and the oldest form give a date without a zone; HTTP dates are UTC by definition.
        return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _until(moment: float, now: float, portal_now: float | None) -> float:
    if portal_now is not None and 0 <= moment - portal_now <= LONGEST_S:
        return moment - portal_now
    return max(moment - now, 0.0)
