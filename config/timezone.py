"""Time zones, by their IANA names."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

from config.fields import refuse


def _check(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        refuse("an IANA time zone such as Europe/Berlin")
    return name


#: The name of a time zone that this machine knows.
TimeZone = Annotated[str, AfterValidator(_check)]
