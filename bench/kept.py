"""Measurements that survive an interruption: each is written to a file as soon as it is there.

A section that takes hours measures part by part. Started again with the same `--json OUT`, it takes what it finds in
`OUT.partial` and goes on with the rest; once its tables are printed, the file is gone.
"""

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any


class Kept:
    """The parts of a section that have been measured.

    Args:
        json_to: where the section writes its results; None keeps nothing.
        options: what the parts depend on, beside their names. Parts that were measured with others are not taken.
    """

    def __init__(self, json_to: Path | None, options: Mapping[str, Any]) -> None:
        self._file = json_to.with_name(f"{json_to.name}.partial") if json_to else None
        self._key = {name: str(value) for name, value in options.items()}
        self._parts: dict[str, Any] = {}
        if self._file and self._file.exists():
            found = json.loads(self._file.read_text())
            if found["key"] == self._key:
                self._parts = found["parts"]

    async def part(self, name: str, measure: Callable[[], Awaitable[Any]]) -> Any:
        """Return a part as JSON has it: from the file, or measured now and written to it."""
        if name in self._parts:
            print(f"{name}: measured before", file=sys.stderr, flush=True)
            return self._parts[name]
        print(name, file=sys.stderr, flush=True)
        self._parts[name] = json.loads(json.dumps(await measure()))
        if self._file:
            new = self._file.with_name(f"{self._file.name}.new")
            new.write_text(json.dumps({"key": self._key, "parts": self._parts}, indent=2) + "\n")
            new.replace(self._file)
        return self._parts[name]

    def forget(self) -> None:
        """Remove the file: the results have been published."""
        if self._file:
            self._file.unlink(missing_ok=True)
