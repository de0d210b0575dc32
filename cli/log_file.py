"""A log that holds up nothing: work goes on even if it cannot be written, as on a full disk."""

import contextlib
import io
from pathlib import Path
from typing import Any


class LogFile(io.TextIOWrapper):
    """A text file that lines are appended to; lines that cannot be written are lost."""

    def __init__(self, path: Path) -> None:
        super().__init__(_Lossy(path, "a"), encoding="utf-8", write_through=True)


class _Lossy(io.FileIO):
    """A file that reports everything as written."""

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            super().write(data)
        return len(memoryview(data))
