"""What a lane tells the ledger about the guards of its portal whenever it asks for a batch."""

from dataclasses import dataclass, fields

import msgspec

#: Later than anything that happens; Lua counts exactly up to here.
FOREVER_MS = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """When PUTs may leave and how many contact IDs they may hold, as the configuration has it for a while.

    The ledger hands out nothing outside the time for which this is true, so nothing stays open by mistake. Times are
    Unix milliseconds on the Redis server's clock.

    Attributes:
        address: fingerprint of the portal's address; empty if jobs for any address are taken.
        from_ms: since when the rest is true.
        until_ms: until when.
        is_open: whether the portal's windows are open.
        opens_ms: when they open; 0 if they are open, or if that is not known.
        most_per_day: contact IDs in the PUTs of one day at most; 0 for any number.
        day: name of the day.
        day_ends_ms: when it ends.
        undo_required: whether every job keeps a bundle.
    """

    address: str = ""
    from_ms: int = 0
    until_ms: int = FOREVER_MS
    is_open: bool = True
    opens_ms: int = 0
    most_per_day: int = 0
    day: str = ""
    day_ends_ms: int = 0
    undo_required: bool = False

    def arguments(self, conditions: str) -> tuple[str, bytes]:
        """Return the script's arguments: the address, and a map of everything else.

        Args:
            conditions: under which the lane would send what a plan says (jobs/plan/digest.py).
        """
        return self.address, _encode({"conditions": conditions} | {name: getattr(self, name) for name in _TOLD})


_TOLD = [field.name for field in fields(Gates) if field.name != "address"]
_encode = msgspec.msgpack.Encoder().encode


NO_GATES = Gates()
"""Everything may leave at any time."""
