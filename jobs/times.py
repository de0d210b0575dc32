"""Times as everybody reads them: ISO 8601 in UTC, with milliseconds."""

from datetime import UTC, datetime


def iso(time_ms: int) -> str:
    """Write a Unix time in milliseconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_or_none(time_ms: int | str | None) -> str | None:
    """Do as `iso`; nothing, or 0, is None."""
    return iso(int(time_ms)) if time_ms and int(time_ms) else None
