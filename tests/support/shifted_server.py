"""A Redis server whose clock can be set while it runs, by libfaketime (Debian's package `faketime`)."""

import os
from pathlib import Path
from unittest.mock import patch

from cli.embedded import EmbeddedServer


def _library() -> Path:
    for place in ("/usr/lib", "/usr/local/lib"):
        for found in sorted(Path(place).glob("**/faketime/libfaketime.so.1")):
            return found
    raise FileNotFoundError("libfaketime is missing; run tests/tools.sh")


class ShiftedServer(EmbeddedServer):
    """The embedded server on a clock of its own, which is right until it is shifted.

    Only its clock on the wall moves: what it measures by its monotonic clock goes on as usual, as on a machine whose
    clock is set.
    """

    @property
    def _file(self) -> Path:
        return self.directory / "faketime"

    def shift(self, seconds: float) -> None:
        """Set the clock this many seconds ahead of the real one, or behind it; 0 makes it right again."""
        self.directory.mkdir(parents=True, exist_ok=True)
        # Replaced in one step, so that the server never reads half a file.
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}\n")
        new.replace(self._file)

    def environment(self) -> dict[str, str]:
        """Return the environment variables that put a process on this clock."""
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def _spawn(self) -> None:
        if not self._file.exists():
            self.shift(0)
        with patch.dict(os.environ, self.environment()):
            super()._spawn()
