"""A log that nobody waits for: work goes on where it cannot be written, as on a full disk."""

import contextlib
import io
from pathlib import Path
from typing import Any


class LogFile(io.TextIOWrapper):
    """A text file that lines are added to, and lost where they cannot be written."""

    def __init__(self, path: Path) -> None:
        super().__init__(_Lossy(path, "a"), encoding="utf-8", write_through=True)


class _Lossy(io.FileIO):
    """A file that says of everything that it is written."""

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            super().write(data)
        return len(memoryview(data))
