"""Times as everybody reads them, ISO 8601 in UTC with milliseconds, and as the program reckons with them."""

from datetime import UTC, datetime


def iso(time_ms: int) -> str:
    """Write a Unix time in milliseconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_or_none(time_ms: int | str | None) -> str | None:
    """Do as `iso`; nothing, or 0, is None."""
    return iso(int(time_ms)) if time_ms and int(time_ms) else None


def clock(at: str) -> str:
    """Write what `iso` wrote for people: to the second, with the date."""
    return f"{at[:10]} {at[11:19]} UTC"


def unix_s(at: str) -> float:
    """Give what `iso` wrote as seconds since 1970."""
    return datetime.fromisoformat(at).timestamp()


def server_ms(answer: tuple[int, int]) -> int:
    """Give the Redis server's clock as Unix milliseconds.

    Args:
        answer: what its command TIME answers: seconds, and microseconds within the second.
    """
    seconds, micros = answer
    return seconds * 1000 + micros // 1000
