"""Reads the tables of a Markdown page back, and the numbers in their cells."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_FIGURE = re.compile(rf"(?P<value>{_NUMBER})(?:\s*\((?P<low>{_NUMBER})[-\u2013](?P<high>{_NUMBER})\))?")


class Figure(NamedTuple):
    """A number, with the lowest and the highest of the measurements behind it if they are told."""

    text: str  #: as it stands in the page
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Table:
    """A table: the cells as text, without emphasis."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, start: str) -> list[str]:
        """Return the cells of the column whose title begins like this.

        Raises:
            LookupError: There is none.
        """
        number = next((number for number, title in enumerate(self.columns) if title.startswith(start)), None)
        if number is None:
            raise LookupError(f"no column begins with {start!r}; there are: {', '.join(self.columns)}")
        return [row[number] for row in self.rows]


def tables_below(page: str, heading: str) -> list[Table]:
    """Return the tables of a page below a heading of the second level, in order.

    Raises:
        LookupError: There is no such heading, or no table below it.
    """
    _, found, rest = page.partition(f"\n## {heading}\n")
    if not found:
        raise LookupError(f"there is no heading {heading!r}")
    lines = rest.partition("\n## ")[0].splitlines()
    tables: list[Table] = []
    block: list[str] = []
    for line in [*lines, ""]:
        if line.startswith("|"):
            block.append(line)
        elif block:
            tables.append(_table(block))
            block = []
    if not tables:
        raise LookupError(f"there is no table below {heading!r}")
    return tables


def figures(cell: str) -> list[Figure]:
    """Return the numbers of a cell: `0.64 (0.56-0.67)` is one with its range, `0.47 / 0.40` are two, a dash is none."""
    return [
        Figure(found[0], _number(found["value"]), *(_number(found[end]) for end in ("low", "high") if found[end]))
        for found in _FIGURE.finditer(cell)
    ]


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _table(lines: Sequence[str]) -> Table:
    head, _, *rows = [
        tuple(cell.strip().replace("**", "") for cell in line.strip().strip("|").split("|")) for line in lines
    ]
    return Table(head, tuple(rows))
