"""The clock of one server, which can be set while it runs, by libfaketime (Debian's package `faketime`)."""

from functools import cache
from pathlib import Path


@cache
def library() -> Path | None:
    """Return the library that shifts clocks; None if it is not installed."""
    places = (Path("/usr/lib"), Path("/usr/local/lib"))
    return next((found for place in places for found in sorted(place.glob("**/faketime/libfaketime.so.1"))), None)


class Clock:
    """A clock that is right until it is set.

    Only the time of day moves: what a process measures on its monotonic clock goes on as usual.

    Args:
        file: says how far off the clock is; its process looks once a second.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.off_s = 0.0
        """How far ahead of the real time it is; negative if behind."""
        self.set(0.0)

    def set(self, off_s: float) -> None:
        """Set it this many seconds ahead of the real time, or behind it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{off_s:+.3f}\n")
        new.replace(self._file)  # in one step, so that nobody reads half a file
        self.off_s = off_s

    def command(self) -> list[str]:
        """Return the beginning of a command that puts a process on this clock; nothing without the library."""
        if library() is None:
            return []
        return [
            "env",
            f"LD_PRELOAD={library()}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_CACHE_DURATION=1",
            "DONT_FAKE_MONOTONIC=1",
        ]
