"""Times as people read them, ISO 8601 in UTC with milliseconds, and as the program computes with them."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

#: Linux stops its monotonic clock while the machine is suspended; elsewhere there is no other name for such a clock.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def since_boot_s() -> float:
    """Return seconds on a clock that only goes forward, and also while the machine is suspended: as others see it."""
    return time.clock_gettime(_SINCE_BOOT)


@lru_cache(maxsize=4096)  # whoever polls a job reads the same times again and again
def iso(time_ms: int) -> str:
    """Write a Unix time in milliseconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_or_none(time_ms: int | str | None) -> str | None:
    """Like `iso`, but None for a missing or zero time."""
    return iso(int(time_ms)) if time_ms and int(time_ms) else None


def clock(at: str) -> str:
    """Rewrite what `iso` wrote for people: the date, and the time to the second."""
    return f"{at[:10]} {at[11:19]} UTC"


def unix_s(at: str) -> float:
    """Return what `iso` wrote as seconds since 1970."""
    return datetime.fromisoformat(at).timestamp()


def server_ms(answer: tuple[int, int]) -> int:
    """Return the Redis server's clock as Unix milliseconds.

    Args:
        answer: the reply to its command TIME: seconds, and microseconds within the second.
    """
    seconds, micros = answer
    return seconds * 1000 + micros // 1000


def still_ahead(members: Iterable[tuple[bytes, float]], now_ms: int) -> list[bytes]:
    """Return the members of a sorted set whose time has not come yet: workers alive, leases that have not lapsed.

    Args:
        members: each with its time in milliseconds.
        now_ms: the time now, on the same clock.
    """
    return [member for member, at_ms in members if at_ms > now_ms]
