"""Ratios that were measured before, and what a new measurement says beside them."""

import math
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LEAST_TOLERANCE = 0.05
#: Repeated runs on one afternoon see less than all there is to see.
_DEVIATIONS = 2

_HEADER = """\
# What `python -m bench check` compares with: this program beside the bare loop, or a bare handler; higher is better.
# Made by `python -m bench check --record`: the median of some runs, the lowest and the highest of them, and the share
# of the ratio that may be lost before a row has fallen. That is twice the largest distance of a run from the median,
# and at least a twentieth. Ratios of another machine differ: there, record before a change and check after it.
"""


@dataclass(frozen=True)
class Recorded:
    """What repeated runs have said of one row."""

    ratio: float  #: median
    lowest: float
    highest: float
    runs: int
    tolerance: float  #: the share of the ratio that a good run may lack

    @property
    def floor(self) -> float:
        """The lowest ratio that has not fallen."""
        return self.ratio * (1 - self.tolerance)

    @property
    def ceiling(self) -> float:
        """The highest ratio that is still the same."""
        return self.ratio * (1 + self.tolerance)


def of_runs(ratios: Sequence[float]) -> Recorded:
    """Return what the ratios of repeated runs say of a row; at least one."""
    ratio = statistics.median(ratios)
    farthest = max(abs(each / ratio - 1) for each in ratios)
    tolerance = max(_LEAST_TOLERANCE, math.ceil(_DEVIATIONS * farthest * 100) / 100)
    return Recorded(ratio, min(ratios), max(ratios), len(ratios), tolerance)


def read(path: Path) -> dict[str, Recorded]:
    """Read a file that `write` has written, by row.

    Raises:
        RuntimeError: It is not there, or not such a file.
    """
    try:
        document = tomllib.loads(path.read_text())
        return {row: Recorded(**facts) for row, facts in document.items()}
    except FileNotFoundError:
        raise RuntimeError(f"there is no {path}; --record makes it") from None
    except (tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        raise RuntimeError(f"{path} is not a file of recorded ratios ({error}); --record makes it anew") from None


def write(path: Path, recorded: Mapping[str, Recorded]) -> None:
    """Write what was recorded, by row."""
    rows = [
        f"[{row}]\nratio = {one.ratio:.3f}\nlowest = {one.lowest:.3f}\nhighest = {one.highest:.3f}\n"
        f"runs = {one.runs}\ntolerance = {one.tolerance:.2f}\n"
        for row, one in recorded.items()
    ]
    path.write_text("\n".join([_HEADER, *rows]))


def fallen(measured: Mapping[str, float], recorded: Mapping[str, Recorded]) -> list[str]:
    """Return the rows that are below what their tolerance allows; a row that was never recorded cannot fall."""
    return [row for row, ratio in measured.items() if row in recorded and ratio < recorded[row].floor]


def verdict(ratio: float, recorded: Recorded | None) -> str:
    """Say in a word or two what became of a row."""
    if recorded is None:
        return "not recorded yet"
    if ratio < recorded.floor:
        return "FELL"
    return "rose" if ratio > recorded.ceiling else "ok"
