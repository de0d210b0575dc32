"""Cron expressions: when a schedule is due, by the clock of a time zone.

A time of day that the clock skips is due at the first moment after the gap, and one that comes twice is due the first
time, as in Debian's cron. Expressions that run every hour or more often follow the clock that does not jump.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

#: How far back the last due time is looked for, in steps, so that few are passed on the way, however frequent they are.
_LOOK_BACK = (timedelta(days=1), timedelta(days=40), timedelta(days=370))
#: From here it can be seen whether an expression ever matches: the library looks 50 years ahead.
_SOME_TIME = datetime(2024, 1, 1, tzinfo=UTC)


class Cron:
    """When a schedule is due.

    Args:
        expression: five fields: minute, hour, day of the month, month, day of the week.
        timezone: the zone's IANA name.
    """

    def __init__(self, expression: str, timezone: str) -> None:
        self._expression = expression
        self._zone = ZoneInfo(timezone)

    def next_after(self, moment_ms: int) -> int | None:
        """Return the first due time after a moment; None if there is none within 50 years.

        Args:
            moment_ms: Unix milliseconds.
        """
        return next(self._after(moment_ms), None)

    def last_between(self, after_ms: int, until_ms: int) -> int | None:
        """Return the last due time after one moment and not after another; None if there is none.

        Args:
            after_ms: Unix milliseconds.
            until_ms: Unix milliseconds.
        """
        for step in _LOOK_BACK:
            from_ms = max(after_ms, until_ms - round(step.total_seconds() * 1000))
            last = self._last(from_ms, until_ms)
            if last is not None or from_ms == after_ms:
                return last
        return self._last(after_ms, until_ms)

    def _last(self, after_ms: int, until_ms: int) -> int | None:
        last = None
        for due_ms in self._after(after_ms):
            if due_ms > until_ms:
                break
            last = due_ms
        return last

    def _after(self, moment_ms: int) -> Iterator[int]:
        # In an hour that comes for the second time, the library gives what was due when it came for the first time.
        start = datetime.fromtimestamp(moment_ms // 1000, self._zone)
        for due in CronSim(self._expression, start):
            due_ms = round(due.timestamp() * 1000)
            if due_ms > moment_ms:
                yield due_ms


def check_cron(expression: str) -> str:
    """Return a cron expression with single blanks between its fields.

    Raises:
        ValueError: it is none, or never matches; the message says what was expected.
    """
    fields = expression.split()
    if len(fields) != 5:
        raise ValueError('five fields, such as "30 2 * * MON-FRI": minute, hour, day, month, day of the week')
    text = " ".join(fields)
    try:
        first = next(CronSim(text, _SOME_TIME), None)
    except CronSimError as error:
        raise ValueError(f'a cron expression such as "30 2 * * MON-FRI"; {str(error).lower()}') from None
    if first is None:
        raise ValueError("a time that comes: no day matches this")
    return text
