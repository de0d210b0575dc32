"""Opening hours in OpenStreetMap's syntax: when a portal's contacts may be deleted."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from opening_hours import validate


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


def check_timezone(name: str) -> str:
    """Return the name of a time zone.

    Raises:
        ValueError: there is no such zone; the message says what was expected.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("an IANA time zone such as Europe/Berlin") from None
    return name
