"""What the guards of a portal say at this moment, kept for as long as that is true."""

from config.days import day_at
from config.opening_hours import Windows
from config.portal import Portal
from jobs.lanes.gates import FOREVER_MS, Gates


class Gatekeeper:
    """The gates of one portal; shared by its lanes in this process.

    The time is that of the Redis server: a lane whose gates are not about this moment is told the moment when it asks
    for a batch. This process's clock does not matter.

    Args:
        portal: the portal's settings.
    """

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._windows = Windows(portal.windows, portal.timezone)
        self.gates = Gates(until_ms=0)
        """What was true when it was last looked at; at first nothing is."""

    def look(self, now_ms: int) -> None:
        """Find out what is true at a moment.

        Args:
            now_ms: the Redis server's clock.
        """
        window, day = self._windows.at(now_ms), day_at(now_ms, self._portal.timezone)
        changes_ms = window.until_ms or FOREVER_MS
        self.gates = Gates(
            address=self._portal.address,
            from_ms=min(now_ms, max(window.from_ms, day.from_ms)),
            until_ms=max(now_ms + 1, min(changes_ms, day.until_ms)),
            is_open=window.is_open,
            opens_ms=0 if window.is_open else window.until_ms or 0,
            most_per_day=self._portal.max_contacts_per_day,
            day=day.name,
            day_ends_ms=day.until_ms,
            undo_required=self._portal.undo == "required",
        )
