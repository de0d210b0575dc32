"""The campaigns of a chaos run: which contacts they are about, and the guards of the portals that they belong to.

Three names lead to the one simulated portal: the ordinary one, one whose contacts may be deleted only at certain times,
and one of which only so many may be deleted in a day.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

from pyroaring import BitMap

from jobs.words.filters import Filter

WINDOWED_PORTAL = "windowed"
CAPPED_PORTAL = "capped"

#: Two campaigns by the same filter, a planned list, and one that nobody ever approves.
BY_TAG, BY_TAG_AGAIN, PLANNED, NEVER_APPROVED = "by-tag", "by-tag-again", "planned", "never-approved"
#: A planned list for which there are windows, and a plain list above the cap of a day.
WINDOWED, CAPPED = "windowed", "capped"

TAG, PROTECTED_TAG = "trash", "vip"

_GUARDS = """\
canary = "2%"
protected_tags = ["{protected_tag}"]
recheck_after_s = 10
"""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the windows are open: every other minute, on a clock on which it is about noon.

    A run that lasts less than a minute cannot wait for that: its windows stay closed, and people open them.

    Attributes:
        minutes: how long the run takes.
        start_s: Unix time of its start.
    """

    minutes: float
    start_s: float = field(default_factory=time.time)

    @property
    def _offset_h(self) -> int:
        return 12 - datetime.fromtimestamp(self.start_s, UTC).hour

    @property
    def timezone(self) -> str:
        """The time zone of the windows, in which no day ends during the run."""
        return f"Etc/GMT{-self._offset_h:+d}" if self._offset_h else "UTC"

    def open_times(self) -> list[tuple[float, float]]:
        """Return when the windows are open, in Unix seconds."""
        if self.minutes < 1:
            return []
        first = int(self.start_s // 60 * 60)
        times = [(first + 60.0 * at, first + 60.0 * (at + 1)) for at in range(0, round(self.minutes) + 10, 2)]
        return [*times, (times[-1][1] + 60, first + 4 * 3600.0)]

    @property
    def windows(self) -> str:
        """The same as opening hours."""
        zone = timezone(timedelta(hours=self._offset_h))

        def clock(moment_s: float) -> str:
            return datetime.fromtimestamp(moment_s, zone).strftime("%H:%M")

        spans = [f"{clock(start_s)}-{clock(end_s)}" for start_s, end_s in self.open_times()]
        return ",".join(spans) or "off"


@dataclass(frozen=True, slots=True)
class Campaigns:
    """Which contacts the campaigns of a run are about.

    Attributes:
        after: their IDs follow this one.
        size: contacts of each region.
        schedule: when the windows are open.
    """

    after: int
    size: int
    schedule: Schedule

    @property
    def contacts(self) -> int:
        """All contacts that they are about."""
        return 5 * self.size

    @property
    def cap(self) -> int:
        """Contacts of the capped job that may be sent in a day."""
        return self.size // 3

    def _region(self, number: int) -> BitMap:
        return BitMap(range(self.after + 1 + number * self.size, self.after + 1 + (number + 1) * self.size))

    @property
    def tagged(self) -> BitMap:
        """Contacts with the tag of the filter, at first."""
        return self._region(0)

    @property
    def planned(self) -> dict[str, BitMap]:
        """The lists of which a plan is made."""
        return {PLANNED: self._region(1), NEVER_APPROVED: self._region(2), WINDOWED: self._region(3)}

    @property
    def capped(self) -> BitMap:
        """The list that exceeds the cap."""
        return self._region(4)

    @property
    def selections(self) -> dict[str, Filter]:
        """The filters."""
        return {BY_TAG: Filter(tags=(TAG,)), BY_TAG_AGAIN: Filter(tags=(TAG,))}

    def edited(self) -> list[int]:
        """Return the contacts that others edit meanwhile."""
        return [*self.tagged[::9], *self._region(1)[::9]]

    def guards(self) -> dict[str, str]:
        """Return the lines of the configuration that make the guards, by portal; the ordinary one has no name here."""
        common = _GUARDS.format(protected_tag=PROTECTED_TAG)
        zone = f'timezone = "{self.schedule.timezone}"\n'
        return {
            "": common,
            WINDOWED_PORTAL: f'{common}{zone}windows = "{self.schedule.windows}"\n',
            CAPPED_PORTAL: f"{zone}max_contacts_per_day = {self.cap}\n",
        }
