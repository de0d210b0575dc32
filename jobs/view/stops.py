"""The stop switch as users see it: which portals send no PUT until somebody starts them again."""

from collections.abc import Mapping

import msgspec
from redis.asyncio import Redis

from jobs.store import keys
from jobs.store.kept import EVERYONE
from jobs.store.times import iso


class Stop(msgspec.Struct, frozen=True):
    """One stop that is in force."""

    portal: str | None
    """The portal that it is about; None for all portals."""
    by: str
    """Who stopped it, as in `actions`."""
    at: str
    """When, as ISO 8601 in UTC."""


class _Kept(msgspec.Struct):
    """A stop as the script writes it."""

    by: str
    at_ms: int


_decode = msgspec.json.Decoder(_Kept).decode


def stop_of(portal: str | None, kept: bytes) -> Stop:
    """Return a stop from what is kept of it.

    Args:
        portal: the portal that it is about; None for all.
        kept: the field of the hash.
    """
    stop = _decode(kept)
    return Stop(portal, stop.by, iso(stop.at_ms))


async def read_stops(redis: Redis) -> list[Stop]:
    """Return the stops in force: that of all portals first, then those of single portals by name."""
    kept: Mapping[bytes, bytes] = await redis.execute_command("HGETALL", keys.STOPPED)
    stops = [stop_of(None if name.decode() == EVERYONE else name.decode(), data) for name, data in kept.items()]
    return sorted(stops, key=lambda stop: stop.portal or "")
